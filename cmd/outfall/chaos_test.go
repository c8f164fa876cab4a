//go:build integration

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outfall/bench"
	"outfall/deploy/sample"
	"outfall/internal/broker"
	"outfall/rules/registryfile"
	"outfall/telemetry"
)

// A chaosConfig sizes a kill test.
type chaosConfig struct {
	seed     uint64 // of the moments of the kills and the pauses after them
	devices  int    // data loggers, each with a real-time frame a second
	backfill int    // hours of minute records that each sends first, two a second
	pause    time.Duration
	calm     time.Duration // after the last kill everything is left alone for so long
	limit    time.Duration // everything but the checks must be over by then
}

// chaosPatience is how long a thing that was killed may take to serve again: a machine that does ten other things is no failure.
const chaosPatience = 3 * time.Minute

// A chaosVictim is something that is killed again and again. One goroutine owns it from its first kill until the calm is over.
type chaosVictim struct {
	name  string
	kills int
	run   time.Duration   // between being ready and the next kill it runs for up to so long
	kill  func() error    // SIGKILL, and its death
	start func() error    // starts it again
	ready func() bool     // it serves again; nil: whatever it does then is no business of its killer
	whole func() bool     // nothing at all is missing, which takes longer; nil: that is ready. Every tenth kill is waited for so, and the last
	acks  bool            // it serves again only when a frame was acknowledged since its start
	ended <-chan struct{} // closed when it ended, by a kill or by itself; nil: somebody else starts it again
	why   func() string   // what it said last
}

// chaos kills victims while a fleet of data loggers uploads, waits for acknowledgements and sends again, and keeps the books.
type chaos struct {
	cfg    chaosConfig
	fleet  *bench.Fleet
	ledger *bench.Ledger
	acked  string // the ledger's file

	mu     sync.Mutex // guards the rest
	books  map[string]*chaosBook
	faults []error
}

// A chaosBook is what happened to one victim.
type chaosBook struct {
	kills, early int             // early: killed before it was ready
	ended        []string        // what it said when it ended by itself
	recovery     []time.Duration // from the start after a kill until it served
}

// chaosDevices are the sample registry's outlets, with their odd loggers, and others beside them up to n.
func chaosDevices(n int) ([]telemetry.Device, error) {
	file, err := registryfile.Parse("sample", sample.Registry)
	if err != nil {
		return nil, err
	}
	devices := file.Devices
	for i := len(devices); i < n; i++ {
		medium := "water"
		if i%3 == 0 {
			medium = "gas"
		}
		devices = append(devices, telemetry.Device{MN: fmt.Sprintf("010000A8900016F2%08X", i), PW: "123456", Outlet: fmt.Sprintf("X%04d", i),
			Enterprise: "chaos", Medium: medium, MinuteInterval: 1, RealtimeInterval: 5, OfflineAfter: 60})
	}
	return devices, nil
}

// writeChaosFiles writes the registry and the rules of a kill test into dir.
func writeChaosFiles(t *testing.T, dir string, devices []telemetry.Device) (registry, rules string) {
	t.Helper()
	registry, rules = filepath.Join(dir, "registry.csv"), filepath.Join(dir, "rules.yaml")
	if err := errors.Join(os.WriteFile(registry, registryfile.Format(devices), 0o600), os.WriteFile(rules, sample.Rules, 0o600)); err != nil {
		t.Fatal(err)
	}
	return registry, rules
}

