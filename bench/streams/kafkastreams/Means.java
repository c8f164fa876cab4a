import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** The sums of one window of one device, all factors. */
final class Means {
  private long start; // ms since 1970; what the result says
  private final List<String> codes;
  private long[] sums; // millionths
  private int[] counts;

  Means() {
    this(new ArrayList<>(16), 16);
  }

  private Means(List<String> codes, int size) {
    this.codes = codes;
    sums = new long[size];
    counts = new int[size];
  }

  Means add(Frame f, long start) {
    this.start = start;
    for (int i = 0; i < f.codes.size(); i++) {
      String code = f.codes.get(i);
      // Devices send their factors in one order.
      int k = i < codes.size() && codes.get(i).equals(code) ? i : codes.indexOf(code);
      if (k < 0) {
        k = codes.size();
        codes.add(code);
        if (k == sums.length) {
          sums = java.util.Arrays.copyOf(sums, 2 * k);
          counts = java.util.Arrays.copyOf(counts, 2 * k);
        }
      }
      sums[k] += f.values[i];
      counts[k]++;
    }
    return this;
  }

  byte[] encode() {
    int size = 9;
    for (String c : codes) {
      size += 1 + c.length() + 12;
    }
    ByteBuffer b = ByteBuffer.allocate(size).putLong(start).put((byte) codes.size());
    for (int i = 0; i < codes.size(); i++) {
      byte[] code = codes.get(i).getBytes(StandardCharsets.ISO_8859_1);
      b.put((byte) code.length).put(code).putLong(sums[i]).putInt(counts[i]);
    }
    return b.array();
  }

  static Means decode(byte[] bytes) {
    if (bytes == null) {
      return null;
    }
    ByteBuffer b = ByteBuffer.wrap(bytes);
    long start = b.getLong();
    int n = b.get();
    Means m = new Means(new ArrayList<>(Math.max(n, 16)), Math.max(n, 16));
    m.start = start;
    for (int i = 0; i < n; i++) {
      int length = b.get();
      m.codes.add(new String(bytes, b.position(), length, StandardCharsets.ISO_8859_1));
      b.position(b.position() + length);
      m.sums[i] = b.getLong();
      m.counts[i] = b.getInt();
    }
    return m;
  }

  /** The record of the output topic; means in millionths, rounded half to even. */
  String text(String kind) {
    StringBuilder s = new StringBuilder(32 + 24 * codes.size()).append(kind).append(' ').append(start / 1000);
    for (int i = 0; i < codes.size(); i++) {
      long n = counts[i], q = sums[i] / n, r = sums[i] % n;
      if (2 * r > n || 2 * r == n && q % 2 == 1) {
        q++;
      }
      s.append(i == 0 ? ' ' : ',').append(codes.get(i)).append('=').append(q).append('/').append(n);
    }
    return s.toString();
  }
}
