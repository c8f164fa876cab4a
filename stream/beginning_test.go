package stream

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/ingest/hj212"
	"outfall/stream/fold"
	"outfall/telemetry"
)

// kinds are the kinds of a partition's entries that only an owner writes, with the ticks that follow one another as one.
func (b *bed) kinds(partition int32) (kinds []string) {
	b.t.Helper()
	err := b.cluster.ReadPartition(b.t.Context(), telemetry.TopicJournal, partition, 0, b.journalEnds()[partition], func(rec *kgo.Record) error {
		k := header(rec, telemetry.HeaderKind)
		if k == "version" {
			k += " " + string(rec.Value[:len(`{"algorithm":2`)])
		}
		if k == "tick" && (len(kinds) == 0 || kinds[len(kinds)-1] != k) || strings.HasPrefix(k, "version") {
			kinds = append(kinds, k)
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return kinds
}

// instant writes a real-time value of the first device at a second of the bed's time.
func (b *bed) instant(second int, value string) {
	at := b.base.Add(time.Duration(second) * time.Second)
	seg := fmt.Sprintf("QN=%s;ST=32;CN=2011;PW=123456;MN=%s;Flag=5;CP=&&DataTime=%s;w01018-Rtd=%s,w01018-Flag=N&&", hj212.AppendQN(nil, at), bedMN(1),
		hj212.AppendTime(nil, at), value)
	b.write([]*kgo.Record{b.record(telemetry.KindFrame, b.partition(bedMN(1)), bedMN(1), hj212.AppendFrame(nil, []byte(seg)))})
}

// The first owner of a new journal begins it with the newest algorithm, once, whatever registry and rules are in it already; what it publishes
// is what replays and traces give.
func TestNewJournalBeginsWithTheNewestAlgorithm(t *testing.T) {
	b, snaps := newBed(t), t.TempDir()
	version := fmt.Sprintf(`version {"algorithm":%d`, fold.Algorithms)
	b.run(snaps)
	for p := range int32(bedPartitions) {
		if got := b.kinds(p); !slices.Equal(got, []string{version, "tick"}) {
			t.Errorf("partition %d: its owner wrote %q, want %s, then ticks", p, got, version)
		}
	}
	b.instant(0, "7.5")
	b.instant(0, "null")
	b.instant(1, "null")
	b.instant(1, "8")
	b.feed(3)
	b.run(snaps)
	b.run(t.TempDir()) // from zero, as if the snapshots were lost
	for p := range int32(bedPartitions) {
		if got := fmt.Sprint(b.kinds(p)); strings.Count(got, "version") != 1 {
			t.Errorf("partition %d: its owners wrote %s", p, got)
		}
	}
	b.checkPublished(false)

	again := b.replay(ReplayOptions{Compare: true, Group: b.group, Snapshots: openStore(t, snaps)})
	if c := again.Comparison; !c.Same() || c.Identical == 0 {
		t.Errorf("comparison %+v\n%v", c, c.First)
	}
	tr, err := TraceOutput(t.Context(), b.cluster, TraceOptions{MN: bedMN(1), Factor: "w01018", Stat: telemetry.StatInstant, Time: b.base, Rev: -1})
	if err != nil {
		t.Fatal(err)
	}
	if yes, _ := counted(tr.Windows[0]); !tr.Reproduced || len(yes) != 1 || !strings.HasPrefix(yes[0], "2011 7.5") {
		t.Errorf("reproduced %v, counted %q, want the number that came first", tr.Reproduced, yes)
	}
}

// A journal that has had an owner stays by the algorithm that it has, even if nothing has come of it yet.
func TestOwnedJournalIsNotSwitched(t *testing.T) {
	b := newBed(t)
	for p := range int32(bedPartitions) {
		b.write([]*kgo.Record{tickRecord(b.cluster.Topic(telemetry.TopicJournal), p, b.base)})
	}
	b.run(t.TempDir())
	for p := range int32(bedPartitions) {
		if got := b.kinds(p); len(got) != 1 {
			t.Errorf("partition %d: its owner wrote %q", p, got)
		}
	}
}
