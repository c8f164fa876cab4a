//go:build integration

package broker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"outfall/telemetry"
)

// kafka is an Apache Kafka cluster of one node, with a prefix of the test's own whose topics go away with the test.
func kafka(t *testing.T) *Cluster {
	addr := os.Getenv("OUTFALL_TEST_KAFKA")
	if addr == "" {
		t.Fatal("OUTFALL_TEST_KAFKA is not set: deploy/local/kafka.sh start prints an address for it")
	}
	conf := DefaultConfig()
	conf.Brokers = []string{addr}
	conf.ReplicationFactor = 1
	conf.TopicPrefix = fmt.Sprintf("test-%08x.", rand.Uint32())
	c := Remote(conf)
	t.Cleanup(func() {
		cl, err := c.Client()
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		for _, topic := range telemetry.Topics() {
			if _, err := kadm.NewClient(cl).DeleteTopic(context.Background(), c.Topic(topic)); err != nil {
				t.Log(err)
			}
		}
	})
	return c
}

func TestKafkaTopics(t *testing.T) {
	exerciseTopics(t, kafka(t))
}

func TestKafkaReading(t *testing.T) {
	c := kafka(t)
	if _, err := c.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	exerciseReading(t, c)
}

func TestKafkaReplicationIsReported(t *testing.T) {
	c := kafka(t)
	if _, err := c.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.config.ReplicationFactor = 2
	plan, err := c.Plan(t.Context())
	if err != nil || len(plan) == 0 || plan[0].What != Replication || plan[0].Mendable() {
		t.Errorf("plan for two copies where there is one: %v, %v", plan, err)
	}
}
