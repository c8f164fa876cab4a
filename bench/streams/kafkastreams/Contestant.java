import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.EmitStrategy;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.state.BuiltInDslStoreSuppliers;
import org.apache.kafka.streams.state.WindowStore;

/**
 * The job of the comparison in bench/streams with the Kafka Streams DSL, as its manual says: tumbling windows with a grace, exactly once v2
 * with its commit interval of 100 ms, stores with changelogs, in RocksDB as it comes or in memory. See doc.go there for the job.
 *
 * <pre>Contestant BROKERS INPUT OUTPUT APPLICATION-ID STATE-DIRECTORY rocksdb|memory</pre>
 *
 * Caches in front of the stores are off: each result of the running hour is wanted at once, and what is emitted when windows close scans
 * the store, which the cache makes several times slower.
 *
 * One window holds all factors of a device, so that a frame costs one read and one write of each store; a window per factor would cost ten.
 */
public final class Contestant {
  private static final Duration MINUTE = Duration.ofMinutes(1);
  private static final Duration HOUR = Duration.ofHours(1);
  private static final Duration GRACE = Duration.ofSeconds(90);

  /**
   * How much longer than size and grace, the default, closed windows are kept. They are published once a second of the wall clock, in which
   * the frames of a backlog may span many minutes: the store must still have them then, or they are lost without a word. The backlog
   * spans 24 minutes.
   */
  private static final Duration BEHIND = Duration.ofMinutes(25);

  public static void main(String[] args) throws Exception {
    if (args.length != 6) {
      System.err.println("want BROKERS INPUT OUTPUT APPLICATION-ID STATE-DIRECTORY rocksdb|memory");
      System.exit(2);
    }
    Properties p = new Properties();
    p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[0]);
    p.put(StreamsConfig.APPLICATION_ID_CONFIG, args[3]);
    p.put(StreamsConfig.STATE_DIR_CONFIG, args[4]);
    p.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    p.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100); // the default of exactly once, said for the reader
    p.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1); // one core
    p.put(StreamsConfig.DSL_STORE_SUPPLIERS_CLASS_CONFIG, args[5].equals("memory")
        ? BuiltInDslStoreSuppliers.InMemoryDslStoreSuppliers.class : BuiltInDslStoreSuppliers.RocksDBDslStoreSuppliers.class);
    p.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    p.put(StreamsConfig.mainConsumerPrefix(ConsumerConfig.GROUP_INSTANCE_ID_CONFIG), "one");
    p.put(StreamsConfig.consumerPrefix(ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG), 10_000);

    StreamsBuilder builder = new StreamsBuilder();
    topology(builder, args[1], args[2]);
    KafkaStreams streams = new KafkaStreams(builder.build(), p);
    CountDownLatch ended = new CountDownLatch(1);
    streams.setUncaughtExceptionHandler(e -> {
      e.printStackTrace();
      ended.countDown();
      return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
    });
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(20))));
    streams.start();
    ended.await();
    System.exit(1);
  }

  private static void topology(StreamsBuilder builder, String input, String output) {
    Serde<String> key = Serdes.String();
    Serde<Frame> frame = Serdes.serdeFrom((topic, f) -> f.raw, (topic, b) -> Frame.parse(b));
    Serde<Means> means = Serdes.serdeFrom((topic, m) -> m.encode(), (topic, b) -> Means.decode(b));
    KStream<String, Frame> frames = builder.stream(input, Consumed.with(key, frame)
        .withTimestampExtractor((record, partitionTime) -> ((Frame) record.value()).time));

    KGroupedStream<String, Frame> realtime = frames.filter((mn, f) -> f.cn.equals("2011")).groupByKey(Grouped.with(key, frame));
    for (Map.Entry<String, Duration> w : Map.of("m", MINUTE, "h", HOUR).entrySet()) {
      long size = w.getValue().toMillis();
      realtime.windowedBy(TimeWindows.ofSizeAndGrace(w.getValue(), GRACE))
          .emitStrategy(EmitStrategy.onWindowClose())
          .aggregate(Means::new, (mn, f, m) -> m.add(f, f.time - f.time % size), store("means-" + w.getKey(), key, means).withRetention(w.getValue().plus(GRACE).plus(BEHIND)))
          .toStream((window, m) -> window.key())
          .mapValues(m -> m.text(w.getKey()))
          .to(output, Produced.with(key, Serdes.String()));
    }

    frames.filter((mn, f) -> f.cn.equals("2051")).groupByKey(Grouped.with(key, frame))
        .windowedBy(TimeWindows.ofSizeAndGrace(HOUR, GRACE))
        .aggregate(Means::new, (mn, f, m) -> m.add(f, f.time), store("means-r", key, means))
        .toStream((window, m) -> window.key())
        .mapValues(m -> m.text("r"))
        .to(output, Produced.with(key, Serdes.String()));
  }

  private static Materialized<String, Means, WindowStore<Bytes, byte[]>> store(String name, Serde<String> key, Serde<Means> means) {
    return Materialized.<String, Means, WindowStore<Bytes, byte[]>>as(name).withKeySerde(key).withValueSerde(means)
        .withCachingDisabled();
  }
}
