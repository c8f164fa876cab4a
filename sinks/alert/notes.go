package alert

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/internal/broker"
	"outfall/telemetry"
)

// NewActionID makes an Action's ID: the clock of UTC+8, for people, and 40 random bits.
func NewActionID(now time.Time) string {
	return now.In(telemetry.China).Format("20060102-150405-") + rand.Text()[:8]
}

// Actions writes actions to the journal and then to the topic actions, each durably before the next.
type Actions struct {
	cluster *broker.Cluster
	barrier *broker.Barrier
	client  *kgo.Client
}

// NewActions connects on first use. The barrier must run.
func NewActions(cluster *broker.Cluster, barrier *broker.Barrier) (*Actions, error) {
	client, err := cluster.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return nil, err
	}
	return &Actions{cluster: cluster, barrier: barrier, client: client}, nil
}

// Close drops what is not written yet.
func (w *Actions) Close() { w.client.Close() }

// Write returns when both have all. With an error neither may have some: what the journal alone has takes no effect until it is written again.
func (w *Actions) Write(ctx context.Context, actions ...telemetry.Action) error {
	var journal, topic []*kgo.Record
	for i := range actions {
		a := &actions[i]
		if err := a.Validate(); err != nil {
			return fmt.Errorf("action %s: %w", a.ID, err)
		}
		value := telemetry.AppendJSON(nil, a)
		if a.MN != "" {
			p := telemetry.PartitionOf(a.MN, w.cluster.Partitions())
			journal = append(journal, w.record(telemetry.TopicJournal, p, a, value))
			topic = append(topic, w.record(telemetry.TopicActions, p, a, value))
			continue
		}
		for p := range w.cluster.Partitions() {
			journal = append(journal, w.record(telemetry.TopicJournal, p, a, value))
		}
		topic = append(topic, w.record(telemetry.TopicActions, 0, a, value))
	}
	for _, records := range [][]*kgo.Record{journal, topic} {
		if err := w.client.ProduceSync(ctx, records...).FirstErr(); err != nil {
			return fmt.Errorf("write actions to %s: %w", records[0].Topic, err)
		}
		if err := w.barrier.Wait(ctx); err != nil {
			return fmt.Errorf("write actions to %s: %w", records[0].Topic, err)
		}
	}
	return nil
}

func (w *Actions) record(t telemetry.Topic, partition int32, a *telemetry.Action, value []byte) *kgo.Record {
	r := &kgo.Record{Topic: w.cluster.Topic(t), Partition: partition, Value: value, Timestamp: a.When,
		Headers: []kgo.RecordHeader{{Key: telemetry.HeaderKind, Value: []byte(telemetry.KindAction.String())}}}
	if a.MN != "" {
		r.Key = []byte(a.MN)
	}
	return r
}

// notices are the actions that say what a job came to, one for each device.
func (j *job) notices(done Outcome, latency time.Duration, now time.Time) []telemetry.Action {
	result := j.result(done)
	n := telemetry.Notice{
		Channel: j.line.ch.Name, Type: j.line.ch.Type, Message: j.message.Key, Result: result, Of: len(j.deliveries),
		Status: done.Status, Code: done.Code, Receipt: done.Receipt, Tries: j.tries, Latency: latency.Milliseconds(),
	}
	switch result {
	case telemetry.NoticeSilenced:
		n.Silence, n.Message = j.reason, ""
	case telemetry.NoticeFailed:
		n.Reason, n.Next = cut(j.why(done), maxReason), j.next
	case telemetry.NoticeExpired:
		n.Reason = cut(j.why(done), maxReason)
	}
	byMN := map[string]int{}
	var all []telemetry.Action
	for _, one := range j.deliveries {
		ev := one.ev
		i, ok := byMN[ev.MN]
		if !ok || len(all[i].Alarms) == telemetry.MaxActionAlarms {
			i = len(all)
			byMN[ev.MN] = i
			own := n
			all = append(all, telemetry.Action{V: telemetry.ActionVersion, ID: NewActionID(now), Verb: telemetry.VerbNotice, MN: ev.MN,
				Notice: &own, Who: telemetry.ActionOperator, When: now.UTC().Truncate(time.Millisecond)})
		}
		all[i].Alarms = append(all[i].Alarms, ev.ID)
		all[i].Notice.Events = append(all[i].Notice.Events, telemetry.NoticeEvent{Alarm: ev.ID, Source: ev.pos.Source, Ordinal: ev.pos.Ordinal})
	}
	return all
}

// maxReason bounds the reason of a notice in bytes.
const maxReason = 500
