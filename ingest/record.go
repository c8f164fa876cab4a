package ingest

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/telemetry"
)

// A Record is what a session hands to the journal or to the rejects topic.
type Record struct {
	Topic    telemetry.Topic // TopicJournal or TopicRejects
	Kind     telemetry.Kind  // KindFrame, KindReject or KindSession
	Key      string          // MN; in TopicRejects gateway/connection
	Value    []byte          // belongs to the publisher until done; not changed by anybody
	Received time.Time
	Origin   *Origin
	Reason   Reason // KindReject only
}

// An Origin is where a record comes from; it is the same for all records of a connection.
type Origin struct {
	Gateway string
	Peer    string // host:port
	Conn    string // connection number in the gateway, decimal

	headers []kgo.RecordHeader // of a frame, made once for all of them
}

func newOrigin(gateway, peer, conn string) Origin {
	o := Origin{Gateway: gateway, Peer: peer, Conn: conn}
	o.headers = o.appendHeaders(nil, telemetry.KindFrame)
	return o
}

// appendHeaders appends the headers that every record from here has.
func (o *Origin) appendHeaders(dst []kgo.RecordHeader, kind telemetry.Kind) []kgo.RecordHeader {
	return append(dst,
		kgo.RecordHeader{Key: telemetry.HeaderKind, Value: []byte(kind.String())},
		kgo.RecordHeader{Key: telemetry.HeaderGateway, Value: []byte(o.Gateway)},
		kgo.RecordHeader{Key: telemetry.HeaderPeer, Value: []byte(o.Peer)},
		kgo.RecordHeader{Key: telemetry.HeaderConn, Value: []byte(o.Conn)})
}

// recordOverhead is what a record under way costs beyond value and key: its structs, headers and callbacks, in bytes.
const recordOverhead = 512

// cost is what r counts against the byte bounds.
func (r *Record) cost() int { return len(r.Value) + len(r.Key) + recordOverhead }

// ErrFull says that the publisher's bounded buffer has no room for the record: offer it again later.
var ErrFull = errors.New("journal buffer is full")

// A Publisher writes records.
type Publisher interface {
	// Publish never blocks. It returns ErrFull when there is no room; otherwise done is called once, on another goroutine: with nil
	// after the record is durable, with the error when it is lost.
	Publish(rec Record, done func(error)) error
	// Flush sends what lingers and returns when the brokers have answered for everything published so far, or ctx ends.
	Flush(ctx context.Context) error
}

// Devices is the registry as sessions see it. Both methods are for any goroutine and take no lock.
type Devices interface {
	// Lookup is the device of an MN, nil if the registry does not name it.
	Lookup(mn []byte) *Device
	// Loaded reports whether the registry was read up to its end once; before that nothing can be judged.
	Loaded() bool
}
