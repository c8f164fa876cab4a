package tcp

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"outfall/ingest"
	"outfall/ingest/hj212"
	"outfall/internal/broker"
	"outfall/telemetry"
)

func TestMain(m *testing.M) {
	if address := os.Getenv(fleetVariable); address != "" {
		runFleet(address)
		return
	}
	goleak.VerifyTestMain(m, // gnet's worker pool lives as long as the process
		goleak.IgnoreAnyFunction("github.com/panjf2000/ants/v2.(*poolCommon).purgeStaleWorkers"),
		goleak.IgnoreAnyFunction("github.com/panjf2000/ants/v2.(*poolCommon).ticktock"))
}

// patience is how long a test waits for what comes at once on an idle machine.
const patience = 30 * time.Second

const (
	mn1 = "010000A8900016F000169DC0"
	mn2 = "88888880000001"
)

// gate is a publisher that can hold back what it is given, as brokers do that are away.
type gate struct {
	*ingest.KafkaPublisher
	mu    sync.Mutex
	shut  bool
	queue []func()
}

func (g *gate) Publish(rec ingest.Record, done func(error)) error {
	return g.KafkaPublisher.Publish(rec, func(err error) {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.shut {
			g.queue = append(g.queue, func() { done(err) })
			return
		}
		done(err)
	})
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	if !shut {
		for _, f := range g.queue {
			f()
		}
		g.queue = nil
	}
}

// rig is a whole front end on an embedded broker.
type rig struct {
	t       testing.TB
	cluster *broker.Cluster
	pub     *ingest.KafkaPublisher
	gate    *gate
	shelf   *shelf // of a light rig, which has no cluster
	in      *ingest.Intake
	srv     *Server
	metrics *prometheus.Registry
	stop    func()
}

// closed is how many connections ended by a cause, as the metrics say.
func (r *rig) closed(cause ingest.Cause) (n float64) {
	r.t.Helper()
	families, err := r.metrics.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "outfall_ingest_closed_total" && m.GetLabel()[0].GetValue() == cause.String() {
				n = m.GetCounter().GetValue()
			}
		}
	}
	return n
}

func startBroker(t testing.TB) *broker.Embedded {
	t.Helper()
	dir, err := os.MkdirTemp("", "tcp") // t.TempDir's path is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return startBrokerIn(t, dir)
}

