package machine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// Kafka is a running one-node Apache Kafka.
type Kafka struct {
	Brokers string // host:port
	PID     int
	dir     string
}

var kafkaScript = filepath.Join("deploy", "local", "kafka.sh") // from the module's root

// StartKafka starts the broker of deploy/local/kafka.sh on dir. It inherits this program's cores.
func StartKafka(dir string) (*Kafka, error) {
	k := &Kafka{dir: dir}
	cmd := exec.Command(kafkaScript, "start", dir)
	cmd.Env = append(os.Environ(), "OUTFALL_KAFKA_HEAP=1g")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the broker: %w", err), k.Stop())
	}
	k.Brokers = string(bytes.TrimSpace(out))
	pid, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err == nil {
		k.PID, err = strconv.Atoi(string(bytes.TrimSpace(pid)))
	}
	if err != nil {
		return nil, errors.Join(err, k.Stop())
	}
	return k, nil
}

// Stop ends the broker; its files stay.
func (k *Kafka) Stop() error { return Run(exec.Command(kafkaScript, "stop", k.dir)) }
