package ingest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"outfall/bench"
	"outfall/ingest"
	"outfall/ingest/tcp"
	"outfall/internal/broker"
	"outfall/telemetry"
)

// A town is a gateway on an embedded broker, with simulated loggers on TCP connections.
type town struct {
	t       *testing.T
	cluster *broker.Cluster
	client  *kgo.Client
	devices []telemetry.Device
}

// newTown starts a logger of each behaviour, and a gateway of which all is on. Everything ends with the test.
func newTown(t *testing.T, change func(*ingest.DownlinkConfig), behaviours ...bench.Behaviour) *town {
	dir, err := os.MkdirTemp("", "town") // t.TempDir is too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	bc := broker.DefaultConfig()
	bc.Partitions = 4
	e, err := broker.StartEmbedded(dir, bc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	w := &town{t: t, cluster: e.Cluster()}
	if w.client, err = w.cluster.Client(kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.client.Close)
	behaviour := map[string]bench.Behaviour{}
	for i, b := range behaviours {
		d := telemetry.Device{MN: fmt.Sprintf("010000A8900016F000169D%02d", i), PW: "654321", Outlet: fmt.Sprintf("W%02d", i), Medium: "water",
			MinuteInterval: 10, RealtimeInterval: 30, OfflineAfter: 600, OverTime: 1, ReCount: 1}
		if i%2 == 1 {
			d.MN = fmt.Sprintf("888888800000%02d", i) // HJ/T 212-2005
		}
		w.devices = append(w.devices, d)
		behaviour[d.Outlet] = b
		p := telemetry.PartitionOf(d.MN, bc.Partitions)
		w.write(&kgo.Record{Topic: w.cluster.Topic(telemetry.TopicRegistry), Partition: p, Key: []byte(d.MN), Value: telemetry.AppendJSON(nil, &d)})
	}
	w.run(change, behaviour)
	return w
}

// run wires the gateway as a process does, and the loggers to it.
func (w *town) run(change func(*ingest.DownlinkConfig), behaviour map[string]bench.Behaviour) {
	t, metrics, log := w.t, prometheus.NewRegistry(), zerolog.Nop()
	cfg, link := ingest.DefaultConfig(), ingest.DefaultDownlinkConfig()
	cfg.Linger, link.ExecTime = 0, 2*time.Second
	if change != nil {
		change(&link)
	}
	barrier := w.cluster.NewBarrier()
	devices := ingest.NewRegistry(w.cluster, metrics, log)
	pub, err := ingest.NewKafkaPublisher(cfg, w.cluster, barrier, metrics)
	if err != nil {
		t.Fatal(err)
	}
	commands, err := ingest.NewKafkaCommands(w.cluster, barrier, log)
	if err != nil {
		t.Fatal(err)
	}
	downlink := ingest.NewDownlink(link, cfg.Gateway, devices, pub, commands, metrics, log)
	intake := ingest.NewIntake(cfg, devices, pub, downlink, metrics, log)
	tc := tcp.DefaultConfig()
	tc.Listen = "127.0.0.1:0"
	server, err := tcp.Listen(tc, intake, metrics, log)
	if err != nil {
		t.Fatal(err)
	}
	fc := bench.DefaultConfig()
	fc.Addr, fc.Devices, fc.Behaviours, fc.BackfillHours, fc.Ramp = server.Addr().String(), w.devices, behaviour, 0, 0
	fc.RealtimeInterval = time.Second // a device is known once it has sent something
	fleet, err := bench.NewFleet(fc)
	if err != nil {
		t.Fatal(err)
	}
	// Ended from the last to the first, as the supervisor of a process does.
	t.Cleanup(pub.Close)
	t.Cleanup(commands.Close)
	parts := []func(context.Context) error{barrier.Run, devices.Run, downlink.Run, server.Run, func(ctx context.Context) error { return fleet.Run(ctx, time.Now()) }}
	for _, part := range parts {
		ctx, stop := context.WithCancel(context.Background())
		var g errgroup.Group
		g.Go(func() error { return part(ctx) })
		t.Cleanup(func() {
			stop()
			if err := g.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

func (w *town) write(recs ...*kgo.Record) {
	w.t.Helper()
	if err := w.client.ProduceSync(w.t.Context(), recs...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// give puts a command on the topic.
func (w *town) give(id string, device int, cn, cp string) {
	now := time.Now().UTC()
	c := telemetry.Command{ID: id, MN: w.devices[device].MN, CN: cn, CP: cp, Operator: "li", Created: now, NotAfter: now.Add(time.Minute)}
	w.write(ingest.CommandRecord(w.cluster, telemetry.KindCommand, c.MN, telemetry.AppendJSON(nil, &c), now))
}

// finals waits for the last step of n commands, and returns the steps of all by command.
func (w *town) finals(n int) map[string][]telemetry.Outcome {
	w.t.Helper()
	ctx, stop := context.WithTimeout(w.t.Context(), time.Minute)
	defer stop()
	steps, ended := map[string][]telemetry.Outcome{}, errors.New("all have ended")
	err := w.cluster.Follow(ctx, telemetry.TopicCommands, broker.FromStart, func(rec *kgo.Record) error {
		var o telemetry.Outcome
		if string(rec.Headers[0].Value) != telemetry.KindOutcome.String() {
			return nil
		}
		if err := json.Unmarshal(rec.Value, &o); err != nil {
			return err
		}
		steps[o.ID] = append(steps[o.ID], o)
		if o.Step.Final() {
			n--
		}
		if n == 0 {
			return ended
		}
		return nil
	})
	if !errors.Is(err, ended) {
		w.t.Fatalf("%d commands have not ended: %v: %+v", n, err, steps)
	}
	return steps
}

func words(steps []telemetry.Outcome) string {
	var all []string
	for _, o := range steps {
		all = append(all, string(o.Step))
	}
	return strings.Join(all, " ")
}

// Commands go from the topic through journal, gateway and socket to loggers that behave well or not, and every step comes back.
func TestDownlinkEndToEnd(t *testing.T) {
	w := newTown(t, nil, bench.Normal, bench.Normal, bench.NoReceipt, bench.NoResult, bench.ResultFirst, bench.Refusing, bench.Deaf)
	hour := time.Now().In(telemetry.China).Truncate(time.Hour)
	period := fmt.Sprintf("BeginTime=%s;EndTime=%s", hour.Add(-6*time.Hour).Format("20060102150405"), hour.Add(-2*time.Hour).Format("20060102150405"))
	want := map[string]string{}
	for i, result := range []string{"accepted data done", "accepted data done", "data done", "accepted data done", "data done", "refused", "sending failed"} {
		id := fmt.Sprint("get", i)
		w.give(id, i, "1061", "")
		want[id] = "sending " + result
	}
	for i, result := range []string{"accepted done", "accepted done", "done"} {
		id := fmt.Sprint("set", i)
		w.give(id, i, "1062", "RtdInterval=60")
		want[id] = "sending " + result
	}
	w.give("recall0", 0, "2061", period)
	w.give("recall1", 1, "2061", period)
	want["recall0"], want["recall1"] = "sending accepted data done", "sending accepted data done"
	steps := w.finals(len(want))
	for id, steps := range steps {
		if got := words(steps); got != want[id] {
			t.Errorf("%s: steps %q, want %q: %+v", id, got, want[id], steps)
		}
	}
	if o := steps["get0"][2]; o.Detail != "RtdInterval=1" {
		t.Errorf("the answer: %+v", o)
	}
	for _, id := range []string{"recall0", "recall1"} {
		if o := steps[id][3]; o.Detail != "5 data frames" || o.Code != 1 {
			t.Errorf("%s: the end: %+v", id, o)
		}
	}
	w.checkJournal(steps)
}

// checkJournal compares the journal's steps with the topic's, and looks for the recalled frames.
func (w *town) checkJournal(steps map[string][]telemetry.Outcome) {
	w.t.Helper()
	journal, recalled := map[string][]telemetry.Outcome{}, 0
	err := w.cluster.ReadAll(w.t.Context(), telemetry.TopicJournal, func(rec *kgo.Record) error {
		switch string(rec.Headers[0].Value) {
		case telemetry.KindOutcome.String():
			var o telemetry.Outcome
			if err := json.Unmarshal(rec.Value, &o); err != nil {
				return err
			}
			journal[o.ID] = append(journal[o.ID], o)
		case telemetry.KindFrame.String():
			if strings.Contains(string(rec.Value), ";CN=2061;") {
				recalled++
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	for id := range steps {
		if words(journal[id]) != words(steps[id]) {
			w.t.Errorf("%s: the journal has %q, the topic %q", id, words(journal[id]), words(steps[id]))
		}
	}
	if recalled != 10 {
		w.t.Errorf("%d hour records in the journal, want 10", recalled)
	}
}

// The set-up of a device that connects, by itself.
func TestSetUpEndToEnd(t *testing.T) {
	w := newTown(t, func(c *ingest.DownlinkConfig) { c.SetUp = true }, bench.Normal, bench.Normal)
	cns := map[string]int{}
	for _, steps := range w.finals(4 + 3) { // 2005 has no minute interval
		o := steps[len(steps)-1]
		cns[o.CN]++
		if o.Step != telemetry.StepDone {
			t.Errorf("CN %s ended as %+v", o.CN, o)
		}
	}
	if fmt.Sprint(cns) != "map[1000:2 1011:2 1062:2 1064:1]" {
		t.Errorf("commands %v", cns)
	}
}
