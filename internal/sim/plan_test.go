package sim

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"outfall/ingest"
)

// A plan is all that a seed decides: how the installation is set, and which fault comes when. The loggers' scripts follow from the seed too.
type plan struct {
	seed       uint64
	active     time.Duration // while there are faults and new data
	loggers    int
	partitions int32
	policy     ingest.SessionPolicy

	maxInflight   int64
	maxOutputs    int
	snapshotEvery time.Duration
	drain         time.Duration
	static        bool // workers have lasting names in the group
	shared        bool // workers share one snapshot folder
	batchLines    int

	events []event
}

// A what is one kind of fault.
type what uint8

const (
	cutLine      what = iota // a logger's connection breaks
	hostile                  // somebody sends rubbish
	stepReceipt              // the gateway's clock is set
	stepTick                 // a tick of a process whose clock is off
	cutNet                   // the connections of a process break
	holdNet                  // the network of a process swallows everything for a while: a zombie, if it is long
	trapNet                  // the nth request of a kind, its answer or a part of it is lost
	brokerDown               // nobody reaches the broker
	brokerHold               // the broker is silent
	brokerErrors             // the broker answers with errors
	crashGateway             // the process dies at the nth request of a kind
	crashWorker
	crashSink
	storeAway // the snapshot store answers with errors
	tear      // the newest snapshot of a partition is damaged
	join      // another worker comes
	leave     // and goes in order
	badInflux // InfluxDB changes its mood for a while
	zombie    // of two workers one is silent until the other has its partitions, and then goes on
	republ    // rules or a registry entry change
	whatEnd   // keep last
)

var whatNames = [...]string{"line cut", "hostile bytes", "gateway clock step", "tick clock step", "network cut", "network held", "request lost",
	"broker down", "broker silent", "broker errors", "gateway crash", "worker crash", "sink crash", "snapshot store away", "snapshot torn", "worker joins", "worker leaves",
	"InfluxDB trouble", "zombie worker", "rules or registry change"}

func (w what) String() string { return whatNames[w] }

// A who is a process.
type who uint8

const (
	theGateway who = iota
	theWorker      // the first
	otherWorker
	theSink
	whoEnd
)

var whoNames = [...]string{"gateway", "worker", "second worker", "sink"}

func (w who) String() string { return whoNames[w] }

// An event is one fault of the schedule. Fields that a kind has no use for are zero.
type event struct {
	at     time.Duration
	what   what
	who    who
	lasts  time.Duration
	key    int16 // of the requests that are hit, -1: any
	nth    int
	bite   bite
	err    *kerr.Error
	topic  string // of a produce error; empty: any
	mood   mood
	amount int64 // of a clock step in seconds, and what else needs a number
}

func (e event) String() string {
	s := fmt.Sprintf("%v %v", e.at.Round(time.Millisecond), e.what)
	switch e.what {
	case cutNet, holdNet, trapNet:
		s += " of the " + e.who.String()
	}
	if e.nth > 0 {
		s += fmt.Sprintf(", request %d of %s, %s", e.nth, keyName(e.key), e.bite)
	}
	if e.err != nil {
		s += fmt.Sprintf(", %d times %s on %s %s", e.amount, e.err.Message, keyName(e.key), e.topic)
	} else if e.amount != 0 {
		s += fmt.Sprintf(", %d", e.amount)
	}
	if e.what == badInflux {
		s += " " + e.mood.String()
	}
	if e.lasts > 0 {
		s += fmt.Sprintf(", for %v", e.lasts.Round(time.Millisecond))
	}
	return s
}

func keyName(k int16) string {
	if k < 0 {
		return "any"
	}
	return kmsg.NameForKey(k)
}

func (p *plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d loggers, %d partitions, %v, one session %s, in flight %d, outputs %d, snapshots %v, drain %v, static %v, shared %v, batch %d\n",
		p.seed, p.loggers, p.partitions, p.active, p.policy, p.maxInflight, p.maxOutputs, p.snapshotEvery, p.drain, p.static, p.shared, p.batchLines)
	for _, e := range p.events {
		fmt.Fprintf(&b, "  %v\n", e)
	}
	return b.String()
}

// requests are the kinds that a trap may wait for, by process.
var requests = [whoEnd][]int16{
	theGateway:  {-1, int16(kmsg.Produce), int16(kmsg.Produce), int16(kmsg.Metadata), int16(kmsg.Fetch)},
	theWorker:   {-1, int16(kmsg.Produce), int16(kmsg.Produce), int16(kmsg.Fetch), int16(kmsg.ListOffsets), int16(kmsg.OffsetCommit), int16(kmsg.JoinGroup), int16(kmsg.Heartbeat)},
	otherWorker: {-1, int16(kmsg.Produce), int16(kmsg.Fetch), int16(kmsg.SyncGroup)},
	theSink:     {-1, int16(kmsg.Fetch), int16(kmsg.OffsetCommit), int16(kmsg.OffsetFetch), int16(kmsg.Heartbeat)},
}

