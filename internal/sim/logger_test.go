package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	"outfall/ingest/hj212"
)

// Factors of minute records and of real-time data: apart, so that minutes are made of records alone.
var (
	minuteFactors = []string{"w01018", "w21003"}
	instantFactor = "w01001"
)

// An upload is one frame that a logger sends.
type upload struct {
	due   time.Duration // after the start
	qn    string
	frame []byte
	noAck bool // damaged: the gateway owes nothing for it
	half  bool // the first half, then the connection is cut; the whole on the next
	twice bool // sent again at once, the same bytes

	sentAt time.Time
	tries  int
}

// A logger is one simulated data logger (数采仪). Its uploads are all there before the start, a function of the seed.
type logger struct {
	w       *world
	mn      string
	uploads []*upload // by due
	window  []*upload // sent and not acknowledged
	rng     *rand.Rand
	sent    map[string]bool // QN
	cut     chan struct{}   // a token: the line breaks
	acked   int
	sample  []byte // a frame of it
}

const (
	overTime = 5 * time.Second // HJ 212-2017 table 1
	reCount  = 3
	inFlight = 8
)

// script makes the uploads of a logger: history, live data with outages that are made up for later, duplicates, contradictions, data too old
// and in the future, and damaged frames. clock is the device's offset.
type script struct {
	rng   *rand.Rand
	mn    string
	start time.Time
	clock time.Duration
	qn    time.Time // of the newest upload
	out   []*upload
}

func newLogger(w *world, i int, seed uint64) *logger {
	s := &script{rng: rand.New(rand.NewPCG(seed, uint64(i)+100)), mn: deviceMN(i), start: w.start}
	if s.rng.IntN(3) == 0 {
		s.clock = time.Duration(s.rng.IntN(360)-180) * time.Second
	}
	s.history()
	s.live(w.plan.active)
	slices.SortStableFunc(s.out, func(a, b *upload) int { return int(a.due - b.due) })
	return &logger{w: w, mn: s.mn, uploads: s.out, rng: rand.New(rand.NewPCG(seed, uint64(i)+200)), sent: map[string]bool{}, cut: make(chan struct{}, 1),
		sample: s.out[0].frame}
}

func deviceMN(i int) string { return fmt.Sprintf("88888880000%013d", i) }

// history is past hours, sent at the start or, as after an outage, some minutes later; in order, backwards or shuffled.
func (s *script) history() {
	var minutes []time.Time
	for range 1 + s.rng.IntN(4) {
		hour := s.start.Add(-time.Duration(1+s.rng.IntN(76)) * time.Hour).Truncate(time.Hour)
		from, n := s.rng.IntN(60), 1+s.rng.IntN(40)
		for m := from; m < min(60, from+n); m++ {
			minutes = append(minutes, hour.Add(time.Duration(m)*time.Minute))
		}
	}
	switch s.rng.IntN(3) {
	case 0:
		slices.Reverse(minutes)
	case 1:
		s.rng.Shuffle(len(minutes), func(i, j int) { minutes[i], minutes[j] = minutes[j], minutes[i] })
	}
	due := time.Duration(s.rng.IntN(4)) * time.Minute
	for i, at := range minutes {
		s.minute(due+time.Duration(i)*100*time.Millisecond, at)
	}
}

func (s *script) live(active time.Duration) {
	outage := time.Duration(s.rng.IntN(int(active)))
	for m := time.Duration(0); m+time.Minute < active; m += time.Minute {
		due := m + time.Minute + time.Duration(s.rng.IntN(4000))*time.Millisecond
		if m > outage && m < outage+2*time.Minute { // made up for later
			due = min(outage+3*time.Minute, active) + time.Duration(s.rng.IntN(5000))*time.Millisecond
		}
		s.minute(due, s.start.Add(m))
	}
	every := time.Duration(10+s.rng.IntN(20)) * time.Second
	for at := every; at < active; at += every {
		s.instant(at)
	}
}

