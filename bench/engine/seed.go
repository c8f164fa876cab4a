package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"outfall/ingest/hj212"
	"outfall/internal/store"
	"outfall/stream"
	"outfall/stream/fold"
	"outfall/telemetry"
)

const (
	templates     = 100 // devices that are folded; the others are copies of them. More than a chunk of a snapshot holds, so that none compresses the better for it
	templateHours = 76  // until every ring is full
	templateTexts = 7   // lengths of texts in front of the MN, a byte each
)

// template makes the forms of devices that have reported for templateHours until end, with every ring full.
func template(from, to int, end time.Time) ([][]byte, error) {
	set, err := ruleSet()
	if err != nil {
		return nil, err
	}
	st, offset := fold.New(0), int64(0)
	apply := func(kind telemetry.Kind, mn string, at time.Time, value []byte) {
		e := telemetry.Entry{Offset: offset, Received: at, Kind: kind, MN: mn, Value: value}
		st.Apply(&e, func(telemetry.Output) {})
		offset++
	}
	begin := end.Add(-templateHours * time.Hour)
	apply(telemetry.KindTick, "", begin, tickValue(begin))
	apply(telemetry.KindRules, "", begin, set.AppendJSON(nil))
	for i := from; i < to; i++ {
		d := registration(i)
		apply(telemetry.KindRegistry, d.MN, begin, telemetry.AppendJSON(nil, &d))
	}
	var wire []byte
	for at := begin; at.Before(end); at = at.Add(time.Minute) {
		minuteOf(at, to-from, func(at time.Time) {
			if at.Second()%10 == 0 {
				apply(telemetry.KindTick, "", at, tickValue(at))
			}
		}, func(i int, at time.Time, record bool) {
			mn := deviceMN(from + i)
			wire = appendFrame(wire[:0], from+i, mn, at, record)
			apply(telemetry.KindFrame, mn, at, wire)
		})
	}
	if _, size, err := (hj212.Framer{}).Next(wire, true); err != nil || size != len(wire) {
		return nil, fmt.Errorf("the frames of this program are none: %w", err)
	}
	return cut(st.AppendTo(nil), from, to)
}

// cut takes the form of a state apart into those of its devices, which stand in it one after the other.
func cut(body []byte, from, to int) ([][]byte, error) {
	var starts []int
	at := 0
	for i := from; i < to; i++ {
		n := bytes.Index(body[at:], []byte(deviceMN(i)))
		if n < templateTexts {
			return nil, errors.New("a device is not where it was looked for in the form of a state")
		}
		at += n
		starts = append(starts, at-templateTexts)
	}
	starts = append(starts, len(body))
	var forms [][]byte
	for i := range to - from {
		forms = append(forms, body[starts[i]:starts[i+1]])
	}
	return forms, nil
}

// seedBody is the form of a state of the devices in list, each a copy of a template under its own MN.
func seedBody(partition int32, forms [][]byte, list []int, end time.Time) ([]byte, error) {
	set, err := ruleSet()
	if err != nil {
		return nil, err
	}
	st := fold.New(partition)
	for offset, e := range []telemetry.Entry{{Kind: telemetry.KindTick, Value: tickValue(end)}, {Kind: telemetry.KindRules, Value: set.AppendJSON(nil)}} {
		e.Offset, e.Received = int64(offset), end
		st.Apply(&e, func(telemetry.Output) {})
	}
	body := st.AppendTo(nil)
	body = binary.AppendUvarint(body[:len(body)-1], uint64(len(list))) // none before
	for _, i := range list {
		k := i % len(forms)
		body = append(body, bytes.ReplaceAll(forms[k], []byte(deviceMN(k)), []byte(deviceMN(i)))...)
	}
	return body, nil
}

// seed writes a snapshot of every partition, before the journal's first entry, in which the devices have reported for templateHours.
func (b *bench) seed(ctx context.Context, snapshots string) error {
	cfg := store.DefaultConfig()
	cfg.Location = snapshots
	st, err := store.Open(cfg)
	if err != nil {
		return err
	}
	end := time.Now().Truncate(time.Minute)
	var halves [2][][]byte
	var errs [2]error
	var both sync.WaitGroup
	for h := range halves {
		both.Go(func() { halves[h], errs[h] = template(h*templates/2, (h+1)*templates/2, end) })
	}
	both.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	forms := slices.Concat(halves[0], halves[1])
	lists := [partitions][]int{}
	for i := range b.devices {
		p := telemetry.PartitionOf(deviceMN(i), partitions)
		lists[p] = append(lists[p], i)
	}
	for p, list := range lists {
		body, err := seedBody(int32(p), forms, list, end)
		if err != nil {
			return err
		}
		if err := stream.SaveSnapshot(ctx, st, &stream.Snapshot{Partition: int32(p), Clock: end, Body: body}); err != nil {
			return err
		}
	}
	return nil
}
