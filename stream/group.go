package stream

import (
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/telemetry"
)

const (
	// pieceValues and pieceOutputs are the room of an outputPiece: on average an output takes less than 1 KB.
	pieceValues  = 256 << 10
	pieceOutputs = 256
	// maxGroupBytes bounds a group beside Config.MaxBufferedOutputs.
	maxGroupBytes = 2 << 20
	// maxFreePieces bounds the memory that a partition keeps for outputs to come: one group's. Some hours' ends need more.
	maxFreePieces = 12
)

// outputTopics is the number of topics, of which some are for outputs.
const outputTopics = int(telemetry.TopicActions) + 1

// An outputPiece is memory of outputs: records, and what they point to.
type outputPiece struct {
	bytes []byte
	slots [pieceOutputs]outputSlot
	used  int // of slots
}

type outputSlot struct {
	rec     kgo.Record
	headers [2]kgo.RecordHeader
}

// An outputGroup is what publish takes: records of any output topics, each topic's in the order of their positions.
type outputGroup struct {
	topics  []string // names in the cluster, by topic
	records []*kgo.Record
	counts  [outputTopics]int // by topic
	last    int64             // journal offset that the last of them comes from
	bytes   int               // of keys and values
	pieces  []*outputPiece
	free    chan *outputPiece // those that no group needs; full, one is dropped
}

// newOutputGroup makes a group that takes its memory from free and gives it back there. topics are the names in the cluster, nil for a group
// that is only given others'.
func newOutputGroup(topics []string, free chan *outputPiece) outputGroup {
	return outputGroup{topics: topics, free: free}
}

func (g *outputGroup) len() int { return len(g.records) }

// full tells whether the group should be handed over.
func (g *outputGroup) full(limit int) bool {
	return len(g.records) >= limit || g.bytes >= maxGroupBytes
}

// room finds a piece with a slot and n bytes.
func (g *outputGroup) room(n int) *outputPiece {
	if k := len(g.pieces); k > 0 {
		if p := g.pieces[k-1]; p.used < pieceOutputs && cap(p.bytes)-len(p.bytes) >= n {
			return p
		}
	}
	var p *outputPiece
	select {
	case p = <-g.free:
	default:
		p = &outputPiece{bytes: make([]byte, 0, pieceValues)}
	}
	if cap(p.bytes) < n {
		p.bytes = make([]byte, 0, n)
	}
	g.pieces = append(g.pieces, p)
	return p
}

// add takes an output and copies what is in it. The record's timestamp is the receipt of the entry that caused it: the same in every replay, and
// near enough to now for retention by time.
func (g *outputGroup) add(partition int32, received time.Time, o *telemetry.Output) {
	const numbers = 20 + 11 // digits at most
	p := g.room(len(o.MN) + len(o.Value) + numbers)
	slot := &p.slots[p.used]
	p.used++
	cut := func(from int) []byte { return p.bytes[from:len(p.bytes):len(p.bytes)] }
	at := len(p.bytes)
	p.bytes = append(p.bytes, o.MN...)
	key, at := cut(at), len(p.bytes)
	p.bytes = append(p.bytes, o.Value...)
	value, at := cut(at), len(p.bytes)
	p.bytes = strconv.AppendInt(p.bytes, o.Pos.Source, 10)
	source, at := cut(at), len(p.bytes)
	p.bytes = strconv.AppendInt(p.bytes, int64(o.Pos.Ordinal), 10)
	slot.headers = [2]kgo.RecordHeader{{Key: telemetry.HeaderSource, Value: source}, {Key: telemetry.HeaderOrdinal, Value: cut(at)}}
	slot.rec = kgo.Record{Topic: g.topics[o.Topic], Partition: partition, Timestamp: received, Key: key, Value: value, Headers: slot.headers[:]}
	g.records = append(g.records, &slot.rec)
	g.counts[o.Topic]++
	g.last = o.Pos.Source
	g.bytes += len(key) + len(value)
}

// take adds a later group and empties it.
func (g *outputGroup) take(from *outputGroup) {
	g.records = append(g.records, from.records...)
	g.pieces = append(g.pieces, from.pieces...)
	for t, n := range from.counts {
		g.counts[t] += n
	}
	if len(from.records) > 0 {
		g.last = from.last
	}
	g.bytes += from.bytes
	clear(from.pieces) // they are not from's any more
	from.pieces = from.pieces[:0]
	from.reset()
}

// reset empties the group, whose records are all out, or taken by another: their memory is used again.
func (g *outputGroup) reset() {
	for _, p := range g.pieces {
		if cap(p.bytes) > pieceValues {
			continue
		}
		p.bytes, p.used = p.bytes[:0], 0
		select {
		case g.free <- p:
		default:
		}
	}
	clear(g.pieces)
	clear(g.records)
	g.counts = [outputTopics]int{}
	g.pieces, g.records, g.bytes = g.pieces[:0], g.records[:0], 0
}

// topicNames are the names in the cluster, by topic.
func topicNames(cluster Cluster) (names []string) {
	for _, t := range telemetry.Topics() {
		names = append(names, cluster.Topic(t))
	}
	return names
}