// runChaos plays the fleet against addr and kills the victims meanwhile, all at the same time, and returns when the last has been killed as
// often as it is to be, all serve again, and the calm is over. Any fault is an error of the test.
func runChaos(t *testing.T, cfg chaosConfig, addr string, devices []telemetry.Device, victims []*chaosVictim) *chaos {
	t.Helper()
	c := &chaos{cfg: cfg, acked: filepath.Join(t.TempDir(), "ledger"), books: map[string]*chaosBook{}}
	f, err := os.Create(c.acked)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c.ledger = bench.NewLedger(f)
	fc := bench.DefaultConfig()
	fc.Addr, fc.Devices, fc.BackfillHours, fc.BackfillRate, fc.RealtimeInterval, fc.Seed = addr, devices, cfg.backfill, 2, time.Second, cfg.seed
	fc.BackoffMax, fc.OnAcked, fc.Dial = time.Second, c.ledger.Add, chaosDial()
	if c.fleet, err = bench.NewFleet(fc); err != nil {
		t.Fatal(err)
	}
	t.Logf("seed %d, %d loggers", cfg.seed, c.fleet.Size())

	ctx, cancel := context.WithTimeout(t.Context(), cfg.limit)
	defer cancel()
	playing, stopPlaying := context.WithCancel(t.Context())
	defer stopPlaying()
	var fleet, owners, killing sync.WaitGroup
	fleet.Go(func() {
		if err := c.fleet.Run(playing, time.Now()); err != nil {
			c.fault(err)
		}
	})
	tending, stopTending := context.WithCancel(ctx)
	defer stopTending()
	for i, v := range victims {
		c.books[v.name] = &chaosBook{}
		killing.Add(1)
		owners.Go(func() {
			err := c.killAll(ctx, v, rand.New(rand.NewPCG(cfg.seed, uint64(i))))
			killing.Done()
			if err == nil {
				err = c.tend(tending, v, cfg.limit)
			}
			if err != nil {
				c.fault(fmt.Errorf("%s: %w", v.name, err))
				cancel()
			}
		})
	}
	killing.Wait()
	pause(ctx, cfg.calm)
	stopPlaying()
	fleet.Wait()
	stopTending()
	owners.Wait()
	if err := c.ledger.Flush(); err != nil {
		c.fault(err)
	}
	c.print(t)
	for _, err := range c.faults {
		t.Error(err)
	}
	if t.Failed() {
		t.FailNow()
	}
	return c
}

// chaosDial dials from addresses of the loggers' own: their ports are then never those that a server wants back.
func chaosDial() func(context.Context, string) (net.Conn, error) {
	var n atomic.Uint32
	return func(ctx context.Context, addr string) (net.Conn, error) {
		d := net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 2, 0, byte(1+n.Add(1)%50))}}
		return d.DialContext(ctx, "tcp4", addr)
	}
}

// killAll kills v as often as it is to be, at random moments; one kill of eight comes soon after a start, ready or not.
func (c *chaos) killAll(ctx context.Context, v *chaosVictim, rng *rand.Rand) error {
	upTo := func(d time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(d))) }
	wait, acked := upTo(v.run), int64(0)
	for n := range v.kills {
		if err := c.tend(ctx, v, wait); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("only %d of %d kills: %w", n, v.kills, ctx.Err())
		}
		early := n%8 == 7 && v.ready != nil && !c.serves(v, acked)
		if err := v.kill(); err != nil {
			return err
		}
		c.note(v, func(b *chaosBook) {
			b.kills++
			if early {
				b.early++
			}
		})
		pause(ctx, upTo(c.cfg.pause))
		began := time.Now()
		acked = c.ledger.Len()
		if err := v.start(); err != nil {
			return err
		}
		if wait = upTo(v.run); v.ready == nil {
			continue
		}
		if n%8 == 6 && n != v.kills-1 {
			wait = upTo(1500 * time.Millisecond)
			continue
		}
		if err := c.await(ctx, v, func() bool { return c.serves(v, acked) }); err != nil {
			return err
		}
		c.note(v, func(b *chaosBook) { b.recovery = append(b.recovery, time.Since(began)) })
		if v.whole != nil && (n%10 == 9 || n == v.kills-1) {
			if err := c.await(ctx, v, v.whole); err != nil {
				return err
			}
		}
	}
	return nil
}

