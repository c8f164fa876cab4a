//go:build integration

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"outfall/bench"
	"outfall/ingest/hj212"
	"outfall/telemetry"
)

// A soakAct is what a soak device does at one of its turns. Each ends with every answer read that is owed, so that what the host must have
// counted is known at any time.
type soakAct uint8

const (
	actGood      soakAct = iota
	actFragments         // a frame in random pieces, some milliseconds apart
	actGlued             // three frames in one write
	actDuplicate         // a frame, and after its answer the same bytes again
	actCRC               // a frame with a CRC that no dialect gives, glued to a good one, as are the next three
	actGarbage           // bytes that begin no frame
	actPassword          // a frame with another PW
	actUnknownMN         // a frame of a device that is not registered
	actHalf              // the beginning of a frame, then an orderly end
	actReset             // the beginning of a frame, then a reset
	actSlow              // forty frames, and their answers are read seconds later
	actSilence           // nothing for four periods
	soakActs
)

var soakActNames = [soakActs]string{"good", "fragments", "glued", "duplicate", "bad CRC", "garbage", "wrong PW", "unknown MN", "half, closed",
	"half, reset", "slow reader", "silence"}

// soakShare is how many of a thousand turns are each act; the rest are actGood.
var soakShare = [soakActs]int{actFragments: 40, actGlued: 30, actDuplicate: 30, actCRC: 30, actGarbage: 30, actPassword: 20, actUnknownMN: 20,
	actHalf: 15, actReset: 20, actSlow: 5, actSilence: 20}

const (
	soakPassword = "123456"
	soakBurst    = 40               // frames of a slow reader
	soakPatience = 90 * time.Second // for an answer; the host has then lost the frame or is far too slow
	soakRedials  = 20
)

// A soakFleet is the field of a soak test.
type soakFleet struct {
	addr    string
	cfg     soakConfig
	devices []soakDevice

	acts       [soakActs]atomic.Int64
	sent       atomic.Int64 // good frames, each as often as it was sent; all of them are answered at the end
	connects   atomic.Int64
	live       atomic.Int64
	bytes      atomic.Int64 // written to sockets
	unanswered atomic.Int64
	broken     atomic.Int64 // connections that ended without the device's doing
	latency    [10_001]atomic.Int64

	mu     sync.Mutex // guards faults
	faults []string   // the first of what should not happen
}

// A soakDevice is one data logger, with one connection at a time.
type soakDevice struct {
	fleet *soakFleet
	index int
	mn    string
	conn  *net.TCPConn
	rng   *rand.Rand
	qn    time.Time // of the newest frame
	slot  time.Time // start of the newest minute that was sent
	buf   []byte    // read and not a whole frame yet

	// The frames that were answered: their number and the sum of their digests, which the journal's must equal.
	acked  int64
	digest uint64
}

func newSoakFleet(addr string, cfg soakConfig) *soakFleet {
	f := &soakFleet{addr: addr, cfg: cfg, devices: make([]soakDevice, cfg.devices)}
	for i := range f.devices {
		f.devices[i] = soakDevice{fleet: f, index: i, mn: soakMN(i), rng: rand.New(rand.NewPCG(1, uint64(i)))}
	}
	return f
}

func soakMN(i int) string { return fmt.Sprintf("010000A8900016F1%08X", i) }

// registry is the fleet as the host must know it.
func (f *soakFleet) registry() []telemetry.Device {
	devices := make([]telemetry.Device, len(f.devices))
	for i := range devices {
		devices[i] = telemetry.Device{MN: soakMN(i), PW: soakPassword, Outlet: fmt.Sprintf("S%05d", i), Enterprise: "soak", Medium: "water",
			MinuteInterval: 1, RealtimeInterval: max(5, int(f.cfg.period.Seconds())), OfflineAfter: 600}
	}
	return devices
}

// run plays all devices until ctx ends; each then finishes its turn and closes its connection. It owns one goroutine per device.
func (f *soakFleet) run(ctx context.Context) {
	var wg sync.WaitGroup
	for i := range f.devices {
		wg.Go(func() { f.devices[i].run(ctx) })
	}
	wg.Wait()
}

func (f *soakFleet) fault(format string, a ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.faults) < 10 {
		f.faults = append(f.faults, fmt.Sprintf(format, a...))
	}
}