func startBrokerIn(t testing.TB, dir string) *broker.Embedded {
	t.Helper()
	b, err := broker.StartEmbedded(dir, broker.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func register(t testing.TB, c *broker.Cluster, devices ...telemetry.Device) {
	t.Helper()
	cl, err := c.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for _, d := range devices {
		d.Outlet, d.Medium, d.MinuteInterval, d.OfflineAfter = "out-"+d.MN, "water", 10, 600
		rec := &kgo.Record{Topic: c.Topic(telemetry.TopicRegistry), Key: []byte(d.MN), Value: telemetry.AppendJSON(nil, &d)}
		if err := cl.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// start runs everything on b's cluster until the test ends or stop is called.
func start(t testing.TB, b *broker.Embedded, change func(*ingest.Config, *Config)) *rig {
	t.Helper()
	icfg, tcfg := ingest.DefaultConfig(), DefaultConfig()
	icfg.Linger = 2 * time.Millisecond
	icfg.OneSession = ingest.PolicyOff // the tests' loggers share two devices
	tcfg.Listen, tcfg.EventLoops = "127.0.0.1:0", 2
	if change != nil {
		change(&icfg, &tcfg)
	}
	log := zerolog.Nop()
	reg := prometheus.NewRegistry()
	r := &rig{t: t, cluster: b.Cluster(), metrics: reg}
	barrier := r.cluster.NewBarrier()
	devices := ingest.NewRegistry(r.cluster, reg, log)
	pub, err := ingest.NewKafkaPublisher(icfg, r.cluster, barrier, reg)
	if err != nil {
		t.Fatal(err)
	}
	r.pub, r.gate = pub, &gate{KafkaPublisher: pub}
	r.in = ingest.NewIntake(icfg, devices, r.gate, nil, reg, log)
	if r.srv, err = Listen(tcfg, r.in, reg, log); err != nil {
		t.Fatal(err)
	}
	var served, background sync.WaitGroup
	front, stopFront := context.WithCancel(context.Background())
	rest, stopRest := context.WithCancel(context.Background())
	run := func(wg *sync.WaitGroup, ctx context.Context, f func(context.Context) error) {
		wg.Go(func() {
			if err := f(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	run(&background, rest, barrier.Run)
	run(&background, rest, devices.Run)
	run(&served, front, r.srv.Run)
	r.stop = sync.OnceFunc(func() {
		stopFront()
		served.Wait()
		pub.Close()
		stopRest()
		background.Wait()
		if s := r.in.Stats(); s.Received != s.Journaled+s.Rejected || s.Connections != 0 || s.RejectedBy[ingest.ReasonPublishError] > 0 {
			t.Errorf("after the stop %+v: want received = journaled + rejected, nothing lost and no connections", s)
		}
	})
	t.Cleanup(r.stop)
	waitFor(t, "the registry", func() bool { return devices.Ready() == nil })
	return r
}

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// logger is a device's end of a connection.
type logger struct {
	t   testing.TB
	c   net.Conn
	buf []byte
}

func (r *rig) dial() *logger {
	r.t.Helper()
	c, err := net.Dial("tcp", r.srv.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return &logger{t: r.t, c: c}
}

func (l *logger) send(data string) {
	l.t.Helper()
	if _, err := l.c.Write([]byte(data)); err != nil {
		l.t.Fatal(err)
	}
}

// ack reads the next frame and returns its CN and QN.
func (l *logger) ack() (cn, qn string) {
	l.t.Helper()
	l.c.SetReadDeadline(time.Now().Add(patience))
	for {
		f, size, err := hj212.Framer{}.Next(l.buf, false)
		if err != nil {
			l.t.Fatal(err)
		}
		if size > 0 {
			var m hj212.Message
			if err := m.Parse(f.Data); err != nil {
				l.t.Fatal(err)
			}
			cn, qn = string(m.CN), string(m.QN)
			l.buf = l.buf[size:]
			return cn, qn
		}
		chunk := make([]byte, 4096)
		n, err := l.c.Read(chunk)
		if err != nil {
			l.t.Fatalf("wait for an ack: %v", err)
		}
		l.buf = append(l.buf, chunk[:n]...)
	}
}

// wantAcks reads one 9014 for each QN, in any order.
func (l *logger) wantAcks(qns ...string) {
	l.t.Helper()
	want := map[string]bool{}
	for _, qn := range qns {
		want[qn] = true
	}
	for range qns {
		cn, qn := l.ack()
		if cn != "9014" || !want[qn] {
			l.t.Fatalf("got %s of %s, want 9014 of one of %v", cn, qn, want)
		}
		delete(want, qn)
	}
}

// wantSilence checks that nothing comes for a while.
func (l *logger) wantSilence() {
	l.t.Helper()
	l.c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := l.c.Read(make([]byte, 100)); !os.IsTimeout(err) {
		l.t.Fatalf("%d bytes and %v, want silence", n, err)
	}
}

// wantClosed reads until the other side has closed.
func (l *logger) wantClosed() {
	l.t.Helper()
	l.c.SetReadDeadline(time.Now().Add(patience))
	for {
		if _, err := l.c.Read(make([]byte, 4096)); err != nil {
			if os.IsTimeout(err) {
				l.t.Fatal("still open")
			}
			return
		}
	}
}

// entries reads the topic: "kind key reason" and values.
func (r *rig) entries(topic telemetry.Topic) (heads []string, values map[string]int) {
	r.t.Helper()
	values = map[string]int{}
	err := r.cluster.ReadAll(r.t.Context(), topic, func(rec *kgo.Record) error {
		var kind, why string
		for _, h := range rec.Headers {
			switch h.Key {
			case telemetry.HeaderKind:
				kind = string(h.Value)
			case telemetry.HeaderReason:
				why = " " + string(h.Value)
			}
		}
		if want := telemetry.PartitionOf(string(rec.Key), r.cluster.Partitions()); rec.Partition != want {
			r.t.Errorf("%s in partition %d, want %d", rec.Key, rec.Partition, want)
		}
		heads = append(heads, kind+" "+string(rec.Key)+why)
		values[string(rec.Value)]++
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return heads, values
}

func qn(i int) string { return fmt.Sprintf("20260301%09d", i) }

func upload(mn, pw string, i int) string {
	seg := fmt.Sprintf("QN=%s;ST=32;CN=2011;PW=%s;MN=%s;Flag=5;CP=&&DataTime=20260301080000;w01018-Rtd=40.1,w01018-Flag=N&&", qn(i), pw, mn)
	return string(hj212.AppendFrame(nil, []byte(seg)))
}

func testDevices() []telemetry.Device {
	return []telemetry.Device{{MN: mn1, PW: "123456"}, {MN: mn2, TolerantTail: true}}
}

func count(list []string, what string) (n int) {
	for _, s := range list {
		if s == what {
			n++
		}
	}
	return n
}
