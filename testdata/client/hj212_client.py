#!/usr/bin/env python3
"""Three data loggers written from the text of the standards alone: HJ/T 212-2005, HJ 212-2017 and HJ 212-2025.

It shares no code with the rest of the repository, so that a mistake in the reading of the standard is not made twice. Each logger connects
over TCP, uploads real-time, minute and hour data (single and in packets), notices, a resend and a backfill, and checks every byte of every
answer; then it serves requests of the host: clock, intervals, history. The summary is JSON on standard output; the exit code is 1 if anything
was not as the standard has it. Python 3.7 or later, standard library only.
"""
import argparse
import calendar
import json
import select
import socket
import sys
import threading
import time

CST = 8 * 3600  # the standards' wall clock, UTC+8, no summer time


class Mismatch(Exception):
    """Something that is not as the standard has it."""


def crc16(data):
    """The check of annex A, bit by bit as it is printed: the low half of the register is dropped with every byte."""
    register = 0xFFFF
    for byte in data:
        register = (register >> 8) ^ byte
        for _ in range(8):
            check = register & 0x0001
            register >>= 1
            if check == 0x0001:
                register ^= 0xA001
    return register


def frame(segment):
    """The communication packet of table 2: head, length, data segment, CRC, tail."""
    data = segment.encode("utf-8")
    return b"##%04d" % len(data) + data + b"%04X" % crc16(data) + b"\r\n"


# Annex A's example of 2017, example 6 of 2005, and the sample of 2025 with its printed check.
EXAMPLES = [
    ("QN=20160801085857223;ST=32;CN=1062;PW=100000;MN=010000A8900016F000169DC0;Flag=5;CP=&&RtdInterval=30&&", 101, "1C80"),
    ("QN=20040516010101001;ST=32;CN=2051;PW=123456;MN=88888880000001;Flag=3;CP=&&BeginTime=20040506111000,EndTime=20040506151000&&", 124, "6B80"),
    ("QN=20240601085857223;ST=32;CN=1011;PW=123456;MN=010000A8900016F000169DC0;Flag=9;CP=&&&&", 87, "2200"),
]


def check_examples():
    for segment, length, crc in EXAMPLES:
        got = frame(segment)
        if got != b"##%04d" % length + segment.encode() + crc.encode() + b"\r\n":
            raise Mismatch("own frame %r, the standard prints length %04d and CRC %s" % (got, length, crc))


def parse(wire):
    """Splits a frame of the host after checking its envelope byte by byte. Gives the header fields in order, and the CP's pairs in order."""
    if wire[:2] != b"##" or not wire[2:6].isdigit() or wire[-2:] != b"\r\n":
        raise Mismatch("not an envelope: %r" % wire)
    data, crc = wire[6:-6], wire[-6:-2]
    if int(wire[2:6]) != len(data):
        raise Mismatch("length %s announced, %d sent: %r" % (wire[2:6].decode(), len(data), wire))
    if crc != b"%04X" % crc16(data):
        raise Mismatch("CRC %r, annex A gives %04X: %r" % (crc, crc16(data), wire))
    text = data.decode("utf-8")
    header, found, body = text.partition("CP=&&")
    if not found or not body.endswith("&&") or header and not header.endswith(";"):
        raise Mismatch("no CP=&&...&& at the end: %r" % wire)
    fields = [tuple(f.split("=", 1)) for f in header.split(";") if f]
    pairs = [tuple(p.split("=", 1)) for p in body[:-2].replace(",", ";").split(";") if p]
    if any(len(x) != 2 for x in fields + pairs):
        raise Mismatch("a field without '=': %r" % wire)
    return fields, pairs


def stamp(t):
    return time.strftime("%Y%m%d%H%M%S", time.gmtime(t + CST))


