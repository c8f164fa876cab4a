package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/telemetry"
)

func TestReading(t *testing.T) {
	exerciseReading(t, start(t, tempDir(t), DefaultConfig()).Cluster())
}

// exerciseReading runs Tail, ReadAll and Follow on a cluster with empty topics.
func exerciseReading(t *testing.T, c *Cluster) {
	ctx, topic := t.Context(), telemetry.TopicAlarms
	if r, err := c.Tail(ctx, topic, 1); r != nil || err != nil {
		t.Errorf("tail of an empty partition: %v, %v", r, err)
	}
	if got := readAll(t, c, topic); len(got) != 0 {
		t.Errorf("empty topic: %v", got)
	}
	produce(t, c, topic, 1, "a", "b", "c")
	produce(t, c, topic, 4, "d")
	if got := readAll(t, c, topic); fmt.Sprint(got) != "map[1:[a b c] 4:[d]]" {
		t.Errorf("all: %v", got)
	}
	if r, err := c.Tail(ctx, topic, 1); err != nil || string(r.Value) != "c" || r.Offset != 2 {
		t.Errorf("tail: %v, %v", r, err)
	}

	// A writer that keeps ahead of the reader does not keep it from ending.
	n := 0
	if err := c.ReadAll(ctx, topic, func(*kgo.Record) error { n++; produce(t, c, topic, 1, "more"); return nil }); err != nil || n != 4 {
		t.Errorf("with a writer: %d records, %v; want the 4 of the call", n, err)
	}

	stop := errors.New("stop")
	err := c.ReadAll(ctx, topic, func(*kgo.Record) error { return stop })
	if !errors.Is(err, stop) || !strings.Contains(err.Error(), c.Topic(topic)+"[") {
		t.Errorf("fn's error comes back as %v", err)
	}

	// A moment finds the first record from then on, or the end.
	since, err := c.OffsetsSince(ctx, topic, time.Now().Add(-time.Minute))
	if err != nil || since[1] != 0 || since[4] != 0 {
		t.Errorf("offsets since a minute ago: %v, %v", since, err)
	}
	since, err = c.OffsetsSince(ctx, topic, time.Now().Add(time.Minute))
	if err != nil || since[1] != 7 || since[4] != 1 || since[0] != 0 {
		t.Errorf("offsets since a minute from now: %v, %v", since, err)
	}

	// FromEnd sees only what comes after; FromStart sees all.
	next, err := c.Offsets(ctx, topic, FromEnd)
	if err != nil || next[1] != 7 || next[4] != 1 || next[0] != 0 {
		t.Fatalf("end offsets: %v, %v", next, err)
	}
	produce(t, c, topic, 0, "late")
	followed, cancel := context.WithCancel(ctx)
	var got []string
	err = c.FollowFrom(followed, topic, next, func(r *kgo.Record) error { got = append(got, string(r.Value)); cancel(); return nil })
	if err != nil || fmt.Sprint(got) != "[late]" {
		t.Errorf("follow from the end: %v, %v", got, err)
	}
	n = 0
	err = c.Follow(ctx, topic, FromStart, func(*kgo.Record) error {
		if n++; n == 9 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) {
		t.Errorf("follow from the start: %v after %d records", err, n)
	}

	// Deleted records: a reader that counted on them fails, one that starts anew does not.
	cl, err := c.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var gone kadm.Offsets
	gone.Add(kadm.Offset{Topic: c.Topic(topic), Partition: 1, At: 7})
	if _, err := kadm.NewClient(cl).DeleteRecords(ctx, gone); err != nil {
		t.Fatal(err)
	}
	if r, err := c.Tail(ctx, topic, 1); r != nil || err != nil {
		t.Errorf("tail of an emptied partition: %v, %v", r, err)
	}
	if got := readAll(t, c, topic); fmt.Sprint(got) != "map[0:[late] 4:[d]]" {
		t.Errorf("all after deletion: %v", got)
	}
	if err := c.FollowFrom(ctx, topic, make([]int64, c.Partitions()), func(*kgo.Record) error { return nil }); err == nil {
		t.Error("following deleted records ended without an error")
	}
}