// pause sleeps and reports whether the soak goes on.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (d *soakDevice) run(ctx context.Context) {
	f := d.fleet
	defer d.hangUp()
	if !pause(ctx, f.cfg.ramp*time.Duration(d.index)/time.Duration(len(f.devices))) {
		return
	}
	for {
		if d.conn == nil && !d.connect(ctx) {
			return
		}
		act := d.choose()
		f.acts[act].Add(1)
		if err := d.perform(ctx, act); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				f.unanswered.Add(1)
			} else {
				f.broken.Add(1)
			}
			f.fault("%s, %s: %v", d.mn, soakActNames[act], err)
			return // what the host took is not known any more
		}
		wait := f.cfg.period/2 + time.Duration(d.rng.Int64N(int64(f.cfg.period)))
		if act == actSilence {
			wait = 4 * f.cfg.period
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

func (d *soakDevice) choose() soakAct {
	n := d.rng.IntN(1000)
	for act, share := range soakShare {
		if n < share {
			return soakAct(act)
		}
		n -= share
	}
	return actGood
}

// connect dials from an address of the device's own neighbourhood: fifty devices share one.
func (d *soakDevice) connect(ctx context.Context) bool {
	at := d.index / 50
	dialer := net.Dialer{Timeout: 20 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 2, byte(at/250), byte(1+at%250))}}
	var err error
	for try := range soakRedials {
		var c net.Conn
		if c, err = dialer.DialContext(ctx, "tcp4", d.fleet.addr); err == nil {
			d.conn, d.buf = c.(*net.TCPConn), d.buf[:0]
			d.fleet.connects.Add(1)
			d.fleet.live.Add(1)
			return true
		}
		if !pause(ctx, time.Duration(try+1)*100*time.Millisecond) {
			return false
		}
	}
	d.fleet.broken.Add(1)
	d.fleet.fault("%s: %v", d.mn, err)
	return false
}

func (d *soakDevice) hangUp() {
	if d.conn != nil {
		d.conn.Close()
		d.conn = nil
		d.fleet.live.Add(-1)
	}
}

// perform does one turn.
func (d *soakDevice) perform(ctx context.Context, act soakAct) error {
	switch act {
	case actFragments:
		return d.fragments(ctx)
	case actGlued:
		return d.upload(nil, d.frame(), d.frame(), d.frame())
	case actDuplicate:
		frame := d.frame()
		if err := d.upload(nil, frame); err != nil {
			return err
		}
		return d.upload(nil, frame)
	case actCRC:
		return d.upload(d.badCRC(), d.frame())
	case actGarbage:
		return d.upload(d.garbage(), d.frame())
	case actPassword:
		return d.upload(d.build(d.mn, "654321"), d.frame())
	case actUnknownMN:
		return d.upload(d.build(fmt.Sprintf("010000A8900016FF%08X", d.index), soakPassword), d.frame())
	case actHalf, actReset:
		return d.half(ctx, act == actReset)
	case actSlow:
		return d.slow(ctx)
	case actSilence:
		return nil
	}
	return d.upload(nil, d.frame())
}

// upload writes before, which deserves no answer, and frames in one write, and reads the answers.
func (d *soakDevice) upload(before []byte, frames ...[]byte) error {
	if err := d.write(append(before, bytes.Join(frames, nil)...)); err != nil {
		return err
	}
	d.fleet.sent.Add(int64(len(frames)))
	return d.answers(time.Now(), frames)
}

func (d *soakDevice) write(b []byte) error {
	if err := d.conn.SetWriteDeadline(time.Now().Add(soakPatience)); err != nil {
		return err
	}
	n, err := d.conn.Write(b)
	d.fleet.bytes.Add(int64(n))
	return err
}

func (d *soakDevice) fragments(ctx context.Context) error {
	frame := d.frame()
	for rest := frame; len(rest) > 0; {
		n := min(len(rest), 1+d.rng.IntN(len(frame)/2))
		if err := d.write(rest[:n]); err != nil {
			return err
		}
		if rest = rest[n:]; len(rest) > 0 {
			// A device that is told to stop still completes its frame: half a frame would be another act.
			pause(context.WithoutCancel(ctx), time.Duration(1+d.rng.IntN(20))*time.Millisecond)
		}
	}
	d.fleet.sent.Add(1)
	return d.answers(time.Now(), [][]byte{frame})
}

func (d *soakDevice) half(ctx context.Context, reset bool) error {
	frame := d.build(d.mn, soakPassword)
	if err := d.write(frame[:6+d.rng.IntN(len(frame)-12)]); err != nil {
		return err
	}
	if reset {
		// Mostly the host has read it by then; a reset may throw away what it has not.
		pause(context.WithoutCancel(ctx), time.Duration(d.rng.IntN(40))*time.Millisecond)
		if err := d.conn.SetLinger(0); err != nil {
			return err
		}
	}
	d.hangUp()
	return nil
}

func (d *soakDevice) slow(ctx context.Context) error {
	var frames [][]byte
	for range soakBurst {
		frame := d.frame()
		if err := d.write(frame); err != nil {
			return err
		}
		frames = append(frames, frame)
		d.fleet.sent.Add(1)
	}
	pause(ctx, d.fleet.cfg.period)
	return d.answers(time.Time{}, frames)
}

