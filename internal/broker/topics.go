package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/telemetry"
)

// settleTime bounds how long Apply waits for the brokers to show what it changed: they learn of it from the controller's
// log, usually within a tenth of a second.
const settleTime = 20 * time.Second

// settleEvery is how often Apply looks.
const settleEvery = 50 * time.Millisecond

// A setting is a topic configuration key with the value it must have.
type setting struct{ key, value string }

// settings are what topic t must have, in a fixed order.
//
// On the embedded broker retention goes by size alone: its retention by time drops fresh records behind one with an old
// timestamp, which a clock set wrongly at start is enough to write; and it does not compact, because a kill during
// compaction can lose every key. Its journal it keeps whole: the archiving alone drops segments of that, so that none can go
// by any other way.
func (c *Cluster) settings(t telemetry.Topic) []setting {
	const forever = -1
	policy, keep, size := "delete", 7*day, int64(forever)
	bound := int64(forever) // of a partition of the embedded broker, whoever keeps it
	if c.Embedded() {
		keep = forever
		switch t {
		case telemetry.TopicJournal:
			bound = c.config.RetentionBytes
		case telemetry.TopicPoints:
			size = c.config.RetentionBytes / 2
		case telemetry.TopicRejects, telemetry.TopicStatus, telemetry.TopicCommands, telemetry.TopicFindings:
			size = c.config.RetentionBytes / 8
		}
		bound = max(bound, size)
	} else {
		switch t {
		case telemetry.TopicJournal:
			keep, size = c.config.JournalRetention, c.config.JournalBytes
		case telemetry.TopicRejects:
			keep, size = 30*day, 1<<30 // anyone who can connect can write here
		case telemetry.TopicAlarms, telemetry.TopicFindings:
			keep = c.config.AlarmRetention
		case telemetry.TopicActions:
			keep = max(c.config.AlarmRetention, telemetry.MaxSilence+day) // what holds must be found
		case telemetry.TopicStatus:
			policy = "compact,delete"
		case telemetry.TopicRegistry:
			policy, keep = "compact", forever
		}
	}
	ms := int64(forever)
	if keep != forever {
		ms = keep.Milliseconds()
	}
	all := []setting{
		{"cleanup.policy", policy},
		{"retention.ms", strconv.FormatInt(ms, 10)},
		{"retention.bytes", strconv.FormatInt(size, 10)},
		{"message.timestamp.type", "CreateTime"}, // receipt, set by the gateway
	}
	if c.Embedded() {
		segment := int64(32 << 20)
		if bound != forever {
			segment = min(segment, max(bound/4, 64<<10)) // whole segments are deleted
		}
		return append(all, setting{"segment.bytes", strconv.FormatInt(segment, 10)})
	}
	insync := "1"
	if c.config.ReplicationFactor >= 3 {
		insync = "2"
	}
	return append(all, setting{"min.insync.replicas", insync})
}

func (c *Cluster) replicas() int16 {
	if c.Embedded() {
		return 1
	}
	return c.config.ReplicationFactor
}

// What a Change can be about, besides a configuration key.
const (
	Missing     = "missing"            // the topic does not exist
	Partitions  = "partitions"         // wrong number of partitions
	Replication = "replication.factor" // wrong number of copies
)

// A Change is one difference between a topic as it must be and as it is.
type Change struct {
	Topic string // as in Kafka
	What  string // Missing, Partitions, Replication, or a configuration key
	Want  string
	Have  string // empty when the topic is missing
}

// Mendable tells whether Apply makes the change. The number of partitions decides where each device's records are, so it
// stays; the number of copies is changed with Kafka's own reassignment tool.
func (c Change) Mendable() bool { return c.What != Partitions && c.What != Replication }

func (c Change) String() string {
	switch c.What {
	case Missing:
		return fmt.Sprintf("%s: missing; to be created with %s", c.Topic, c.Want)
	case Partitions:
		return fmt.Sprintf("%s: %s partitions, wanted %s; the number is fixed for life: set kafka.partitions to %s, or use another kafka.topic_prefix", c.Topic, c.Have, c.Want, c.Have)
	case Replication:
		return fmt.Sprintf("%s: %s copies, wanted %s; change it with kafka-reassign-partitions, or set kafka.replication_factor to %s", c.Topic, c.Have, c.Want, c.Have)
	}
	return fmt.Sprintf("%s: %s is %s, wanted %s", c.Topic, c.What, c.Have, c.Want)
}

// Plan lists the differences between the topics as they must be and as they are, in the order of the topics; none: all is
// well. It changes nothing.
func (c *Cluster) Plan(ctx context.Context) ([]Change, error) {
	adm, err := c.admin()
	if err != nil {
		return nil, err
	}
	defer adm.Close()
	return c.plan(ctx, adm)
}

// admin makes a client for plans.
func (c *Cluster) admin() (*kadm.Client, error) {
	// Otherwise a client answers from its memory, for 5 s, whether a topic exists.
	cl, err := c.Client(kgo.MetadataMinAge(settleEvery / 2))
	if err != nil {
		return nil, err
	}
	return kadm.NewClient(cl), nil
}

