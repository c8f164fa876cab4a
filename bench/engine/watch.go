package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/internal/broker"
	"outfall/telemetry"
)

// A seen alarm is the record of one frame that was over its limit.
type seen struct {
	due, at   time.Time
	partition int32
}

// A watch sees alarms as they come.
type watch struct {
	load *load

	mu  sync.Mutex // guards all
	all []seen
}

// follow takes the alarms of the senders until ctx ends.
func (w *watch) follow(ctx context.Context, cluster *broker.Cluster) error {
	return cluster.Follow(ctx, telemetry.TopicAlarms, broker.FromEnd, func(rec *kgo.Record) error {
		return w.see(rec.Value, rec.Partition, time.Now())
	})
}

// see takes an alarm.
func (w *watch) see(value []byte, partition int32, now time.Time) error {
	var a telemetry.Alarm
	if err := json.Unmarshal(value, &a); err != nil {
		return err
	}
	if a.Rule != alarmRule || a.State != telemetry.AlarmRaised {
		return nil
	}
	device, err := strconv.Atoi(a.MN[len(a.MN)-14:])
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, seen{w.load.due(device, w.load.number(a.WindowStart)), now, partition})
	return nil
}

// summary is of the alarms that were due in [from, to) and that pick takes.
func (w *watch) summary(from, to time.Time, pick func(seen) bool) latency {
	a := ages{from: from, to: to}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.all {
		if pick(s) {
			a.add(s.due, s.at)
		}
	}
	return a.summary()
}

func every(seen) bool { return true }

// A span is the time in which a snapshot of a partition was written.
type span struct {
	partition int32
	from, to  time.Time
}

// A snapshotWatch sees when snapshots are written, from their files: one has a name for the time being until it is whole.
type snapshotWatch struct {
	dir   string
	began map[uint64]time.Time // by inode
	whole map[uint64]bool
	spans []span
}

// run looks every few milliseconds until ctx ends.
func (w *snapshotWatch) run(ctx context.Context) error {
	for sleep(ctx, 5*time.Millisecond) == nil {
		now := time.Now()
		entries, err := os.ReadDir(w.dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			inode := info.Sys().(*syscall.Stat_t).Ino
			partition, named := partitionOf(e.Name())
			began, known := w.began[inode]
			switch {
			case !named && !known:
				w.began[inode] = now
			case named && known && !w.whole[inode]:
				w.whole[inode] = true
				w.spans = append(w.spans, span{partition, began, now})
			}
		}
	}
	return nil
}

// partitionOf reads the name of a whole snapshot.
func partitionOf(name string) (int32, bool) {
	number, _, _ := strings.Cut(strings.TrimPrefix(name, "p"), "-")
	n, err := strconv.ParseInt(number, 10, 32)
	return int32(n), err == nil && strings.HasSuffix(name, ".snap")
}

// own tells whether the snapshot of the alarm's partition was written while it was on its way.
func (w *snapshotWatch) own(s seen) bool { return w.any(s, true) }

// none tells whether no partition's was.
func (w *snapshotWatch) none(s seen) bool { return !w.any(s, false) }

func (w *snapshotWatch) any(s seen, own bool) bool {
	for _, x := range w.spans {
		if (!own || x.partition == s.partition) && s.due.Before(x.to) && x.from.Before(s.at) {
			return true
		}
	}
	return false
}