// answers reads one 9014 for each frame, in any order, and books the frames. sent is when they were, zero when they waited on purpose.
func (d *soakDevice) answers(sent time.Time, frames [][]byte) error {
	if err := d.conn.SetReadDeadline(time.Now().Add(soakPatience)); err != nil {
		return err
	}
	open := make(map[string][]byte, len(frames))
	for _, frame := range frames {
		open[soakQN(frame[6:])] = frame
	}
	for len(open) > 0 {
		fr, size, err := hj212.Framer{}.Next(d.buf, false)
		if err != nil {
			return fmt.Errorf("the host sends no frame: %w", err)
		}
		if size == 0 {
			if err := d.read(); err != nil {
				return fmt.Errorf("%d answers are missing: %w", len(open), err)
			}
			continue
		}
		frame, due := open[soakQN(fr.Data)]
		if !due || !bytes.Contains(fr.Data, []byte(";CN=9014;")) {
			return fmt.Errorf("unexpected frame of the host: %q", fr.Raw)
		}
		delete(open, soakQN(fr.Data))
		d.buf = d.buf[:copy(d.buf, d.buf[size:])]
		d.acked++
		d.digest += soakDigest(frame)
		if !sent.IsZero() {
			ms := min(time.Since(sent).Milliseconds(), int64(len(d.fleet.latency)-1))
			d.fleet.latency[ms].Add(1)
		}
	}
	return nil
}

func (d *soakDevice) read() error {
	d.buf = append(d.buf, make([]byte, 512)...)
	n, err := d.conn.Read(d.buf[len(d.buf)-512:])
	d.buf = d.buf[:len(d.buf)-512+n]
	if n > 0 {
		return nil
	}
	if err == io.EOF {
		return errors.New("the host closed the connection")
	}
	return err
}

// soakQN is the QN of a segment that begins with it, as all of these do.
func soakQN(data []byte) string { return string(data[len("QN="):][:17]) }

// soakDigest stands for a frame in sums: sums of digests are equal when the same frames stand in both, as often.
func soakDigest(frame []byte) uint64 {
	d := bench.DigestOf(frame)
	return binary.LittleEndian.Uint64(d[:])
}

// frame is the next good frame: the last minute's record if it was not sent yet, else the values of the moment.
func (d *soakDevice) frame() []byte { return d.build(d.mn, soakPassword) }

// build is a sound frame that claims to be of the MN and PW.
func (d *soakDevice) build(mn, pw string) []byte {
	now := time.Now().Truncate(time.Millisecond)
	if !now.After(d.qn) {
		now = d.qn.Add(time.Millisecond)
	}
	d.qn = now
	seg := hj212.AppendQN([]byte("QN="), now)
	minute := now.Truncate(time.Minute).Add(-time.Minute)
	record := minute.After(d.slot) && mn == d.mn && pw == soakPassword
	if record {
		d.slot = minute
		seg = fmt.Appendf(seg, ";ST=32;CN=2051;PW=%s;MN=%s;Flag=5;CP=&&DataTime=", pw, mn)
		seg = hj212.AppendTime(seg, minute)
	} else {
		seg = fmt.Appendf(seg, ";ST=32;CN=2011;PW=%s;MN=%s;Flag=5;CP=&&DataTime=", pw, mn)
		seg = hj212.AppendTime(seg, now)
	}
	for _, code := range [...]string{"w00000", "w01001", "w01018", "w21003", "w21011"} {
		v := 7000 + d.rng.IntN(1000)
		if record {
			seg = fmt.Appendf(seg, ";%s-Min=%d.%03d,%[1]s-Avg=%[2]d.%03[3]d,%[1]s-Max=%[2]d.%03[3]d,%[1]s-Flag=N", code, v/1000, v%1000)
		} else {
			seg = fmt.Appendf(seg, ";%s-Rtd=%d.%03d,%[1]s-Flag=N", code, v/1000, v%1000)
		}
	}
	return hj212.AppendFrame(nil, append(seg, "&&"...))
}

// badCRC is a frame whose CRC is wrong in every dialect.
func (d *soakDevice) badCRC() []byte {
	frame := d.build(d.mn, soakPassword)
	data, digits := frame[6:len(frame)-6], frame[len(frame)-6:len(frame)-2]
	for crc := uint16(1); ; crc++ {
		if crc != hj212.DialectHJ.Sum(data) && crc != hj212.DialectModbus.Sum(data) && crc != hj212.DialectModbusSwapped.Sum(data) &&
			crc != hj212.DialectCCITT.Sum(data) {
			copy(digits, fmt.Sprintf("%04X", crc))
			return frame
		}
	}
}

// garbage is bytes of every kind but '#', so that no head appears among them by chance.
func (d *soakDevice) garbage() []byte {
	out := make([]byte, 1+d.rng.IntN(200))
	for i := range out {
		if out[i] = byte(d.rng.Uint32()); out[i] == '#' {
			out[i] = '!'
		}
	}
	return out
}
