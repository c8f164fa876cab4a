import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** A frame of HJ 212, read in one pass: its command, its DataTime and the valid numbers of its factors. */
final class Frame {
  final byte[] raw;
  String cn = "";
  long time; // ms since 1970
  final List<String> codes = new ArrayList<>(16);
  long[] values = new long[16]; // millionths, by the place of the code; the Rtd of CN 2011, the Avg of CN 2051

  private Frame(byte[] raw) {
    this.raw = raw;
  }

  /** The CRC is not looked at: the gateway has checked it. */
  static Frame parse(byte[] raw) {
    Frame f = new Frame(raw);
    // "##", four digits of length; CRC and CR LF at the end.
    int from = 6, end = raw.length - 6;
    String suffix = "";
    long value = 0;
    String code = null; // of value, waiting for its mark
    for (int i = from; i <= end; i++) {
      if (i < end && raw[i] != ';' && raw[i] != ',') {
        continue;
      }
      int start = from;
      from = i + 1;
      if (startsWith(raw, start, i, "CP=&&")) {
        start += 5;
      }
      int eq = start;
      while (eq < i && raw[eq] != '=') {
        eq++;
      }
      if (startsWith(raw, start, eq, "CN")) {
        f.cn = text(raw, eq + 1, i);
        suffix = f.cn.equals("2011") ? "-Rtd" : "-Avg";
      } else if (startsWith(raw, start, eq, "DataTime")) {
        f.time = time(raw, eq + 1);
      } else if (endsWith(raw, start, eq, suffix) && !suffix.isEmpty()) {
        code = text(raw, start, eq - suffix.length());
        value = millionths(raw, eq + 1, i);
      } else if (code != null && endsWith(raw, start, eq, "-Flag") && raw[eq + 1] == 'N') {
        f.put(code, value);
        code = null;
      }
    }
    return f;
  }

  private void put(String code, long value) {
    if (codes.size() == values.length) {
      values = java.util.Arrays.copyOf(values, 2 * values.length);
    }
    values[codes.size()] = value;
    codes.add(code);
  }

  private static String text(byte[] b, int from, int to) {
    return new String(b, from, to - from, StandardCharsets.ISO_8859_1);
  }

  private static boolean startsWith(byte[] b, int from, int to, String s) {
    if (to - from < s.length()) {
      return false;
    }
    for (int i = 0; i < s.length(); i++) {
      if (b[from + i] != s.charAt(i)) {
        return false;
      }
    }
    return true;
  }

  private static boolean endsWith(byte[] b, int from, int to, String s) {
    return to - from >= s.length() && startsWith(b, to - s.length(), to, s);
  }

  private static int number(byte[] b, int from, int digits) {
    int n = 0;
    for (int i = from; i < from + digits; i++) {
      n = n * 10 + b[i] - '0';
    }
    return n;
  }

  /** yyyyMMddHHmmss of UTC+8. */
  private static long time(byte[] b, int at) {
    int month = number(b, at + 4, 2);
    long year = number(b, at, 4) - (month <= 2 ? 1 : 0);
    long era = year / 400, yearOfEra = year % 400;
    long dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + number(b, at + 6, 2) - 1;
    long days = era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468;
    long seconds = (number(b, at + 8, 2) - 8) * 3600L + number(b, at + 10, 2) * 60L + number(b, at + 12, 2);
    return (days * 86_400 + seconds) * 1000;
  }

  private static long millionths(byte[] b, int from, int to) {
    long n = 0;
    int decimals = -1;
    for (int i = from; i < to && b[i] != '&'; i++) {
      if (b[i] == '.') {
        decimals = 0;
      } else {
        n = n * 10 + b[i] - '0';
        decimals += decimals >= 0 ? 1 : 0;
      }
    }
    for (int d = Math.max(decimals, 0); d < 6; d++) {
      n *= 10;
    }
    return n;
  }
}
