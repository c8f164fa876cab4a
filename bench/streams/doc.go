// Command streams measures the stream worker against other stream processors doing the same job on one real Kafka broker:
//
//	make bench-streams            three rounds, about 35 minutes
//	make bench-streams QUICK=1    one round of a fifth of the devices, six minutes, rough
//
// The contestants are the worker of package stream in both its modes of exactly once, goka v1.1.12 (folder goka, a Go module of its own) and
// Kafka Streams 4.3.1 (folder kafkastreams, Java), with its stores in RocksDB and in memory. Each is one process on one core, with topics of its
// own; the broker and this program share the other core. They take turns, and the order moves with every round, so that what else the machine
// does meets all of them alike.
//
// The job: frames of HJ 212 go into a topic of six partitions, keyed by MN. From real-time values (CN 2011) come the mean of each minute and
// each hour of every factor, once, 90 s after its end. From minute records (CN 2051) comes, with every record, the mean of the hour so far.
// This program knows what each result must be and when it was due, and compares all of them.
//
// A round of one contestant has three parts:
//
//	drain     24 minutes of every device are in the topic before the contestant starts
//	rate      minute records at a fixed rate, open loop: time from when a frame was due to its result
//	recovery  the rate goes on; kill -9 and start again with the state kept, then kill -9, state wiped, start again
//
// It needs two cores, Java 17, Maven and taskset; the broker comes from deploy/local/kafka.sh. The tables go to standard output as Markdown.
package main