// minute is the record of the minute at (2051), and what may come with it.
func (s *script) minute(due time.Duration, at time.Time) {
	value := func() string {
		avg := 10 + s.rng.IntN(60)
		cp := "DataTime=" + string(hj212.AppendTime(nil, at.Add(s.clock)))
		for _, f := range minuteFactors[:1+s.rng.IntN(2)] {
			cp += fmt.Sprintf(";%[1]s-Min=%d.%d,%[1]s-Avg=%[4]d.%d,%[1]s-Max=%[6]d.5,%[1]s-Flag=N", f, avg-3, s.rng.IntN(10), avg, s.rng.IntN(10), avg+2)
		}
		return cp
	}
	u := s.add(due, "2051", value())
	switch s.rng.IntN(20) {
	case 0:
		s.add(due+time.Duration(s.rng.IntN(60))*time.Second, "2051", value()) // a contradiction
	case 1:
		u.twice = true
	case 2:
		u.half = true
	case 3:
		s.damaged(due)
	}
}

// instant is real-time data (2011); some are no numbers, or marked as invalid, or of a time that cannot be.
func (s *script) instant(due time.Duration) {
	at, value, flag := s.start.Add(due+s.clock), fmt.Sprintf("%d.%02d", 6+s.rng.IntN(4), s.rng.IntN(100)), "N"
	switch s.rng.IntN(16) {
	case 0:
		value = "null"
	case 1:
		flag = "D"
	case 2:
		at = at.Add(time.Duration(40+s.rng.IntN(20)) * time.Minute) // beyond any step of the gateway's clock
	}
	cp := func(value string) string {
		return fmt.Sprintf("DataTime=%s;%s-Rtd=%s,%[2]s-Flag=%[4]s", hj212.AppendTime(nil, at), instantFactor, value, flag)
	}
	u := s.add(due, "2011", cp(value))
	u.twice = s.rng.IntN(20) == 0
	if s.rng.IntN(12) == 0 { // a contradiction, by a number or none
		s.add(due+time.Duration(s.rng.IntN(8000))*time.Millisecond, "2011", cp([]string{"null", "5.5", "--"}[s.rng.IntN(3)]))
	}
}

func (s *script) add(due time.Duration, cn, cp string) *upload {
	s.qn = s.start.Add(due + s.clock + time.Duration(len(s.out))*time.Millisecond) // apart from each other
	qn := string(hj212.AppendQN(nil, s.qn))
	u := &upload{due: due, qn: qn, frame: hj212.AppendRequest(nil, hj212.Request{QN: qn, ST: "32", CN: cn, PW: "123456", MN: s.mn,
		Version: hj212.Version2017, WantAck: true, CP: []byte(cp)})}
	s.out = append(s.out, u)
	return u
}

// damaged is a frame that a line has changed in one place.
func (s *script) damaged(due time.Duration) {
	u := s.add(due, "2051", "DataTime=20000101000000;w01018-Avg=1.0,w01018-Flag=N")
	u.noAck = true
	u.frame[10+s.rng.IntN(len(u.frame)-20)] ^= byte(1 + s.rng.IntN(15))
}

