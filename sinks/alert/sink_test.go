package alert

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/internal/broker"
	"outfall/telemetry"
)

func cluster(t testing.TB) *broker.Cluster {
	t.Helper()
	dir, err := os.MkdirTemp("", "alert") // not t.TempDir: the path of a Unix socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	conf := broker.DefaultConfig()
	conf.Partitions = 3
	e, err := broker.StartEmbedded(dir, conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e.Cluster()
}

// hook is a webhook on the network, and its channel.
func hook(t testing.TB, name string) (*vendor, Channel) {
	t.Helper()
	v := &vendor{typ: TypeWebhook}
	ch := v.channel(t, name)
	server := httptest.NewServer(v)
	t.Cleanup(server.Close)
	ch.URL = server.URL + "/in"
	return v, ch
}

func hookConfig(ch ...Channel) Config {
	cfg := DefaultConfig()
	cfg.Channels, cfg.Default, cfg.GroupWait = ch, []string{ch[0].Name}, 10*time.Millisecond
	return cfg
}

// A testSink runs until stop, or the end of the test.
type testSink struct {
	*Sink
	stop func()
}

func runSink(t testing.TB, cfg Config, c *broker.Cluster) *testSink {
	t.Helper()
	barrier := c.NewBarrier()
	s, err := New(cfg, c, barrier, zerolog.New(zerolog.NewTestWriter(t)), prometheus.NewPedanticRegistry())
	if err != nil {
		t.Fatal(err)
	}
	syncing, stopSync := context.WithCancel(context.Background())
	ctx, cancel := context.WithCancel(context.Background())
	synced, done := make(chan struct{}), make(chan struct{})
	go func() { defer close(synced); _ = barrier.Run(syncing) }()
	go func() {
		defer close(done)
		if err := s.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	}()
	stop := func() { cancel(); <-done; stopSync(); <-synced }
	t.Cleanup(stop)
	return &testSink{s, stop}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within two minutes: %s", what)
		}
	}
}

// A writer produces events of alarms as the stream worker does.
type writer struct {
	t      testing.TB
	c      *broker.Cluster
	client *kgo.Client
	source int64
}

func newWriter(t testing.TB, c *broker.Cluster) *writer {
	cl, err := c.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return &writer{t: t, c: c, client: cl}
}

// alarm writes an event of alarm n, whose device is its own.
func (w *writer) alarm(n int, change func(*telemetry.Alarm)) {
	w.t.Helper()
	a := SampleMessage(FormAlarm, "", time.Now()).Events[0].Alarm
	a.ID, a.MN, a.Outlet = fmt.Sprintf("%016x", n), fmt.Sprintf("MN%04d", n), fmt.Sprintf("W%04d", n)
	if change != nil {
		change(&a)
	}
	w.source++
	w.write(w.source, a)
}

