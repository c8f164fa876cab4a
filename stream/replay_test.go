package stream

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/telemetry"
)

// run folds everything that the journal holds and stops.
func (b *bed) run(dir string) {
	b.t.Helper()
	w := startWorker(b.t, b.cluster, config(dir))
	b.waitFolded(w)
	if err := w.stop(); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bed) replay(opts ReplayOptions) ReplayResult {
	b.t.Helper()
	if opts.Out == "" {
		opts.Out = b.t.TempDir()
	}
	result, err := Replay(b.t.Context(), b.cluster, opts)
	if err != nil {
		b.t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(opts.Out, ".parts-*")); len(left) != 0 {
		b.t.Errorf("parts left behind: %q", left)
	}
	return result
}

func TestReplayWritesWhatWasPublished(t *testing.T) {
	b, snaps := newBed(t), t.TempDir()
	b.feed(40)
	b.run(snaps)
	middle := time.Now()
	b.feed(40)
	b.run(snaps)

	out := t.TempDir()
	whole := b.replay(ReplayOptions{Out: out, Compare: true, Group: DefaultConfig().Group})
	if c := whole.Comparison; !c.Same() || c.Identical == 0 || c.Gone != 0 {
		t.Errorf("comparison %+v\n%v", c, c.First)
	}
	want := b.fromScratch(b.journalEnds())
	for i, f := range replayFiles {
		var text []byte
		for p := range int32(bedPartitions) {
			for _, o := range want[place{f.topic, p}] {
				text = append(append(text, o.Value...), '\n')
			}
		}
		sum := sha256.Sum256(text)
		got, err := os.ReadFile(filepath.Join(out, f.name))
		if err != nil || !bytes.Equal(got, text) || len(text) == 0 {
			t.Errorf("%s: %d bytes, want %d (%v)", f.name, len(got), len(text), err)
		}
		if r := whole.Files[i]; r.Name != f.name || r.SHA256 != hex.EncodeToString(sum[:]) || r.Bytes != int64(len(text)) {
			t.Errorf("%s: reported as %+v", f.name, r)
		}
	}

	before := b.replay(ReplayOptions{To: middle, Compare: true, Group: DefaultConfig().Group})
	after := b.replay(ReplayOptions{From: middle, Compare: true, Group: DefaultConfig().Group})
	if !before.Comparison.Same() || !after.Comparison.Same() {
		t.Errorf("halves: %+v\n%v\n%+v\n%v", before.Comparison, before.Comparison.First, after.Comparison, after.Comparison.First)
	}
	if n := before.Comparison.Identical + after.Comparison.Identical; n != whole.Comparison.Identical || before.Entries == 0 || after.Entries == 0 {
		t.Errorf("halves have %d outputs, the whole %d", n, whole.Comparison.Identical)
	}
	var done, total int64
	fromSnapshot := b.replay(ReplayOptions{From: middle, Snapshots: openStore(t, snaps), Progress: func(d, of int64) { done, total = d, of }})
	if !reflect.DeepEqual(fromSnapshot.Files, after.Files) {
		t.Errorf("from a snapshot %+v, from the beginning %+v", fromSnapshot.Files, after.Files)
	}
	if done == 0 || total >= whole.Entries {
		t.Errorf("progress ended with %d of %d; the whole journal has %d entries, the snapshot was not used", done, total, whole.Entries)
	}
}

func TestCompareFindsEveryDifference(t *testing.T) {
	b := newBed(t)
	b.feed(10)
	made := b.fromScratch(b.journalEnds())
	forged := made[place{telemetry.TopicPoints, 1}][0]
	was := forged.Value
	forged.Value = bytes.Replace(was, []byte("avg="), []byte("avg=1"), 1)
	alien := telemetry.Output{MN: bedMN(3), Value: []byte(`{"forged":true}`), Pos: telemetry.Position{Source: 2, Ordinal: 99}}
	b.write([]*kgo.Record{
		outputRecord(b.cluster.Topic(telemetry.TopicPoints), 1, time.Now(), &forged),
		outputRecord(b.cluster.Topic(telemetry.TopicFindings), 2, time.Now(), &alien),
	})

	nobody := b.replay(ReplayOptions{Compare: true, Group: "nobody", Limit: 1}).Comparison
	if nobody.Missing < 100 || nobody.Identical > 5 || nobody.Pending != 0 || len(nobody.First) != 1 || nobody.First[0].Published != "" {
		t.Errorf("nothing published: %+v", nobody)
	}
	b.run(t.TempDir())
	out := t.TempDir()
	c := b.replay(ReplayOptions{Out: out, Compare: true, Group: DefaultConfig().Group, Limit: 10}).Comparison
	if c.Changed != 1 || c.Extra != 1 || c.Missing != 0 || c.Same() || len(c.First) != 2 {
		t.Fatalf("one forged, one added: %+v", c)
	}
	line, _, _ := strings.Cut(string(was), "\n")
	p, _ := parsePoint(line)
	d := c.First[0]
	want := []FieldChange{{"avg", "1" + p.field("avg"), p.field("avg")}}
	if d.Class != Changed || d.Topic != "points" || d.Source != forged.Pos.Source || !reflect.DeepEqual(d.Fields, want) || d.Replayed != line {
		t.Errorf("first difference: %+v, want fields %v of %s", d, want, line)
	}
	if d.Inputs == nil || !reflect.DeepEqual(d.Inputs.Offsets, []int64{forged.Pos.Source}) { // the minute record itself
		t.Errorf("inputs %+v, want the frame at %d", d.Inputs, forged.Pos.Source)
	}
	if d := c.First[1]; d.Class != Extra || d.Topic != "findings" || d.Published != string(alien.Value) || d.Replayed != "" {
		t.Errorf("second difference: %+v", d)
	}
	text, err := os.ReadFile(filepath.Join(out, DifferencesFile))
	if err != nil || bytes.Count(text, []byte("\n")) != 2 || !bytes.Contains(text, []byte(`"fields":[{"field":"avg",`)) {
		t.Errorf("%s: %s (%v)", DifferencesFile, text, err)
	}
}

// What retention has taken is no difference.
func TestCompareAfterRetention(t *testing.T) {
	b := newBed(t)
	b.feed(10)
	b.run(t.TempDir())
	var gone kadm.Offsets
	for p := range int32(bedPartitions) {
		gone.AddOffset(b.cluster.Topic(telemetry.TopicPoints), p, 5, -1)
	}
	if _, err := kadm.NewClient(b.client).DeleteRecords(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	c := b.replay(ReplayOptions{Compare: true, Group: DefaultConfig().Group}).Comparison
	if !c.Same() || c.Gone < 5*bedPartitions || c.Identical == 0 {
		t.Errorf("%+v\n%v", c, c.First)
	}
}
