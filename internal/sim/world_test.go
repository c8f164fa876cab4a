package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"outfall/internal/broker"
	"outfall/rules"
	"outfall/telemetry"
)

// A world is one seed's installation, in one bubble of virtual time.
type world struct {
	plan    *plan
	shelves [2]*shelf // of the two workers; both use the first if they share
	start   time.Time
	log     zerolog.Logger
	fabric  fabric
	kafka   *kfake.Cluster
	cluster *broker.Cluster // no faults on its way
	client  *kgo.Client     // of cluster, to write as an administrator
	db      database
	loggers []*logger

	background sync.WaitGroup // what ends by itself: repairs, restarts, ghosts
	step       atomic.Int64   // of the gateway's clock, ns

	mu           sync.Mutex // guards what follows; never held while waiting
	gateway      *gateway
	allGateways  []*gateway
	gateways     int
	links        uint64
	workers      [whoEnd]*worker
	sink         *sink
	incarnations uint64
	durable      []int64 // of the journal, by partition: offsets below it survive a power cut
	ledger       []acked
	faults       map[string]int
	problems     []string
}

// An acked is one acknowledged frame: at that moment the journal was durable up to durable in the device's partition.
type acked struct {
	mn      string
	frame   []byte
	durable int64
}

const maxProblems = 20

// fail notes what must not be.
func (w *world) fail(format string, a ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.problems) < maxProblems {
		w.problems = append(w.problems, fmt.Sprintf("%v: ", time.Since(w.start).Round(time.Millisecond))+fmt.Sprintf(format, a...))
	}
}

func (w *world) count(fault string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults[fault]++
}

// receipt is the gateway's clock.
func (w *world) receipt() time.Time { return time.Now().Add(time.Duration(w.step.Load())) }

// enter puts a frame that was acknowledged this moment into the ledger.
func (w *world) enter(mn string, frame []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ledger = append(w.ledger, acked{mn, frame, w.durable[telemetry.PartitionOf(mn, w.plan.partitions)]})
}

// sync is the file system's: what the journal holds when it begins is durable when it ends.
func (w *world) sync() error {
	held := w.journalEnds()
	time.Sleep(4 * time.Millisecond)
	w.mu.Lock()
	defer w.mu.Unlock()
	for p, end := range held {
		w.durable[p] = max(w.durable[p], end)
	}
	return nil
}

func (w *world) journalEnds() []int64 { return w.ends(telemetry.TopicJournal) }

func (w *world) ends(t telemetry.Topic) []int64 {
	ends := make([]int64, w.plan.partitions)
	for _, info := range w.kafka.PartitionInfos(w.cluster.Topic(t)) {
		ends[info.Partition] = info.HighWatermark
	}
	return ends
}

func (w *world) takeGateway(g *gateway) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if g == nil || w.gateway != g {
		return false
	}
	w.gateway = nil
	return true
}

func (w *world) takeWorker(p *worker) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p == nil || w.workers[p.slot] != p {
		return false
	}
	w.workers[p.slot] = nil
	return true
}

// newWorld starts the broker, with topics, registry and rules, and then every process. log gets what the processes log.
func newWorld(p *plan, log zerolog.Logger) (*world, error) {
	w := &world{plan: p, shelves: [2]*shelf{newShelf(), newShelf()}, start: time.Now(), log: log, faults: map[string]int{}, durable: make([]int64, p.partitions),
		db: database{points: map[string]string{}}}
	var err error
	w.kafka, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(w.fabric.broker.Listen), kfake.WithLogger(quiet{}))
	if err != nil {
		return nil, err
	}
	w.cluster = broker.Virtual(w.brokerConfig(), w.fabric.broker.DialContext, w.sync)
	if _, err := w.cluster.Apply(context.Background()); err != nil {
		return nil, err
	}
	if w.client, err = w.cluster.Client(kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
		return nil, err
	}
	for i := range p.loggers {
		w.loggers = append(w.loggers, newLogger(w, i, p.seed))
		w.register(i, 600)
	}
	w.rules(1)
	return w, nil
}

type quiet struct{}

func (quiet) Logf(kfake.LogLevel, string, ...any) {}

// register writes a logger's registry entry into the registry and the journal.
func (w *world) register(i, offlineAfter int) {
	d := telemetry.Device{MN: deviceMN(i), PW: "123456", Outlet: fmt.Sprintf("W%02d", i), Medium: "water", MinuteInterval: 1, RealtimeInterval: 30, OfflineAfter: offlineAfter}
	partition, value := telemetry.PartitionOf(d.MN, w.plan.partitions), telemetry.AppendJSON(nil, &d)
	w.write(&kgo.Record{Topic: w.cluster.Topic(telemetry.TopicRegistry), Partition: partition, Key: []byte(d.MN), Value: value})
	w.journal(telemetry.KindRegistry, partition, d.MN, value)
}