func (w *writer) write(source int64, a telemetry.Alarm) {
	w.t.Helper()
	rec := &kgo.Record{Topic: w.c.Topic(telemetry.TopicAlarms), Partition: telemetry.PartitionOf(a.MN, w.c.Partitions()), Key: []byte(a.MN),
		Value: telemetry.AppendJSON(nil, a), Timestamp: time.Now(), Headers: []kgo.RecordHeader{
			{Key: telemetry.HeaderSource, Value: []byte(strconv.FormatInt(source, 10))}, {Key: telemetry.HeaderOrdinal, Value: []byte("0")}}}
	if err := w.client.ProduceSync(w.t.Context(), rec).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// heard lists the alarms and states that a webhook got, in order.
func heard(v *vendor) (all []string) {
	for _, m := range v.got() {
		var b WebhookBody
		if json.Unmarshal([]byte(m.body), &b) != nil {
			continue
		}
		for _, e := range b.Events {
			all = append(all, e.Alarm.Outlet+" "+string(e.Alarm.State))
		}
	}
	return all
}

// notices are what a topic says was told.
func notices(t testing.TB, c *broker.Cluster, topic telemetry.Topic) (all []telemetry.Action) {
	t.Helper()
	err := c.ReadAll(t.Context(), topic, func(rec *kgo.Record) error {
		if a := actionOf(rec); a != nil && a.Verb == telemetry.VerbNotice {
			if want := telemetry.PartitionOf(a.MN, c.Partitions()); rec.Partition != want || string(rec.Key) != a.MN {
				t.Errorf("notice of %s in partition %d under key %s", a.MN, rec.Partition, rec.Key)
			}
			all = append(all, *a)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// forget takes the group's offsets back to the start: as after a crash between the receipts and the commit.
func forget(t testing.TB, s *Sink) {
	t.Helper()
	cl, err := s.cluster.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).DeleteGroup(t.Context(), s.group()); err != nil {
		t.Fatal(err)
	}
}

// Every event once, by position; every message with a receipt in the journal and in the topic; a restart repeats nothing, committed or not.
func TestEachEventOnce(t *testing.T) {
	c := cluster(t)
	v, ch := hook(t, "hook")
	s := runSink(t, hookConfig(ch), c)
	w := newWriter(t, c)
	for n := range 20 {
		w.alarm(n, nil)
	}
	a := SampleMessage(FormAlarm, "", time.Now()).Events[0].Alarm
	a.MN, a.ID = "MN0019", "late"
	w.write(1, a) // a zombie's: its position was passed
	eventually(t, "20 events", func() bool { return len(heard(v)) >= 20 })
	eventually(t, "no event waits", func() bool { n, _ := marksOf(s); return n == 0 })
	s.stop()
	if got := heard(v); len(got) != 20 {
		t.Errorf("heard %v", got)
	}
	if got := testutil.ToFloat64(s.metrics.events.WithLabelValues(resultDuplicate)); got != 1 {
		t.Errorf("%v duplicates, want 1", got)
	}
	for _, topic := range []telemetry.Topic{telemetry.TopicJournal, telemetry.TopicActions} {
		told := map[string]int{}
		for _, n := range notices(t, c, topic) {
			if n.Notice.Result != telemetry.NoticeAccepted || n.Notice.Status != 200 || n.Notice.Receipt != "ok" || n.Notice.Message == "" {
				t.Errorf("%+v", n.Notice)
			}
			for _, id := range n.Alarms {
				told[id]++
			}
		}
		if len(told) != 20 {
			t.Errorf("%v has receipts of %d alarms", topic, len(told))
		}
	}
	for _, round := range []string{"after a clean end", "after a crash between receipt and commit"} {
		if strings.Contains(round, "crash") {
			forget(t, s.Sink)
		}
		next := runSink(t, hookConfig(ch), c)
		w.alarm(100, func(a *telemetry.Alarm) { a.Outlet = round })
		eventually(t, "the next event "+round, func() bool { return strings.Contains(fmt.Sprint(heard(v)), round) })
		next.stop()
	}
	if got := heard(v); len(got) != 22 {
		t.Errorf("%d events heard, want 22: %v", len(got), got)
	}
}

// marksOf is what waits, as the running shift sees it; -1 before it works.
func marksOf(s *testSink) (int, string) {
	st := s.Stats()
	if !st.Working {
		return -1, ""
	}
	return int(st.Pending), st.Trouble
}

// A channel that is away: events wait in Kafka beyond the bound, nothing is lost, and /readyz says why.
func TestChannelAway(t *testing.T) {
	c := cluster(t)
	v, ch := hook(t, "hook")
	v.answer = func(int) (int, string, bool) { return 503, "away", false }
	cfg := hookConfig(ch)
	cfg.MaxPending = 100
	s := runSink(t, cfg, c)
	w := newWriter(t, c)
	for n := range 150 {
		w.alarm(n, func(a *telemetry.Alarm) { a.Region = fmt.Sprintf("贵州省/贵阳市/%d", n%10) })
	}
	eventually(t, "the bound", func() bool {
		n, trouble := marksOf(s)
		return n >= 100 && strings.Contains(trouble, "channel hook since")
	})
	if n, _ := marksOf(s); n > 100 {
		t.Errorf("%d events wait, bound 100", n)
	}
	if err := s.Ready(); err == nil || !strings.Contains(err.Error(), "HTTP 503: away") {
		t.Errorf("ready: %v", err)
	}
	v.mu.Lock()
	v.answer = nil
	v.mu.Unlock()
	eventually(t, "all events", func() bool { return len(heard(v)) == 150 })
	if err := s.Ready(); err != nil {
		t.Errorf("ready: %v", err)
	}
}

// Of two processes one delivers; when it goes, the other does, and repeats nothing.
func TestTwoProcesses(t *testing.T) {
	c := cluster(t)
	v, ch := hook(t, "hook")
	first, second := runSink(t, hookConfig(ch), c), runSink(t, hookConfig(ch), c)
	w := newWriter(t, c)
	one := func() bool { return first.Stats().Working != second.Stats().Working }
	eventually(t, "one works", one)
	for n := range 10 {
		w.alarm(n, nil)
	}
	eventually(t, "10 events", func() bool { return len(heard(v)) == 10 })
	eventually(t, "one works", one)
	works, waits := first, second
	if second.Stats().Working {
		works, waits = second, first
	}
	works.stop()
	for n := range 10 {
		w.alarm(10+n, nil)
	}
	eventually(t, "the other one works", func() bool { return waits.Stats().Working })
	eventually(t, "20 events", func() bool { return len(heard(v)) == 20 })
	waits.stop()
	if got := heard(v); len(got) != 20 {
		t.Errorf("heard %v", got)
	}
}

// A silence that is added while the sink runs, and ended: what it kept back and still is open is told; a restart in between changes nothing.
func TestSilenceAndItsEnd(t *testing.T) {
	c := cluster(t)
	v, ch := hook(t, "hook")
	s := runSink(t, hookConfig(ch), c)
	w := newWriter(t, c)
	now := time.Now().UTC()
	to := now.Add(time.Hour)
	silence := telemetry.Action{V: telemetry.ActionVersion, ID: "quiet", Verb: telemetry.VerbSilence, From: &now, To: &to, Who: "li", When: now,
		Match: &telemetry.AlarmMatch{Outlet: []string{"W0001", "W0002"}}}
	act := func(a telemetry.Action) {
		t.Helper()
		if err := s.actions.Write(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	w.alarm(0, nil)
	eventually(t, "an alarm before it", func() bool { return len(heard(v)) == 1 })
	act(silence)
	eventually(t, "the silence holds", func() bool { return testutil.ToFloat64(s.metrics.silences) == 1 })
	w.alarm(1, nil)
	w.alarm(2, nil)
	w.alarm(2, func(a *telemetry.Alarm) { a.State = telemetry.AlarmCleared })
	w.alarm(3, nil)
	eventually(t, "the alarm that is not silenced", func() bool { return len(heard(v)) == 2 })
	eventually(t, "the receipts", func() bool { return len(notices(t, c, telemetry.TopicActions)) == 4 })
	s.stop()
	s = runSink(t, hookConfig(ch), c)
	eventually(t, "it works again", func() bool { return s.Stats().Working })
	act(telemetry.Action{V: telemetry.ActionVersion, ID: "loud", Verb: telemetry.VerbUnsilence, Silence: "quiet", Who: "li", When: time.Now().UTC()})
	eventually(t, "what was kept back", func() bool { return len(heard(v)) == 3 })
	w.alarm(1, func(a *telemetry.Alarm) { a.State = telemetry.AlarmCleared })
	eventually(t, "its end", func() bool { return len(heard(v)) == 4 })
	s.stop()
	if got := fmt.Sprint(heard(v)); got != "[W0000 raised W0003 raised W0001 raised W0001 cleared]" {
		t.Errorf("heard %s", got)
	}
	silenced := 0
	for _, n := range notices(t, c, telemetry.TopicJournal) {
		if n.Notice.Result == telemetry.NoticeSilenced {
			silenced++
			if n.Notice.Silence != "quiet" || n.Notice.Channel != "" {
				t.Errorf("%+v", n.Notice)
			}
		}
	}
	if silenced != 2 {
		t.Errorf("%d notices of silenced events, want 2", silenced)
	}
}

// Records that are no alarms are passed over and counted.
func TestBadRecords(t *testing.T) {
	c := cluster(t)
	v, ch := hook(t, "hook")
	s := runSink(t, hookConfig(ch), c)
	w := newWriter(t, c)
	for _, value := range []string{"", "{", `{"id":"x"}`, `{"id":"","mn":"MN0001"}`} {
		rec := &kgo.Record{Topic: c.Topic(telemetry.TopicAlarms), Value: []byte(value), Headers: []kgo.RecordHeader{
			{Key: telemetry.HeaderSource, Value: []byte("7")}, {Key: telemetry.HeaderOrdinal, Value: []byte("0")}}}
		if err := w.client.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	w.alarm(1, nil)
	eventually(t, "the alarm", func() bool { return len(heard(v)) == 1 })
	eventually(t, "the bad ones", func() bool { return testutil.ToFloat64(s.metrics.events.WithLabelValues(resultBad)) == 4 })
}