func (c *Cluster) plan(ctx context.Context, adm *kadm.Client) ([]Change, error) {
	var names, existing []string
	for _, t := range telemetry.Topics() {
		names = append(names, c.Topic(t))
	}
	details, err := adm.ListTopics(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("list the topics of %v: %w", c, err)
	}
	for _, d := range details.Sorted() {
		switch {
		case d.Err == nil:
			existing = append(existing, d.Topic)
		case !errors.Is(d.Err, kerr.UnknownTopicOrPartition):
			return nil, fmt.Errorf("topic %s: %w", d.Topic, d.Err)
		}
	}
	configs := map[string]kadm.ResourceConfig{}
	if len(existing) > 0 {
		described, err := adm.DescribeTopicConfigs(ctx, existing...)
		if err != nil {
			return nil, fmt.Errorf("describe the topics of %v: %w", c, err)
		}
		for _, d := range described {
			if d.Err != nil && !errors.Is(d.Err, kerr.UnknownTopicOrPartition) {
				return nil, fmt.Errorf("describe topic %s: %w", d.Name, d.Err)
			}
			configs[d.Name] = d
		}
	}
	var changes []Change
	for _, t := range telemetry.Topics() {
		changes = append(changes, c.compare(t, details[c.Topic(t)], configs[c.Topic(t)])...)
	}
	return changes, nil
}

// compare finds the differences of one topic.
func (c *Cluster) compare(t telemetry.Topic, have kadm.TopicDetail, configs kadm.ResourceConfig) []Change {
	name, want := c.Topic(t), c.settings(t)
	if have.Err != nil || len(have.Partitions) == 0 || configs.Err != nil {
		parts := []string{fmt.Sprintf("partitions=%d", c.config.Partitions), fmt.Sprintf("replication.factor=%d", c.replicas())}
		for _, s := range want {
			parts = append(parts, s.key+"="+s.value)
		}
		return []Change{{Topic: name, What: Missing, Want: strings.Join(parts, " ")}}
	}
	var changes []Change
	differ := func(what, want, have string) {
		if want != have {
			changes = append(changes, Change{Topic: name, What: what, Want: want, Have: have})
		}
	}
	differ(Partitions, strconv.Itoa(int(c.config.Partitions)), strconv.Itoa(len(have.Partitions)))
	differ(Replication, strconv.Itoa(int(c.replicas())), strconv.Itoa(have.Partitions.NumReplicas()))
	values := map[string]string{}
	for _, cfg := range configs.Configs {
		values[cfg.Key] = cfg.MaybeValue()
	}
	for _, s := range want {
		differ(s.key, s.value, sortedList(values[s.key]))
	}
	return changes
}

// sortedList brings a list value such as "delete, compact" into the form of settings.
func sortedList(v string) string {
	parts := strings.Split(v, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	slices.Sort(parts)
	return strings.Join(parts, ",")
}

// Apply makes the topics as they must be and returns what it changed, none if all was well. When it returns, every broker that
// the client asks shows the topics. If one difference cannot be mended (see Change.Mendable), nothing is changed and the
// error names each.
func (c *Cluster) Apply(ctx context.Context) ([]Change, error) {
	adm, err := c.admin()
	if err != nil {
		return nil, err
	}
	defer adm.Close()
	changes, err := c.plan(ctx, adm)
	if err != nil {
		return nil, err
	}
	if err := unmendable(changes); err != nil {
		return nil, err
	}
	done := 0
	for _, t := range telemetry.Topics() {
		var mine []Change
		for _, ch := range changes {
			if ch.Topic == c.Topic(t) {
				mine = append(mine, ch)
			}
		}
		if len(mine) == 0 {
			continue
		}
		if err := c.mend(ctx, adm, t, mine); err != nil {
			return changes[:done], err
		}
		done += len(mine)
	}
	if done == 0 {
		return nil, nil
	}
	return changes, c.settle(ctx, adm)
}

func unmendable(changes []Change) error {
	var errs []error
	for _, ch := range changes {
		if !ch.Mendable() {
			errs = append(errs, errors.New(ch.String()))
		}
	}
	return errors.Join(errs...)
}

// mend creates topic t, or sets the keys that differ.
func (c *Cluster) mend(ctx context.Context, adm *kadm.Client, t telemetry.Topic, changes []Change) error {
	name := c.Topic(t)
	if changes[0].What == Missing {
		configs := map[string]*string{}
		for _, s := range c.settings(t) {
			configs[s.key] = &s.value
		}
		_, err := adm.CreateTopic(ctx, c.config.Partitions, c.replicas(), configs, name)
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) { // a second apply at the same time
			return fmt.Errorf("create topic %s: %w", name, err)
		}
		return nil
	}
	var alter []kadm.AlterConfig
	for _, ch := range changes {
		alter = append(alter, kadm.AlterConfig{Op: kadm.SetConfig, Name: ch.What, Value: &ch.Want})
	}
	resps, err := adm.AlterTopicConfigs(ctx, alter, name)
	if err == nil {
		_, err = resps.On(name, func(r *kadm.AlterConfigsResponse) error { return r.Err })
	}
	if err != nil {
		return fmt.Errorf("alter topic %s: %w", name, err)
	}
	return nil
}

// settle waits until the plan is empty and every partition's leader, which learns of its topic by itself, answers for it.
func (c *Cluster) settle(ctx context.Context, adm *kadm.Client) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for {
		left, err := c.plan(ctx, adm)
		if err != nil {
			return err
		}
		if err := unmendable(left); err != nil {
			return err
		}
		why := c.unled(ctx, adm)
		if len(left) > 0 {
			why = fmt.Errorf("still different: %v", left[0])
		}
		if why == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("topics of %v: %w: %w", c, why, ctx.Err())
		}
	}
}

// unled is why some leader does not answer for its partition yet.
func (c *Cluster) unled(ctx context.Context, adm *kadm.Client) error {
	for _, t := range telemetry.Topics() {
		if _, err := c.offsets(ctx, adm, t, FromEnd); err != nil {
			return err
		}
	}
	return nil
}