// run sends what is due until everything is acknowledged or ctx ends.
func (l *logger) run(ctx context.Context) {
	for ctx.Err() == nil && (len(l.uploads) > 0 || len(l.window) > 0) {
		conn, err := l.w.dialGateway(ctx, fmt.Sprintf("192.0.2.%d:%d", 1+len(l.mn)%200, 1024+l.rng.IntN(60000)))
		if err == nil {
			l.talk(ctx, conn)
		}
		sleep(ctx, time.Duration(200+l.rng.IntN(3000))*time.Millisecond)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

var errCut = errors.New("sim: the line broke")

// talk serves one connection to its end.
func (l *logger) talk(ctx context.Context, conn net.Conn) {
	acks := make(chan string, 1000)
	go readAcks(conn, acks)
	defer func() {
		conn.Close()
		for qn := range acks { // what came before the end counts
			l.gotAck(qn)
		}
	}()
	for _, u := range l.window {
		u.tries, u.half = 0, false
		if l.write(conn, u) != nil {
			return
		}
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for len(l.uploads) > 0 || len(l.window) > 0 {
		if l.sendDue(conn) != nil || l.resend(conn) != nil {
			return
		}
		timer.Reset(max(time.Millisecond, time.Until(l.wake())))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-l.cut:
			return
		case qn, ok := <-acks:
			if !ok {
				return
			}
			l.gotAck(qn)
		}
	}
}

func (l *logger) sendDue(conn net.Conn) error {
	for len(l.uploads) > 0 && len(l.window) < inFlight && time.Since(l.w.start) >= l.uploads[0].due {
		u := l.uploads[0]
		l.uploads = l.uploads[1:]
		l.sent[u.qn] = true
		if !u.noAck {
			l.window = append(l.window, u)
		}
		if err := l.write(conn, u); err != nil {
			return err
		}
		if u.twice {
			if err := l.write(conn, u); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *logger) resend(conn net.Conn) error {
	for _, u := range l.window {
		if time.Since(u.sentAt) < overTime {
			continue
		}
		if u.tries++; u.tries > reCount {
			return errCut
		}
		if err := l.write(conn, u); err != nil {
			return err
		}
	}
	return nil
}

func (l *logger) write(conn net.Conn, u *upload) error {
	u.sentAt = time.Now()
	_ = conn.SetWriteDeadline(time.Now().Add(overTime * reCount)) // a gateway that cannot store stops reading
	frame := u.frame
	if u.half {
		frame = frame[:len(frame)/2]
	}
	for len(frame) > 0 { // in pieces, as TCP may cut them
		n := min(len(frame), 1+l.rng.IntN(400))
		if _, err := conn.Write(frame[:n]); err != nil {
			return err
		}
		frame = frame[n:]
	}
	if u.half {
		u.half = false
		return errCut
	}
	return nil
}

func (l *logger) wake() time.Time {
	at := time.Now().Add(time.Hour)
	if len(l.uploads) > 0 && len(l.window) < inFlight {
		at = l.w.start.Add(l.uploads[0].due)
	}
	for _, u := range l.window {
		if late := u.sentAt.Add(overTime); late.Before(at) {
			at = late
		}
	}
	return at
}

// gotAck takes the upload out of the window and into the ledger.
func (l *logger) gotAck(qn string) {
	if !l.sent[qn] {
		l.w.fail("an ack of %s for QN %s, which it never sent", l.mn, qn)
	}
	for i, u := range l.window {
		if u.qn == qn {
			l.window = slices.Delete(l.window, i, i+1)
			l.acked++
			l.w.enter(l.mn, u.frame)
			return
		}
	}
}

// readAcks sends the QN of every 9014 on acks, and closes it when the connection ends.
func readAcks(conn net.Conn, acks chan<- string) {
	defer close(acks)
	var buf []byte
	var msg hj212.Message
	chunk := make([]byte, 512)
	for {
		n, err := conn.Read(chunk)
		buf = append(buf, chunk[:n]...)
		for {
			f, size, bad := hj212.Framer{}.Next(buf, false)
			if size == 0 {
				break
			}
			if bad == nil && msg.Parse(f.Data) == nil && string(msg.CN) == "9014" {
				acks <- string(msg.QN)
			}
			buf = buf[size:]
		}
		if err != nil {
			return
		}
	}
}

// attack sends bytes of every kind to the gateway until ctx ends or it is thrown out: noise, frames with changed bytes, heads without an end.
func attack(ctx context.Context, w *world, rng *rand.Rand, sample []byte) {
	conn, err := w.dialGateway(ctx, fmt.Sprintf("203.0.113.%d:%d", 1+rng.IntN(200), 1024+rng.IntN(60000)))
	if err != nil {
		return
	}
	defer conn.Close()
	drained := make(chan struct{})
	go func() { defer close(drained); _, _ = io.Copy(io.Discard, conn) }()
	for range 1 + rng.IntN(30) {
		var b []byte
		switch rng.IntN(5) {
		case 0:
			b = make([]byte, 1+rng.IntN(3000))
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
		case 1:
			b = fmt.Appendf(nil, "##%04d", rng.IntN(10000))
		case 2:
			b = slices.Clone(sample[:rng.IntN(len(sample))])
		case 3:
			b = []byte("\r\n\r\n## ##0001##0001####")
		default:
			b = slices.Clone(sample)
			for range rng.IntN(4) {
				b[rng.IntN(len(b))] = byte(rng.Uint32())
			}
			// The standard's CRC passes one in 500 of these: to everybody it is then the device's own, contradictory data.
		}
		_ = conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
		if _, err := conn.Write(b); err != nil {
			break
		}
		sleep(ctx, time.Duration(rng.IntN(3000))*time.Millisecond)
	}
	conn.Close()
	<-drained
}
