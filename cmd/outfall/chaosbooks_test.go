//go:build integration

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/bench"
	"outfall/internal/broker"
	"outfall/telemetry"
)

// checkTopics wants every acknowledged frame in the journal, byte for byte, and the outputs in the order of their positions. A record of a
// worker that died may reach Apache Kafka after its successor has written the same: readers drop it by its position, and its bytes must be
// those of the first.
func (c *chaos) checkTopics(t *testing.T, cluster *broker.Cluster) {
	t.Helper()
	f, err := os.Open(c.acked)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	acked, err := bench.ReadLedger(f)
	if err != nil {
		t.Fatal(err)
	}
	n, frames, distinct := len(acked), 0, map[bench.Digest]struct{}{}
	err = cluster.ReadAll(t.Context(), telemetry.TopicJournal, func(r *kgo.Record) error {
		if header(r, telemetry.HeaderKind) == telemetry.KindFrame.String() {
			frames++
			distinct[bench.DigestOf(r.Value)] = struct{}{}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	lost := 0
	for d := range acked {
		if _, ok := distinct[d]; !ok {
			lost++
		}
	}
	t.Logf("%d frames acknowledged, %d of them not in the journal, which holds %d frames, %d of them again", n, lost, frames, frames-len(distinct))
	if lost > 0 || n == 0 {
		t.Errorf("%d of %d acknowledged frames are not in the journal", lost, n)
	}
	duplicates := int64(0)
	for _, topic := range telemetry.OutputTopics() {
		repeated := checkPositions(t, cluster, topic, func(r *kgo.Record) error {
			if topic != telemetry.TopicFindings {
				return nil
			}
			var f telemetry.Finding
			if err := json.Unmarshal(r.Value, &f); err != nil {
				return err
			}
			if f.Kind == telemetry.FindingDuplicate {
				duplicates += f.Count
			}
			return nil
		})
		if repeated > 0 {
			t.Logf("%s: %d records again, which readers drop by their position", topic, repeated)
			if cluster.Embedded() {
				t.Errorf("%s: %d records stand twice", topic, repeated)
			}
		}
	}
	t.Logf("%d duplicates found by the fold", duplicates)
}

// checkPositions reads an output topic by position, gives each output once to fn, and counts the records that came again. Whatever is not
// the same again is an error.
func checkPositions(t *testing.T, cluster *broker.Cluster, topic telemetry.Topic, fn func(*kgo.Record) error) (repeated int) {
	t.Helper()
	type key struct {
		partition int32
		pos       telemetry.Position
	}
	last, seen := map[int32]telemetry.Position{}, map[key]bench.Digest{}
	err := cluster.ReadAll(t.Context(), topic, func(r *kgo.Record) error {
		pos, err := telemetry.ParsePosition(header(r, telemetry.HeaderSource), header(r, telemetry.HeaderOrdinal))
		if err != nil {
			return err
		}
		k, digest := key{r.Partition, pos}, bench.DigestOf(append(append(r.Key, 0), r.Value...))
		if before, ok := last[r.Partition]; ok && !pos.After(before) {
			repeated++
			if first, ok := seen[k]; !ok || first != digest {
				t.Errorf("%s/%d offset %d: position %+v after %+v, and not the same record again (seen: %v)", topic, r.Partition, r.Offset, pos, before, ok)
			}
			return nil
		}
		last[r.Partition], seen[k] = pos, digest
		return fn(r)
	})
	if err != nil {
		t.Fatal(err)
	}
	return repeated
}

var comparedLine = regexp.MustCompile(`published: (\d+) identical, (\d+) missing, (\d+) extra, (\d+) changed; not comparable: (\d+) expired, (\d+) not published yet`)

// chaosReplay folds the whole journal again, wants what was published, and gives the path of the points.
func chaosReplay(t *testing.T, where ...string) string {
	t.Helper()
	bin, err := outfallBinary()
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "replay")
	cmd := exec.CommandContext(t.Context(), bin, append([]string{"replay", "--out", out, "--compare"}, where...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	t.Logf("replay: %s%s", stdout.String(), strings.TrimSpace(tail(stderr.String(), 4000)))
	if err != nil {
		t.Fatalf("replay --compare: %v", err)
	}
	if m := comparedLine.FindStringSubmatch(stderr.String()); m == nil || m[1] == "0" || m[6] != "0" {
		t.Errorf("replay --compare: want everything published and compared, got %q", m)
	}
	return filepath.Join(out, "points.lp")
}
