// Command goka does the job of the comparison in bench/streams with goka v1.1.12, as its README and examples set it up: a group table in
// LevelDB with a changelog topic, at least once. See doc.go there for the job.
//
//	goka BROKERS INPUT OUTPUT GROUP STATE-DIRECTORY PARTITIONS
//
// The folder is a module of its own, so that goka's dependencies stay out of the product's.
package main

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/IBM/sarama"
	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"
	"github.com/lovoo/goka/storage"

	"outfall/telemetry"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "goka:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 6 {
		return errors.New("want BROKERS INPUT OUTPUT GROUP STATE-DIRECTORY PARTITIONS")
	}
	partitions, err := strconv.Atoi(args[5])
	if err != nil {
		return err
	}
	// goka's own settings but for these: a version that this broker still speaks, the backlog from its beginning, and the static
	// membership and session timeout that every contestant has.
	cfg := goka.DefaultConfig()
	cfg.Version = sarama.V2_8_0_0
	cfg.Consumer.Offsets.Initial = sarama.OffsetOldest
	cfg.Consumer.Group.InstanceId = "one"
	cfg.Consumer.Group.Session.Timeout = 10 * time.Second
	goka.ReplaceGlobalConfig(cfg)
	topics := goka.NewTopicManagerConfig()
	topics.Table.Replication, topics.Stream.Replication = 1, 1
	job := &job{output: goka.Stream(args[2])}
	graph := goka.DefineGroup(goka.Group(args[3]),
		goka.Input(goka.Stream(args[1]), new(codec.Bytes), job.frame),
		goka.Output(job.output, new(codec.Bytes)),
		goka.Persist(stateCodec{}))
	p, err := goka.NewProcessor(strings.Split(args[0], ","), graph,
		goka.WithTopicManagerBuilder(goka.TopicManagerBuilderWithConfig(cfg, topics)),
		goka.WithStorageBuilder(storage.DefaultBuilder(args[4])),
		goka.WithHasher(func() hash.Hash32 { return &keyHash{partitions: int32(partitions)} }))
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return p.Run(ctx)
}

// keyHash puts a key into the partition that Kafka's own clients do: the table's changelog must be partitioned as the input is.
type keyHash struct {
	partitions int32
	key        []byte
}

func (h *keyHash) Write(p []byte) (int, error) { h.key = append(h.key, p...); return len(p), nil }
func (h *keyHash) Sum32() uint32               { return uint32(telemetry.PartitionOf(string(h.key), h.partitions)) }
func (h *keyHash) Reset()                      { h.key = h.key[:0] }
func (h *keyHash) Size() int                   { return 4 }
func (h *keyHash) BlockSize() int              { return 1 }
func (h *keyHash) Sum(b []byte) []byte {
	s := h.Sum32()
	return append(b, byte(s>>24), byte(s>>16), byte(s>>8), byte(s))
}