// serves reports whether v, which was started when so many frames were acknowledged, serves again.
func (c *chaos) serves(v *chaosVictim, acked int64) bool {
	return (!v.acks || c.ledger.Len() > acked) && v.ready()
}

// await waits until ready says that v is.
func (c *chaos) await(ctx context.Context, v *chaosVictim, ready func() bool) error {
	for end := time.Now().Add(chaosPatience); !ready(); {
		if time.Now().After(end) {
			return fmt.Errorf("not ready within %v of its start", chaosPatience)
		}
		if err := c.tend(ctx, v, 20*time.Millisecond); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("not ready again when the time was up: %w", ctx.Err())
		}
	}
	return nil
}

// tend starts v again whenever it ends by itself, as a service manager does, for so long.
func (c *chaos) tend(ctx context.Context, v *chaosVictim, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			return nil
		case <-v.ended:
		}
		c.note(v, func(b *chaosBook) { b.ended = append(b.ended, v.why()) })
		if !pause(ctx, time.Second) {
			return nil
		}
		if err := v.start(); err != nil {
			return err
		}
	}
}

func (c *chaos) note(v *chaosVictim, fn func(*chaosBook)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fn(c.books[v.name])
}

func (c *chaos) fault(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, err)
}

// print prints the books of the kills and of the fleet.
func (c *chaos) print(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for name := range c.books {
		names = append(names, name)
	}
	slices.Sort(names)
	kills := 0
	t.Logf("%-14s %6s %12s %16s %10s %10s", "victim", "kills", "while down", "ended by itself", "back p50", "max")
	for _, name := range names {
		b := c.books[name]
		kills += b.kills
		slices.Sort(b.recovery)
		p50, longest := "-", "-"
		if n := len(b.recovery); n > 0 {
			p50, longest = b.recovery[n/2].Round(10*time.Millisecond).String(), b.recovery[n-1].Round(10*time.Millisecond).String()
		}
		t.Logf("%-14s %6d %12d %16d %10s %10s", name, b.kills, b.early, len(b.ended), p50, longest)
		for _, why := range b.ended {
			t.Logf("%s ended by itself: %s", name, why)
		}
	}
	s := c.fleet.Stats()
	t.Logf("%d kills; fleet: %d uploads, %d acknowledged, %d sent again, %d reconnects, %d acknowledgements twice or late", kills, s.Sent, s.Acked, s.Resent,
		s.Reconnects, s.Unmatched)
}

// TestEndToEndChaosShort kills, some times, whatever no other test shares: `make chaos` is the long form.
func TestEndToEndChaosShort(t *testing.T) {
	cfg := chaosConfig{seed: uint64(time.Now().UnixNano()), devices: 200, backfill: 1, pause: time.Second, calm: 3 * time.Second, limit: 5 * time.Minute}
	t.Run("embedded", func(t *testing.T) { chaosEmbedded(t, cfg, 6, 2, 2*time.Second) })
	t.Run("processes", func(t *testing.T) {
		prefix := fmt.Sprintf("chaos%d.", time.Now().UnixNano())
		kafka := broker.DefaultConfig()
		kafka.Brokers, kafka.TopicPrefix, kafka.Partitions, kafka.ReplicationFactor = []string{env(t, "OUTFALL_TEST_KAFKA")}, prefix, 4, 1
		db := influx2{url: env(t, "OUTFALL_TEST_INFLUX2"), org: env(t, "OUTFALL_TEST_INFLUX2_ORG"), token: env(t, "OUTFALL_TEST_INFLUX2_TOKEN"),
			bucket: strings.Trim(prefix, ".")}
		db.createBucket(t)
		chaosCluster(t, cfg, chaosBed{kafka: kafka, influx: influxQL{db.url, db.bucket, db.token}, org: db.org,
			ingest: 3, workers: [2]int{3, 3}, sink: 3, run: 3 * time.Second})
	})
}