// brokerFaults are errors that a broker may answer with, by the kind of request.
var brokerFaults = map[int16][]*kerr.Error{
	int16(kmsg.Produce):         {kerr.NotLeaderForPartition, kerr.RequestTimedOut, kerr.NotEnoughReplicas, kerr.KafkaStorageError, kerr.InvalidRecord},
	int16(kmsg.Fetch):           {kerr.NotLeaderForPartition, kerr.KafkaStorageError, kerr.UnknownServerError},
	int16(kmsg.ListOffsets):     {kerr.NotLeaderForPartition, kerr.LeaderNotAvailable},
	int16(kmsg.FindCoordinator): {kerr.CoordinatorNotAvailable},
	int16(kmsg.Heartbeat):       {kerr.RebalanceInProgress, kerr.NotCoordinator, kerr.UnknownMemberID},
	int16(kmsg.OffsetCommit):    {kerr.NotCoordinator, kerr.CoordinatorLoadInProgress, kerr.RebalanceInProgress},
	int16(kmsg.OffsetFetch):     {kerr.NotCoordinator, kerr.CoordinatorLoadInProgress},
	int16(kmsg.JoinGroup):       {kerr.CoordinatorNotAvailable, kerr.UnknownMemberID},
	int16(kmsg.Metadata):        {kerr.LeaderNotAvailable},
}

var faultKeys = []int16{int16(kmsg.Produce), int16(kmsg.Produce), int16(kmsg.Fetch), int16(kmsg.ListOffsets), int16(kmsg.FindCoordinator),
	int16(kmsg.Heartbeat), int16(kmsg.OffsetCommit), int16(kmsg.OffsetFetch), int16(kmsg.JoinGroup), int16(kmsg.Metadata)}

// newPlan makes the plan of a seed.
func newPlan(seed uint64) *plan {
	r := rand.New(rand.NewPCG(seed, 0))
	p := &plan{
		seed: seed, active: time.Duration(150+r.IntN(120)) * time.Second, loggers: 3 + r.IntN(4), partitions: int32(1 + r.IntN(3)),
		policy:      []ingest.SessionPolicy{ingest.PolicyNewest, ingest.PolicyRefuse, ingest.PolicyOff}[r.IntN(3)],
		maxInflight: []int64{64, 100_000}[r.IntN(2)], maxOutputs: []int{1, 7, 100, 10_000}[r.IntN(4)],
		snapshotEvery: time.Duration(1+r.IntN(20)) * time.Second, drain: time.Duration(1+r.IntN(10)) * time.Second,
		static: r.IntN(2) == 0, shared: r.IntN(2) == 0, batchLines: []int{5, 100, 5000}[r.IntN(3)],
	}
	for range 8 + r.IntN(14) {
		p.events = append(p.events, p.event(r))
	}
	slices.SortFunc(p.events, func(a, b event) int { return int(a.at - b.at) })
	return p
}

func (p *plan) event(r *rand.Rand) event {
	seconds := func(low, high int) time.Duration {
		return time.Duration(low*1000+r.IntN((high-low)*1000)) * time.Millisecond
	}
	e := event{at: seconds(2, int(p.active/time.Second)-5), what: what(r.IntN(int(whatEnd)))}
	e.who = who(r.IntN(int(whoEnd)))
	trap := func(of who) { // bites usually soon, sometimes late
		e.who, e.key, e.nth, e.bite = of, requests[of][r.IntN(len(requests[of]))], 1+r.IntN([]int{3, 20, 100}[r.IntN(3)]), bite(r.IntN(int(biteEnd)))
	}
	switch e.what {
	case cutLine:
		e.amount = int64(r.IntN(p.loggers))
	case stepReceipt:
		e.amount = int64(r.IntN(1200) - 600)
	case stepTick:
		e.amount = int64(r.IntN(2400) - 1200)
	case holdNet:
		e.lasts = seconds(1, 40)
	case trapNet:
		trap(e.who)
	case brokerDown, brokerHold, storeAway:
		e.lasts = seconds(1, 25)
	case brokerErrors:
		e.key = faultKeys[r.IntN(len(faultKeys))]
		errs := brokerFaults[e.key]
		e.err, e.amount = errs[r.IntN(len(errs))], int64(1+r.IntN(8))
		if e.key == int16(kmsg.Produce) && r.IntN(2) == 0 {
			e.topic = []string{"journal", "points", "findings", "status", "alarms"}[r.IntN(5)]
		}
	case crashGateway:
		trap(theGateway)
		e.lasts = seconds(0, 8)
	case crashWorker:
		trap(theWorker)
		e.lasts = seconds(0, 20)
		e.amount = int64(r.IntN(4)) // what becomes of the newest snapshots
	case crashSink:
		trap(theSink)
		e.lasts = seconds(0, 10)
	case tear:
		e.amount = int64(r.IntN(1000))
	case badInflux:
		e.mood, e.lasts = mood(1+r.IntN(int(moodEnd)-1)), seconds(1, 40)
	case zombie:
		e.who, e.lasts = []who{theWorker, otherWorker}[r.IntN(2)], seconds(8, 45)
		e.key, e.nth, e.bite = int16(kmsg.Produce), 1+r.IntN(30), biteHold
	case republ, hostile:
		e.amount = int64(r.IntN(1000))
	}
	return e
}

// A seed gives the same schedule and the same uploads each time.
func TestPlanRepeats(t *testing.T) {
	for seed := range uint64(50) {
		a, b := newPlan(seed), newPlan(seed)
		if a.String() != b.String() {
			t.Errorf("seed %d gives\n%s and then\n%s", seed, a, b)
		}
		start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
		x, y := newLogger(&world{plan: a, start: start}, 1, seed), newLogger(&world{plan: b, start: start}, 1, seed)
		if !reflect.DeepEqual(x.uploads, y.uploads) || len(x.uploads) == 0 {
			t.Errorf("seed %d gives a logger two scripts", seed)
		}
	}
}