class Logger:
    """One data logger (数采仪)."""

    def __init__(self, args, edition, mn, st, pw):
        self.args, self.edition, self.mn, self.st, self.pw = args, edition, mn, st, pw
        self.version = {"2005": 0, "2017": 1, "2025": 2}[edition]
        self.sock, self.buffer = None, b""
        self.clock = 0.0  # set by 1012: seconds that this logger's clock is ahead of the machine's
        self.last_qn = 0.0
        self.real_time_interval, self.minute_interval = 60, 1
        self.history = {}  # minute records: DataTime -> CP
        self.owed = {}  # answers that the host owes: (CN, QN, packet) -> the exact frame
        self.acked = []  # frames that the host answered
        self.counts = {"sent": 0, "data_acks": 0, "notice_acks": 0, "resent": 0, "recalled": 0}
        self.requests = {}

    # --- building -------------------------------------------------------------------------------------------------------------------

    def qn(self):
        """A QN of its own for every exchange, to the millisecond."""
        self.last_qn = max(time.time() + self.clock, self.last_qn + 0.001)
        return stamp(self.last_qn) + "%03d" % (int(self.last_qn * 1000) % 1000)

    def segment(self, cn, cp, qn, answer, packet=None, backfill=False, st=None):
        """The data segment with its fields in the order of the edition's table."""
        flag = self.version << 2 | (2 if packet else 0) | (1 if answer else 0)
        head = ["QN=" + qn]
        numbers = ["PNUM=%d" % packet[1], "PNO=%d" % packet[0]] if packet else []
        if self.edition == "2005":
            head += numbers
        head += ["ST=" + (st or self.st), "CN=" + cn, "PW=" + self.pw, "MN=" + self.mn, "Flag=%d" % flag]
        if self.edition != "2005":
            head += numbers
        if backfill:
            head.append("RF=1")
        return ";".join(head) + ";CP=&&" + cp + "&&"

    def data_answer(self, cn, qn, packet=None):
        """The host's 9014: C.14 of 2017 and C.18 of 2025 repeat QN, PW and MN; in 2005 QN, CN and packet stand in the CP (of its two
        printed examples one ends the CP with a separator; the grammar of 6.3.3 has none)."""
        if self.edition == "2005":
            numbers = ";PNO=%d;PNUM=%d" % packet if packet else ""
            return frame("ST=91;CN=9014;CP=&&QN=%s;CN=%s%s&&" % (qn, cn, numbers))
        return frame("QN=%s;ST=91;CN=9014;PW=%s;MN=%s;Flag=%d;CP=&&&&" % (qn, self.pw, self.mn, self.version << 2))

    def notice_answer(self, qn):
        """The host's 9013."""
        if self.edition == "2005":
            return frame("ST=91;CN=9013;PW=%s;MN=%s;Flag=0;CP=&&QN=%s&&" % (self.pw, self.mn, qn))
        return frame("QN=%s;ST=91;CN=9013;PW=%s;MN=%s;Flag=%d;CP=&&&&" % (qn, self.pw, self.mn, self.version << 2))

    def values(self, minute, factors=("w01018", "w21003")):
        """One period's statistics."""
        names = {"w01018": "011", "w21003": "060"} if self.edition == "2005" else {}
        return ";".join("{0}-Cou=1.5,{0}-Min={1}.1,{0}-Avg={1}.25,{0}-Max={1}.4,{0}-Flag=N".format(names.get(f, f), 20 + minute % 10)
                        for f in factors)

    # --- sending and waiting --------------------------------------------------------------------------------------------------------

    def send(self, wire):
        self.sock.sendall(wire)
        self.counts["sent"] += 1

    def upload(self, cn, cp, qn=None, packet=None, notice=False, backfill=False, st=None):
        """Uploads and waits for the answer, as often again as ReCount allows. Gives the frame."""
        qn = qn or self.qn()
        wire = frame(self.segment(cn, cp, qn, True, packet, backfill, st))
        answer = self.notice_answer(qn) if notice else self.data_answer(cn, qn, packet)
        self.exchange(wire, answer, "notice_acks" if notice else "data_acks")
        return wire

    def exchange(self, wire, answer, count):
        for tries in range(1, 2 + self.args.retries):
            self.owed[answer] = self.owed.get(answer, 0) + 1  # an answer to an earlier try may still come, and each try may have one
            self.counts["resent"] += tries > 1
            self.send(wire)
            if self.wait(lambda: self.owed[answer] < tries, self.args.timeout):
                self.acked.append(wire)
                self.counts[count] += 1
                return
        raise Mismatch("no answer to %r within %d x %g s, want %r" % (wire, 1 + self.args.retries, self.args.timeout, answer))

    def wait(self, done, seconds):
        """Handles what comes until done; False when the time is over."""
        end = time.monotonic() + seconds
        while not done():
            left = end - time.monotonic()
            if left <= 0:
                return False
            wire = self.receive(left)
            if wire is not None:
                self.take(wire)
        return True

    def receive(self, seconds):
        """The next frame of the host, by its length alone; None when there is none in time."""
        end = time.monotonic() + seconds
        while True:
            if len(self.buffer) >= 6:
                if self.buffer[:2] != b"##" or not self.buffer[2:6].isdigit():
                    raise Mismatch("the host sent %r, no head of a frame" % self.buffer[:40])
                size = 6 + int(self.buffer[2:6]) + 6
                if len(self.buffer) >= size:
                    wire, self.buffer = self.buffer[:size], self.buffer[size:]
                    return wire
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.sock], [], [], left)[0]:
                return None
            got = self.sock.recv(65536)
            if not got:
                raise Mismatch("the host closed the connection")
            self.buffer += got

    def take(self, wire):
        """Takes one frame of the host: an answer that it owes, to the byte, or a request."""
        fields, pairs = parse(wire)
        header = dict(fields)
        if header.get("ST") == "91" and header.get("CN") in ("9013", "9014"):
            if self.owed.get(wire, 0) == 0:
                raise Mismatch("an answer that is not owed: %r; owed: %r" % (wire, [w for w, n in self.owed.items() if n]))
            self.owed[wire] -= 1
            return
        self.request(wire, fields, header, pairs)

    # --- requests of the host -------------------------------------------------------------------------------------------------------

    def request(self, wire, fields, header, pairs):
        order = [name for name, _ in fields]
        if order != ["QN", "ST", "CN", "PW", "MN", "Flag"]:
            raise Mismatch("request with the fields %s: %r" % (order, wire))
        qn, cn, flag = header["QN"], header["CN"], header["Flag"]
        if len(qn) != 17 or not qn.isdigit():
            raise Mismatch("QN %s is no time to the millisecond: %r" % (qn, wire))
        if header["MN"] != self.mn or header["ST"] != self.st:
            raise Mismatch("request for MN %s, ST %s; this is %s, %s" % (header["MN"], header["ST"], self.mn, self.st))
        if flag not in (["1", "3"] if self.edition == "2005" else [str(self.version << 2 | 1)]):
            raise Mismatch("Flag %s of a request of edition %s" % (flag, self.edition))
        if cn in ("2012", "2022"):
            self.reply("9013", qn, "")
            self.requests[cn] = self.requests.get(cn, 0) + 1
            return
        handler = getattr(self, "cn" + cn, None)
        if header["PW"] != self.pw:
            self.reply("9011", qn, "QnRtn=3")
        elif handler is None or self.edition == "2005" and cn in ("1063", "1064"):
            self.reply("9011", qn, "QnRtn=%d" % (2 if self.edition == "2005" else 8))
        else:
            self.reply("9011", qn, "QnRtn=1")
            self.result(qn, handler(qn, dict(pairs)))
        self.requests[cn] = self.requests.get(cn, 0) + 1

    def reply(self, cn, qn, cp):
        """A logger's own answer: ST=91, no answer wanted; in 2005 the QN stands in the CP."""
        if self.edition == "2005":
            cp = "QN=%s;%s" % (qn, cp) if cp else "QN=" + qn
            self.send(frame("ST=91;CN=%s;PW=%s;MN=%s;Flag=0;CP=&&%s&&" % (cn, self.pw, self.mn, cp)))
        else:
            self.send(frame(self.segment(cn, cp, qn, False, st="91")))

    def result(self, qn, code):
        self.reply("9012", qn, "ExeRtn=%d" % code)

    def answer(self, cn, qn, cp):
        """The one answer of a request that asks for a value: the same CN and QN, no answer wanted."""
        if self.edition == "2005":
            self.send(frame("ST=%s;CN=%s;PW=%s;MN=%s;Flag=0;CP=&&QN=%s;%s&&" % (self.st, cn, self.pw, self.mn, qn, cp)))
        else:
            self.send(frame(self.segment(cn, cp, qn, False)))
        return 1

    def cn1000(self, _, pairs):
        return 1 if pairs.get("OverTime", "").isdigit() and pairs.get("ReCount", "").isdigit() else 3

    def cn1011(self, qn, _):
        return self.answer("1011", qn, "SystemTime=" + stamp(time.time() + self.clock))

    def cn1012(self, _, pairs):
        text = pairs.get("SystemTime", "")
        if len(text) != 14 or not text.isdigit():
            raise Mismatch("1012 with SystemTime %r" % text)
        self.clock = calendar.timegm(time.strptime(text, "%Y%m%d%H%M%S")) - CST - time.time()
        if abs(self.clock) > 60:
            raise Mismatch("1012 sets a clock %d s away from the machine's" % self.clock)
        return 1

    def cn1061(self, qn, _):
        return self.answer("1061", qn, "RtdInterval=%d" % self.real_time_interval)

    def cn1062(self, _, pairs):
        self.real_time_interval = int(pairs["RtdInterval"])
        return 1 if 30 <= self.real_time_interval <= 3600 else 3

    def cn1063(self, qn, _):
        return self.answer("1063", qn, "MinInterval=%d" % self.minute_interval)

    def cn1064(self, _, pairs):
        self.minute_interval = int(pairs["MinInterval"])
        return 1 if self.minute_interval in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30) else 3

    def cn2051(self, qn, pairs):
        """The minute records of a range that is closed at both ends, each an upload that waits for its answer; 100: there are none."""
        begin, end = pairs.get("BeginTime", ""), pairs.get("EndTime", "")
        if len(begin) != 14 or len(end) != 14:
            raise Mismatch("2051 with BeginTime %r, EndTime %r" % (begin, end))
        found = [t for t in sorted(self.history) if begin <= t <= end]
        for t in found:
            self.upload("2051", self.history[t], qn=qn if self.edition == "2005" else None)
            self.counts["recalled"] += 1
        return 1 if found else 100

    # --- the day's work -------------------------------------------------------------------------------------------------------------

    def run(self):
        self.sock = socket.create_connection((self.args.host, self.args.port), self.args.timeout)
        try:
            self.upload_all()
            if self.args.odd and self.edition == "2017":
                self.send_odd()
            want = lambda: sum(self.requests.values()) >= self.args.requests
            if self.args.requests and not self.wait(want, self.args.wait):
                raise Mismatch("%d requests within %g s, want %d" % (sum(self.requests.values()), self.args.wait, self.args.requests))
            self.wait(lambda: False, 0.5)  # nothing more must come
        finally:
            self.sock.close()

    def upload_all(self):
        now = int(time.time())
        minute = now // 60 * 60 - 60
        hour = now // 3600 * 3600 - 3600
        code = "011" if self.edition == "2005" else "w01018"
        self.upload("2011", "DataTime=%s;%s-Rtd=21.5,%s-Flag=N" % (stamp(now - 5), code, code))
        # The answer bit is not set: nothing is owed. The next answer must be that of the next frame.
        self.send(frame(self.segment("2011", "DataTime=%s;%s-Rtd=22.5,%s-Flag=N" % (stamp(now - 4), code, code), self.qn(), False)))
        for i in range(self.args.minutes):
            t = stamp(minute - 60 * i)
            self.history[t] = "DataTime=%s;%s" % (t, self.values(i))
            self.upload("2051", self.history[t])
        self.upload("2061", "DataTime=%s;%s" % (stamp(hour), self.values(0)))
        self.packets(stamp(hour - 3600))
        # The 9014 was lost: the same bytes again, and they are answered again.
        qn = self.qn()
        first = self.upload("2051", "DataTime=%s;%s" % (stamp(minute - 3600), self.values(5)), qn=qn)
        again = self.upload("2051", "DataTime=%s;%s" % (stamp(minute - 3600), self.values(5)), qn=qn)
        if first != again:
            raise Mismatch("a resend has other bytes")
        if self.edition == "2005":
            self.upload("2072", "AlarmTime=%s;011-Ala=180.5,AlarmType=1" % stamp(now), notice=True)
            return
        self.upload("3020", "DataTime=%s;PolId=w01018;i11001-Info=//清洗管路; 完成//" % stamp(now))
        self.upload("2081", "DataTime=%s;RestartTime=%s" % (stamp(now), stamp(now - 60)))
        self.upload("1013", "PolId=w01018", notice=True)
        if self.edition == "2025":
            self.upload("9015", "", notice=True)
            self.upload("2051", "DataTime=%s;%s" % (stamp(minute - 7200), self.values(3)), backfill=True)

    def packets(self, t):
        """An hour in two packets: each with its time and a QN of its own (2017 C.20, 2005), or one QN and the time in the first (2025)."""
        first = "DataTime=%s;%s" % (t, self.values(1, ("w01018",)))
        if self.edition == "2025":
            qn = self.qn()
            self.upload("2061", first, qn=qn, packet=(1, 2))
            self.upload("2061", self.values(1, ("w21003",)), qn=qn, packet=(2, 2))
            return
        self.upload("2061", first, packet=(1, 2))
        self.upload("2061", "DataTime=%s;%s" % (t, self.values(1, ("w21003",))), packet=(2, 2))

    def send_odd(self):
        """Forms that no edition allows and loggers send: the host has to take them, and owes no answer without the answer bit."""
        head = "ST=%s;CN=2011;PW=%s;MN=%s" % (self.st, self.pw, self.mn)

        def cp():
            return "DataTime=%s;w01018-Rtd=21.5" % stamp(time.time())
        self.send(frame(head + ";Flag=4;CP=&&%s&&" % cp()))  # no QN
        self.send(frame("QN=%s;%s;Flag=4;CP=&&%s&&" % (self.qn()[:14], head, cp())))  # QN of 14 digits
        self.send(frame("QN=%s;%s;CP=&&%s&&" % (self.qn(), head, cp())))  # no Flag
        self.send(frame("QN=%s;%s;Flag=6;PNO=1;PNUM=1;CP=&&%s&&" % (self.qn(), head, cp())))  # PNO before PNUM
        self.send(frame("QN=%s;%s;CP=&&%s&&;Flag=4" % (self.qn(), head, cp())))  # Flag behind the CP
        self.send(frame("QN=%s;%s;Flag=4" % (self.qn(), head)))  # no CP
        self.send(frame("QN=%s;%s;Flag=4;CP=&&%s;LogNo=%s&&" % (self.qn(), head, cp(), "9" * 1024)))  # above 1024 bytes
        while True:  # until the CRC has a letter
            wire = frame("QN=%s;%s;Flag=4;CP=&&%s&&" % (self.qn(), head, cp()))
            if wire[-6:-2].lower() != wire[-6:-2]:
                break
        self.send(wire[:-6] + wire[-6:-2].lower() + b"\r\n")  # lower-case CRC


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--host", default="127.0.0.1")
    p.add_argument("--port", type=int, required=True)
    p.add_argument("--device", action="append", required=True, metavar="EDITION,MN,ST,PW", help="2005, 2017 or 2025; once for each logger")
    p.add_argument("--minutes", type=int, default=10, help="minute records of each logger")
    p.add_argument("--odd", action="store_true", help="also send odd forms that a host has to take, from the loggers of 2017")
    p.add_argument("--requests", type=int, default=0, help="requests of the host that each logger waits for before it ends")
    p.add_argument("--wait", type=float, default=60, help="seconds that it waits for them")
    p.add_argument("--timeout", type=float, default=10, help="seconds to wait for an answer (OverTime)")
    p.add_argument("--retries", type=int, default=3, help="how often a frame is sent again (ReCount)")
    p.add_argument("--ledger", help="file for the acknowledged frames, one a line in hex")
    args = p.parse_args()
    loggers, faults = [Logger(args, *d.split(",")) for d in args.device], []

    def work(logger):
        try:
            logger.run()
        except (Mismatch, OSError, KeyError, ValueError) as err:
            faults.append("%s: %s: %s" % (logger.mn, type(err).__name__, err))
    try:
        check_examples()
    except Mismatch as err:
        faults.append(str(err))
    threads = [threading.Thread(target=work, args=(x,)) for x in loggers]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if args.ledger:
        with open(args.ledger, "w") as f:
            f.writelines(w.hex() + "\n" for x in loggers for w in x.acked)
    print(json.dumps({
        "ok": not faults,
        "devices": [dict(mn=x.mn, edition=x.edition, acked=len(x.acked), requests=x.requests, **x.counts) for x in loggers],
        "mismatches": faults,
    }, ensure_ascii=False))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
