package main

import (
	"slices"
	"testing"
	"time"

	"outfall/ingest/hj212"
	"outfall/stream/fold"
	"outfall/telemetry"
)

var at = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// Frames are frames, with what the load says of them, and alarms tell which frame they come from.
func TestFramesAndAlarms(t *testing.T) {
	set, err := ruleSet()
	if err != nil {
		t.Fatal(err)
	}
	st, offset := fold.New(0), int64(0)
	var raised []telemetry.Output
	apply := func(kind telemetry.Kind, mn string, received time.Time, value []byte) {
		e := telemetry.Entry{Offset: offset, Received: received, Kind: kind, MN: mn, Value: value}
		offset++
		st.Apply(&e, func(o telemetry.Output) {
			if o.Topic == telemetry.TopicAlarms {
				o.Value = slices.Clone(o.Value)
				raised = append(raised, o)
			}
		})
	}
	l := &load{start: at.Add(300 * time.Millisecond), senders: 8}
	w := &watch{load: l}
	apply(telemetry.KindTick, "", at, tickValue(at))
	apply(telemetry.KindRules, "", at, set.AppendJSON(nil))
	d := registration(4)
	apply(telemetry.KindRegistry, d.MN, at, telemetry.AppendJSON(nil, &d))
	var want []time.Time
	for n := range 10 {
		wire := appendRealtime(nil, 4, d.MN, l.due(4, n), l.dataTime(n), high(4, n))
		fr, size, err := hj212.Framer{}.Next(wire, true)
		if err != nil || size != len(wire) {
			t.Fatalf("%d bytes of %q: %v", size, wire, err)
		}
		var m hj212.Message
		if err := m.Parse(fr.Data); err != nil || m.Quality != 0 || len(m.Groups) != len(codes) {
			t.Fatalf("%v, quality %v, %d groups", err, m.Quality.Names(), len(m.Groups))
		}
		apply(telemetry.KindFrame, d.MN, l.due(4, n), wire)
		if high(4, n) {
			want = append(want, l.due(4, n))
		}
	}
	for _, o := range raised {
		if err := w.see(o.Value, 0, at.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	var got []time.Time
	for _, s := range w.all {
		got = append(got, s.due)
	}
	if !slices.EqualFunc(got, want, time.Time.Equal) {
		t.Errorf("alarms of the frames due at %v, want %v", got, want)
	}
}

// Seeded states can be read, hold every device, and go on.
func TestSeed(t *testing.T) {
	forms, err := template(0, 3, at)
	if err != nil {
		t.Fatal(err)
	}
	list := []int{3, 4, 5, 6, 123, 99_999}
	body, err := seedBody(2, forms, list, at)
	if err != nil {
		t.Fatal(err)
	}
	st, err := fold.Read(body)
	if err != nil {
		t.Fatal(err)
	}
	if n := st.Stats().Devices; n != len(list) {
		t.Errorf("%d devices, want %d", n, len(list))
	}
	points := 0
	for i, device := range list {
		mn := deviceMN(device)
		e := telemetry.Entry{Partition: 2, Offset: int64(i), Received: at, Kind: telemetry.KindFrame, MN: mn, Value: appendMinute(nil, device, mn, at, at.Add(-time.Minute))}
		st.Apply(&e, func(o telemetry.Output) {
			if o.Topic == telemetry.TopicPoints && o.MN == mn {
				points++
			}
		})
	}
	if points < len(list) {
		t.Errorf("%d outputs of %d frames", points, len(list))
	}
	if size := len(body) / len(list); size < 4000 {
		t.Errorf("%d bytes a device: rings are not full", size)
	}
}

func TestSnapshotNames(t *testing.T) {
	if p, ok := partitionOf("p00007-g0000000002-o0000000000000000012-c00000000000012.snap"); p != 7 || !ok {
		t.Errorf("partition %d, %t", p, ok)
	}
	if _, ok := partitionOf(".tmp-123"); ok {
		t.Error("a file without its name yet is taken for a snapshot")
	}
	w := snapshotWatch{spans: []span{{1, at, at.Add(time.Second)}}}
	in := seen{due: at.Add(-time.Millisecond), at: at.Add(time.Millisecond), partition: 1}
	other, later := in, in
	other.partition = 2
	later.due, later.at = at.Add(time.Second), at.Add(2*time.Second)
	if !w.own(in) || w.own(other) || w.own(later) || w.none(in) || w.none(other) || !w.none(later) {
		t.Error("alarms are not told apart by the snapshots")
	}
}