// rules writes a rule set into every partition.
func (w *world) rules(version int) {
	high := telemetry.Fixed(int64(40+version%10) * int64(telemetry.FixedOne))
	rs, err := rules.NewRuleSet("sim", version, []rules.Rule{
		{ID: "cod", Title: "COD", Basis: "GB 8978-1996", Factor: "w01018", Statistic: telemetry.StatMinute, High: &high, Unit: "mg/L",
			RaiseAfter: 2, ClearAfter: 2, ClearBelow: telemetry.FixedOne, MinValid: rules.DefaultMinValid(telemetry.StatMinute)},
		{ID: "cod-hour", Title: "COD", Basis: "GB 8978-1996", Factor: "w01018", Statistic: telemetry.StatHour, High: &high, Unit: "mg/L",
			RaiseAfter: 1, ClearAfter: 1, ClearBelow: telemetry.FixedOne, MinValid: rules.DefaultMinValid(telemetry.StatHour)},
	})
	if err != nil {
		w.fail("%v", err)
		return
	}
	for p := range w.plan.partitions {
		w.journal(telemetry.KindRules, p, "", rs.AppendJSON(nil))
	}
}

func (w *world) journal(kind telemetry.Kind, partition int32, mn string, value []byte) {
	w.write(&kgo.Record{Topic: w.cluster.Topic(telemetry.TopicJournal), Partition: partition, Key: []byte(mn), Value: value, Timestamp: time.Now(),
		Headers: []kgo.RecordHeader{{Key: telemetry.HeaderKind, Value: []byte(kind.String())}}})
}

// tick is one of a process whose clock shows at.
func (w *world) tick(at time.Time) {
	for p := range w.plan.partitions {
		w.journal(telemetry.KindTick, p, "", telemetry.AppendJSON(nil, telemetry.Tick{Time: at.UTC().Truncate(time.Millisecond)}))
	}
}

// write writes an administrator's record, however often the broker refuses it.
func (w *world) write(rec *kgo.Record) {
	var err error
	for range 20 {
		one := *rec // a record can be produced once
		if err = w.client.ProduceSync(context.Background(), &one).FirstErr(); err == nil {
			return
		}
	}
	w.fail("write to %s: %v", rec.Topic, err)
}

// run lives through the schedule and returns when everything has come to rest and ended.
func (w *world) run() {
	w.startGateway()
	w.startWorker(theWorker, w.shelves[0])
	w.startSink()
	ctx, cancel := context.WithCancel(context.Background())
	var fleet sync.WaitGroup
	for _, l := range w.loggers {
		fleet.Go(func() { l.run(ctx) })
	}
	for _, e := range w.plan.events {
		time.Sleep(time.Until(w.start.Add(e.at)))
		w.apply(e)
	}
	time.Sleep(time.Until(w.start.Add(w.plan.active)))
	w.repair()
	quiet := make(chan struct{})
	go func() { defer close(quiet); fleet.Wait() }()
	w.settle("every upload to be acknowledged", quiet)
	cancel()
	<-quiet
	w.flow()
	w.stop()
}

// repair ends every fault that lasts.
func (w *world) repair() {
	for range 3 { // a fault that lasts may have set a trap, and a crash may follow from it
		for _, n := range w.fabric.all() {
			n.disarm()
		}
		w.background.Wait() // what lasts ends by itself, and what has crashed is started
	}
	w.db.mood.Store(int32(moodWell))
}

// restTime is how long everything may take to come to rest once the faults are over.
const restTime = 5 * time.Minute

func (w *world) settle(what string, done <-chan struct{}) {
	timer := time.NewTimer(restTime)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		w.fail("waited %v for %s", restTime, what)
	}
}

// flow closes every window by ticks of the day after, and waits until workers and sink have done all there is.
func (w *world) flow() {
	for i := range 2 {
		w.tick(w.start.Add(time.Duration(25+i) * time.Hour))
	}
	journal := w.journalEnds()
	w.reach("outfall.stream", telemetry.TopicJournal, journal)
	w.reach("outfall.sink-influx", telemetry.TopicPoints, w.ends(telemetry.TopicPoints))
}

// reach waits until a group has committed offsets.
func (w *world) reach(group string, t telemetry.Topic, ends []int64) {
	for deadline := time.Now().Add(restTime); ; time.Sleep(500 * time.Millisecond) {
		have, all := w.committed(group, t), true
		for p := range ends {
			all = all && have[p] >= ends[p]
		}
		if all {
			return
		}
		if time.Now().After(deadline) {
			w.fail("waited %v for %s to reach %v of %s; it is at %v", restTime, group, ends, t, have)
			return
		}
	}
}

// committed are a group's offsets, by partition.
func (w *world) committed(group string, t telemetry.Topic) []int64 {
	at := make([]int64, w.plan.partitions)
	req := kmsg.NewPtrOffsetFetchRequest()
	one := kmsg.NewOffsetFetchRequestGroup()
	one.Group = group
	req.Groups = append(req.Groups, one)
	resp, err := req.RequestWith(context.Background(), w.client)
	if err != nil {
		return at
	}
	for _, g := range resp.Groups {
		for _, topic := range g.Topics {
			for _, p := range topic.Partitions {
				if topic.Topic == w.cluster.Topic(t) {
					at[p.Partition] = p.Offset
				}
			}
		}
	}
	return at
}

// stop ends every process in order.
func (w *world) stop() {
	if w.gateway != nil {
		w.gateway.close()
	}
	for _, p := range w.workers {
		if p != nil {
			p.leave()
		}
	}
	if p := w.sink; p != nil {
		p.stop()
		w.await("sink", p.ended)
	}
}

// close ends the broker.
func (w *world) close() {
	w.client.Close()
	w.kafka.Close()
}

func (w *world) random(e event) *rand.Rand {
	return rand.New(rand.NewPCG(w.plan.seed, uint64(e.amount)<<8|uint64(e.what)))
}
