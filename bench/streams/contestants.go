package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"

	"outfall/bench/machine"
	"outfall/internal/broker"
	"outfall/stream"
	"outfall/telemetry"
)

// A contestant is one stream processor.
type contestant struct {
	name, what string
	ours       bool
	group      func(prefix string) string // the consumer group that commits how far the input is taken
	command    func(b *bench, prefix, dir string) []string
}

// Names that flags and commands use.
const (
	nameOurs    = "outfall"
	nameFenced  = "fenced"
	nameGoka    = "goka"
	nameStreams = "streams"
	nameMemory  = "memory"
)

func contestants() []contestant {
	return []contestant{
		{name: nameOurs, what: "outfall, exactly once by position", ours: true,
			group: func(prefix string) string { return prefix + "stream" },
			command: func(b *bench, prefix, dir string) []string {
				return []string{b.self, "serve", b.brokers, prefix, dir, stream.EOSPosition}
			}},
		{name: nameFenced, what: "outfall, in transactions", ours: true,
			group: func(prefix string) string { return prefix + "stream" },
			command: func(b *bench, prefix, dir string) []string {
				return []string{b.self, "serve", b.brokers, prefix, dir, stream.EOSFenced}
			}},
		{name: nameGoka, what: "goka v1.1.12, at least once",
			group: func(prefix string) string { return prefix + "job" },
			command: func(b *bench, prefix, dir string) []string {
				return []string{b.goka, b.brokers, prefix + "in", prefix + "out", prefix + "job", dir, strconv.Itoa(partitions)}
			}},
		kafkaStreams(nameStreams, "Kafka Streams 4.3.1, exactly once v2", "rocksdb"),
		kafkaStreams(nameMemory, "Kafka Streams 4.3.1, its stores in memory", "memory"),
	}
}

// kafkaStreams is Kafka Streams with its stores in RocksDB, as it comes, or in memory.
func kafkaStreams(name, what, stores string) contestant {
	return contestant{name: name, what: what,
		group: func(prefix string) string { return prefix + "job" },
		command: func(b *bench, prefix, dir string) []string {
			return []string{"java", "-Xmx1g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", b.java, "Contestant",
				b.brokers, prefix + "in", prefix + "out", prefix + "job", dir, stores}
		}}
}

func names() string {
	var all []string
	for _, c := range contestants() {
		all = append(all, c.name)
	}
	return strings.Join(all, ", ")
}

// clusterAt is our own installation on the broker under a topic prefix.
func clusterAt(brokers, prefix string) *broker.Cluster {
	cfg := broker.DefaultConfig()
	cfg.Brokers, cfg.TopicPrefix, cfg.Partitions, cfg.ReplicationFactor = []string{brokers}, prefix, partitions, 1
	return broker.Remote(cfg)
}

// workerConfig is the worker as it comes, but that it has a name in its group, as every contestant.
func workerConfig(prefix, dir, eos string) stream.Config {
	cfg := stream.DefaultConfig()
	cfg.Group, cfg.InstanceID, cfg.Snapshots.Location, cfg.EOS = prefix+"stream", "one", dir, eos
	return cfg
}

// topics are where a contestant reads and writes.
type topics struct{ input, output string }

// makeTopics makes a contestant's topics. The broker stamps results as they come, so that they can be read later.
func (b *bench) makeTopics(ctx context.Context, c *contestant, prefix string) (topics, error) {
	stamped := "LogAppendTime"
	if c.ours {
		cluster := clusterAt(b.brokers, prefix)
		if _, err := cluster.Apply(ctx); err != nil {
			return topics{}, err
		}
		t := topics{cluster.Topic(telemetry.TopicJournal), cluster.Topic(telemetry.TopicPoints)}
		set := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "message.timestamp.type", Value: &stamped}}
		resp, err := b.admin.AlterTopicConfigs(ctx, set, t.output)
		if err == nil {
			for _, r := range resp {
				err = r.Err
			}
		}
		return t, err
	}
	t := topics{prefix + "in", prefix + "out"}
	if _, err := b.admin.CreateTopic(ctx, partitions, 1, nil, t.input); err != nil {
		return t, err
	}
	_, err := b.admin.CreateTopic(ctx, partitions, 1, map[string]*string{"message.timestamp.type": &stamped}, t.output)
	return t, err
}

// dropTopics deletes everything under a prefix.
func (b *bench) dropTopics(ctx context.Context, prefix string) error {
	all, err := b.admin.ListTopics(ctx)
	if err != nil {
		return err
	}
	var ours []string
	for _, t := range all.Names() {
		if strings.HasPrefix(t, prefix) {
			ours = append(ours, t)
		}
	}
	_, err = b.admin.DeleteTopics(ctx, ours...)
	return err
}

// build makes the peers' programs in b.dir.
func (b *bench) build() error {
	src := filepath.Join("bench", "streams")
	b.goka = filepath.Join(b.dir, "goka-contestant")
	cmd := exec.Command("go", "build", "-trimpath", "-o", b.goka, ".")
	cmd.Dir = filepath.Join(src, "goka")
	if err := machine.Run(cmd); err != nil {
		return err
	}
	jars := filepath.Join(cacheDir(), "kafka-streams-4.3.1")
	if _, err := os.Stat(jars); err != nil {
		tmp := jars + ".tmp"
		if err := os.RemoveAll(tmp); err != nil {
			return err
		}
		if err := machine.Run(exec.Command("mvn", "-q", "-B", "-Dstyle.color=never", "-f", filepath.Join(src, "kafkastreams", "pom.xml"),
			"dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+tmp)); err != nil {
			return err
		}
		if err := os.Rename(tmp, jars); err != nil {
			return err
		}
	}
	classes := filepath.Join(b.dir, "classes")
	sources, err := filepath.Glob(filepath.Join(src, "kafkastreams", "*.java"))
	if err != nil {
		return err
	}
	b.java = classes + ":" + filepath.Join(jars, "*")
	return machine.Run(exec.Command("javac", append([]string{"-d", classes, "-cp", filepath.Join(jars, "*")}, sources...)...))
}

func cacheDir() string {
	if dir := os.Getenv("OUTFALL_CACHE"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return os.TempDir()
	}
	return filepath.Join(dir, "outfall")
}
