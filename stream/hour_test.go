package stream

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/ingest/hj212"
	"outfall/stream/fold"
	"outfall/telemetry"
)

// An hour is a journal of one hour of one device, with everything that can become of a value, and its outputs as published.
type hour struct {
	*bed
	t0   time.Time // the hour's start
	mn   string
	sent map[string][]byte // frames by name
	late time.Time         // receipt of the record of minute 13, after the hour was published
	recs []*kgo.Record
}

func (h *hour) send(at time.Time, name, seg string) {
	b := hj212.AppendFrame(nil, []byte(seg))
	h.sent[name] = b
	rec := h.record(telemetry.KindFrame, h.partition(h.mn), h.mn, b)
	rec.Timestamp = at
	rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: telemetry.HeaderPeer, Value: []byte("192.0.2.1:40001")})
	h.recs = append(h.recs, rec)
}

func (h *hour) instant(at time.Time, value string) {
	h.send(at, "instant "+at.Sub(h.t0).String(), fmt.Sprintf("QN=%s;ST=32;CN=2011;PW=123456;MN=%s;Flag=5;CP=&&DataTime=%s;w01018-Rtd=%s,w01018-Flag=N&&",
		hj212.AppendQN(nil, at), h.mn, hj212.AppendTime(nil, at), value))
}

func (h *hour) minute(received time.Time, i int, value, mark string) {
	at := h.t0.Add(time.Duration(i) * time.Minute)
	h.send(received, fmt.Sprintf("minute %d", i), fmt.Sprintf("QN=%s;ST=32;CN=2051;PW=123456;MN=%s;Flag=5;CP=&&DataTime=%s;w01018-Avg=%s,w01018-Flag=%s&&",
		hj212.AppendQN(nil, received), h.mn, hj212.AppendTime(nil, at), value, mark))
}

func (h *hour) tick(at time.Time) {
	h.recs = append(h.recs, tickRecord(h.cluster.Topic(telemetry.TopicJournal), h.partition(h.mn), at))
}

// packets sends the record of minute 15 in two packets, the value in the one without a time.
func (h *hour) packets(at time.Time) {
	for pno, cp := range []string{fmt.Sprintf("DataTime=%s;w21003-Avg=1", hj212.AppendTime(nil, h.t0.Add(15*time.Minute))), "w01018-Avg=41.5"} {
		h.send(at, fmt.Sprintf("packet %d", pno+1), fmt.Sprintf("QN=%s;ST=32;CN=2051;PW=123456;MN=%s;Flag=7;PNUM=2;PNO=%d;CP=&&%s&&", hj212.AppendQN(nil, at),
			h.mn, pno+1, cp))
	}
}

// newHour writes the journal and publishes what its fold gives.
func newHour(t *testing.T) *hour {
	h := &hour{bed: newBed(t), mn: bedMN(1), sent: map[string][]byte{}, t0: time.Now().UTC().Truncate(time.Hour).Add(2 * time.Hour)}
	for i := range 60 {
		start := h.t0.Add(time.Duration(i) * time.Minute)
		value := fmt.Sprintf("%d.%d", 30+i%10, i%7)
		h.instant(start, value+"1")
		h.tick(start.Add(20 * time.Second))
		h.instant(start.Add(30*time.Second), value+"4")
		end := start.Add(65 * time.Second)
		switch i {
		case 10, 13: // of real-time values; minute 13's record comes later
		case 11:
			h.minute(end, i, value, "D")
		case 12:
			h.minute(end, i, value, "N")
			h.send(end, "again", string(h.sent["minute 12"][6:len(h.sent["minute 12"])-6]))
		case 15:
			h.packets(end)
		case 20, 21, 22:
			h.minute(end, i, "60.5", "N")
		default:
			h.minute(end, i, value, "N")
		}
		h.tick(end.Add(5 * time.Second))
	}
	for s := range 20 {
		h.tick(h.t0.Add(time.Hour + time.Duration(20+10*s)*time.Second))
	}
	h.late = h.t0.Add(time.Hour + 5*time.Minute)
	h.minute(h.late, 13, "44.4", "N")
	h.tick(h.late.Add(time.Second))
	h.write(h.recs)
	h.publish()
	return h
}

// publish writes the outputs of the whole journal, as a worker would.
func (b *bed) publish() {
	b.t.Helper()
	var recs []*kgo.Record
	for p, end := range b.journalEnds() {
		st := fold.New(int32(p))
		err := readJournal(b.t.Context(), b.cluster, int32(p), 0, end, func(_ *kgo.Record, e *telemetry.Entry) error {
			st.Apply(e, func(o telemetry.Output) {
				o.Value = bytes.Clone(o.Value)
				recs = append(recs, outputRecord(b.cluster.Topic(o.Topic), int32(p), e.Received, &o))
			})
			return nil
		})
		if err != nil {
			b.t.Fatal(err)
		}
	}
	b.write(recs)
}
