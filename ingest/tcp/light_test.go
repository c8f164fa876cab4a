package tcp

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"outfall/ingest"
	"outfall/telemetry"
)

// shelf is a Publisher in memory: records are durable at once, or when it is opened again.
type shelf struct {
	mu    sync.Mutex
	room  *sync.Cond
	queue []func(error)
	shut  bool
	ended bool
	bytes int64 // of values in queue
	limit int64 // of bytes; 0: none
	blind bool  // keep nothing
	kept  map[string]int
	peers map[string]bool // host:port of origins
	done  chan struct{}
}

func newShelf() *shelf {
	s := &shelf{kept: map[string]int{}, peers: map[string]bool{}, done: make(chan struct{})}
	s.room = sync.NewCond(&s.mu)
	go s.work()
	return s
}

func (s *shelf) Publish(rec ingest.Record, done func(error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	size := int64(len(rec.Value)) + 512
	if s.limit > 0 && s.bytes+size > s.limit {
		return ingest.ErrFull
	}
	value := ""
	if rec.Kind == telemetry.KindFrame && !s.blind {
		value = string(rec.Value)
	}
	s.bytes += size
	if !s.blind {
		s.peers[rec.Origin.Peer] = true
	}
	s.queue = append(s.queue, func(err error) {
		s.mu.Lock()
		s.bytes -= size
		if value != "" {
			s.kept[value]++
		}
		s.mu.Unlock()
		done(err)
	})
	s.room.Signal()
	return nil
}

func (s *shelf) work() {
	defer close(s.done)
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for len(s.queue) == 0 || s.shut {
			if s.ended {
				return
			}
			s.room.Wait()
		}
		queue := s.queue
		s.queue = nil
		s.mu.Unlock()
		for _, done := range queue {
			done(nil)
		}
		s.mu.Lock()
	}
}

func (s *shelf) Flush(context.Context) error { return nil }

func (s *shelf) set(shut bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shut = shut
	s.room.Signal()
}

// bound sets how many bytes may be on the way.
func (s *shelf) bound(limit int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = limit
}

func (s *shelf) close() {
	s.mu.Lock()
	s.ended = true
	s.room.Signal()
	s.mu.Unlock()
	<-s.done
}

func (s *shelf) count(value string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept[value]
}

func (s *shelf) saw(peer string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peers[peer]
}

// known is a registry of the test devices, and of every MN that begins with "fleet".
type known map[string]*ingest.Device

func newKnown(more ...telemetry.Device) known {
	k := known{}
	for _, d := range append(testDevices(), more...) {
		k[d.MN] = ingest.NewDevice(d)
	}
	return k
}

func (k known) Loaded() bool { return true }

func (k known) Lookup(mn []byte) *ingest.Device {
	if bytes.HasPrefix(mn, []byte("fleet")) {
		return k[mn2]
	}
	return k[string(mn)]
}

// startLight runs a front end on a shelf until the test ends or stop is called.
func startLight(t testing.TB, change func(*ingest.Config, *Config), devices ...telemetry.Device) *rig {
	t.Helper()
	icfg, tcfg := ingest.DefaultConfig(), DefaultConfig()
	icfg.OneSession = ingest.PolicyOff
	tcfg.Listen, tcfg.EventLoops, tcfg.AcceptRate = "127.0.0.1:0", 2, 0
	if change != nil {
		change(&icfg, &tcfg)
	}
	reg, pub := prometheus.NewRegistry(), newShelf()
	r := &rig{t: t, metrics: reg, shelf: pub}
	r.in = ingest.NewIntake(icfg, newKnown(devices...), pub, nil, reg, zerolog.Nop())
	var err error
	if r.srv, err = Listen(tcfg, r.in, reg, zerolog.Nop()); err != nil {
		pub.close()
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var served sync.WaitGroup
	served.Go(func() {
		if err := r.srv.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	r.stop = sync.OnceFunc(func() {
		cancel()
		served.Wait()
		pub.close()
		s := r.in.Stats()
		if s.Received != s.Journaled+s.Rejected || s.Connections != 0 || r.srv.live.Load() != 0 || r.srv.encrypted.Load() != 0 || r.srv.backlog.Load() != 0 {
			t.Errorf("after the stop %+v, %d live, %d bytes of backlog: want received = journaled + rejected and no connections",
				s, r.srv.live.Load(), r.srv.backlog.Load())
		}
	})
	t.Cleanup(r.stop)
	return r
}

// dialFrom connects from a loopback address of its own.
func (r *rig) dialFrom(address string) *logger {
	r.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}, Timeout: patience}
	c, err := d.Dial("tcp", r.srv.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return &logger{t: r.t, c: c}
}

// fleetVariable makes the test binary a fleet of data loggers: "ADDRESS COUNT".
const fleetVariable = "OUTFALL_TEST_FLEET"

// runFleet connects, uploads one frame on each connection, says so and keeps them until its input ends.
func runFleet(order string) {
	address, n, _ := strings.Cut(order, " ")
	count, err := strconv.Atoi(n)
	for i := 0; err == nil && i < count; i++ {
		var c net.Conn
		if c, err = net.Dial("tcp", address); err == nil {
			defer c.Close()
			err = exchange(c, upload(fmt.Sprintf("fleet%05d", i), "", i))
		}
	}
	fmt.Println("ready", err)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// exchange sends a frame and reads to the end of one ack.
func exchange(c net.Conn, frame string) error {
	if _, err := c.Write([]byte(frame)); err != nil {
		return err
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	buf, n := make([]byte, 256), 0
	for !bytes.HasSuffix(buf[:n], []byte("\r\n")) {
		m, err := c.Read(buf[n:])
		if err != nil {
			return err
		}
		n += m
	}
	return nil
}

// startFleet runs a fleet in a process of its own until stop.
func startFleet(t testing.TB, address string, count int) (stop func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", fleetVariable, address, count))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready <nil>\n" {
		t.Fatalf("the fleet says %q, %v", line, err)
	}
	return stop
}
