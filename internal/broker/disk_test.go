package broker

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/telemetry"
)

// A broker that cannot write acknowledges nothing: neither the record that it could not write nor, when the disk works again, one that
// it could take for a repetition of it, having noted the sequence number before the write.
func TestEmbeddedWriteError(t *testing.T) {
	dir := tempDir(t)
	c := start(t, dir, DefaultConfig()).Cluster()
	cl, err := c.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	topic := c.Topic(telemetry.TopicJournal)
	write := func(value string) error {
		return cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Partition: 3, Value: []byte(value)}).FirstErr()
	}
	// A file where the partition's folder must be.
	folder := filepath.Join(dir, "kafka", "log", "partitions", topic+"-3")
	if err := errors.Join(os.RemoveAll(folder), os.MkdirAll(filepath.Dir(folder), 0o700), os.WriteFile(folder, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if write("not kept") == nil {
			t.Fatal("a record that cannot be written is acknowledged")
		}
	}
	if err := os.Remove(folder); err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{"1", "2", "3"} {
		if err := write(v); err != nil {
			t.Fatal(err)
		}
	}
	if got := readAll(t, c, telemetry.TopicJournal)[3]; !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("the log holds %q, want what was acknowledged: 1, 2, 3", got)
	}
}
