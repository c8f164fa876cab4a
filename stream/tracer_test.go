package stream

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"outfall/telemetry"
)

// Every mean that was published is the mean of the frames that a trace shows for it: of resends, packets, late data and real-time values,
// whatever it was.
func TestEveryPointIsExplained(t *testing.T) {
	for name, b := range map[string]*bed{"an hour": newHour(t).bed, "minutes, resends and packets": func() *bed {
		b := newBed(t)
		b.feed(70)
		b.publish()
		return b
	}()} {
		type newest struct {
			published
			p point
		}
		found := map[string]newest{}
		err := eachPublished(t.Context(), b.cluster, telemetry.TopicPoints, nil, time.Time{}, func(out published) {
			for line := range strings.Lines(string(out.Value)) {
				if p, ok := parsePoint(strings.TrimSuffix(line, "\n")); ok && (p.measurement == "mean" || p.measurement == "instant") {
					found[fmt.Sprint(p.series, p.nano)] = newest{out, p}
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		tracers := map[int32]*tracer{}
		targets := map[string]*target{}
		for key, n := range found {
			if tracers[n.partition] == nil {
				tracers[n.partition] = &tracer{}
			}
			targets[key] = newTarget(n.MN, n.p.about(), n.Pos.Source)
			tracers[n.partition].follow(targets[key])
		}
		for partition, tr := range tracers {
			if err := tr.run(t.Context(), b.cluster, partition, nil, time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
		stats := map[telemetry.Statistic]int{}
		for key, n := range found {
			uses := targets[key].result()
			want := n.p.field("avg") + n.p.field("value")
			if mean, _, explained := targets[key].mean(); !explained || mean.String() != want {
				t.Errorf("%s: %s: published %s, computed %v (%t) of %d frames", name, key, want, mean, explained, len(uses))
			}
			stats[targets[key].stat]++
		}
		t.Logf("%s: %v", name, stats)
		if stats[telemetry.StatMinute] < 50 || stats[telemetry.StatRolling1] < 50 || stats[telemetry.StatRolling24] < 50 {
			t.Errorf("%s: only %v", name, stats)
		}
	}
}
