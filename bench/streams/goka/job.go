package main

import (
	"slices"
	"strconv"
	"sync"

	"github.com/lovoo/goka"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

const (
	minute = 60
	hour   = 3600
	grace  = 90
)

// A job turns frames into means. goka has no windows: the device's open windows are its value in the group table.
type job struct {
	output   goka.Stream
	messages sync.Pool // of *hj212.Message: callbacks run concurrently, one a partition
}

// frame takes one frame of a device.
func (j *job) frame(ctx goka.Context, input any) {
	m, _ := j.messages.Get().(*hj212.Message)
	if m == nil {
		m = new(hj212.Message)
	}
	defer j.messages.Put(m)
	framer := hj212.Framer{Tolerant: true, CRC: hj212.DialectNone, MaxData: 9999} // the gateway has checked it
	fr, _, err := framer.Next(input.([]byte), true)
	if err == nil {
		err = m.Parse(fr.Data)
	}
	at, ok := hj212.ParseTime(m.DataTime)
	if err != nil || !ok {
		return // what is no frame has no mean
	}
	s, _ := ctx.Value().(*state)
	if s == nil {
		s = new(state)
	}
	switch string(m.CN) {
	case "2011":
		j.realtime(ctx, s, m, at.Unix())
	case "2051":
		j.record(ctx, s, m, at.Unix())
	}
	ctx.SetValue(s)
}

// realtime adds the values of CN 2011 to the minute and the hour they fall into and closes what the grace has passed of.
func (j *job) realtime(ctx goka.Context, s *state, m *hj212.Message, at int64) {
	s.clock = max(s.clock, at)
	for i, length := range [...]int64{minute, hour} {
		open := &s.open[i]
		if start := at - at%length; start+length+grace > s.clock { // else too late
			find(open, start).add(m, hj212.Rtd)
		}
		for len(*open) > 0 && (*open)[0].start+length+grace <= s.clock {
			ctx.Emit(j.output, ctx.Key(), (*open)[0].result("mh"[i], (*open)[0].start))
			*open = slices.Delete(*open, 0, 1)
		}
	}
}

// record adds a minute record, CN 2051, to the running hour and publishes it.
func (j *job) record(ctx goka.Context, s *state, m *hj212.Message, at int64) {
	if start := at - at%hour; s.running.start != start {
		s.running = window{start: start}
	}
	s.running.add(m, hj212.Avg)
	ctx.Emit(j.output, ctx.Key(), s.running.result('r', at))
}

// find is the window of a start among open ones, made if it is not there; they are in order.
func find(open *[]window, start int64) *window {
	i, found := slices.BinarySearchFunc(*open, start, func(w window, start int64) int { return int(w.start - start) })
	if !found {
		*open = slices.Insert(*open, i, window{start: start})
	}
	return &(*open)[i]
}

// add adds a frame's valid numbers.
func (w *window) add(m *hj212.Message, suffix hj212.Suffix) {
	for i := range m.Groups {
		g := &m.Groups[i]
		v := &g.Values[suffix]
		if !v.Numeric || string(g.Flag) != "N" {
			continue
		}
		f, ok := telemetry.FixedFromDecimal(v.Num.Mant, v.Num.Exp)
		if !ok {
			continue
		}
		k := slices.IndexFunc(w.factors, func(f factor) bool { return f.code == string(g.Code) })
		if k < 0 {
			k = len(w.factors)
			w.factors = append(w.factors, factor{code: string(g.Code)})
		}
		w.factors[k].sum += int64(f)
		w.factors[k].n++
	}
}

// result is the window's record in the output topic.
func (w *window) result(kind byte, start int64) []byte {
	b := make([]byte, 0, 32+24*len(w.factors))
	b = strconv.AppendInt(append(b, kind, ' '), start, 10)
	for i, f := range w.factors {
		b = append(b, " ,"[min(i, 1)])
		b = strconv.AppendInt(append(append(b, f.code...), '='), divEven(f.sum, f.n), 10)
		b = strconv.AppendInt(append(b, '/'), f.n, 10)
	}
	return b
}

// divEven is a/b rounded half to even; a >= 0, b > 0.
func divEven(a, b int64) int64 {
	q, r := a/b, a%b
	if 2*r > b || 2*r == b && q%2 == 1 {
		q++
	}
	return q
}
