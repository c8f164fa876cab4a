//go:build integration

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"outfall/internal/broker"
	"outfall/telemetry"
)

// A chaosBed is an Apache Kafka and an InfluxDB for a kill test of separate processes.
type chaosBed struct {
	kafka     broker.Config
	influx    influxQL
	org       string // of InfluxDB 2.x
	ingest    int    // kills of each
	workers   [2]int
	sink      int
	run       time.Duration
	nodes     string // directory of three nodes that may be killed; empty: leave Kafka alone
	nodeKills int
}

// config is the text of outfall.yaml. A worker with an instance takes its partitions back when it is started again; those of one without go to
// the other workers when its session times out.
func (b *chaosBed) config(dir, listen, token, instance string) string {
	var brokers []string
	for _, address := range b.kafka.Brokers {
		brokers = append(brokers, strconv.Quote(address))
	}
	return fmt.Sprintf(`kafka:
  brokers: [%s]
  topic_prefix: %q
  partitions: %d
  replication_factor: %d
tcp:
  listen: %q
stream:
  group: %q
  instance_id: %q
  session_timeout: 6s
  snapshot_interval: 3s
  snapshots:
    location: %q
influx:
  url: %q
  org: %q
  bucket: %q
  token_file: %q
`, strings.Join(brokers, ", "), b.kafka.TopicPrefix, b.kafka.Partitions, b.kafka.ReplicationFactor, listen, b.group(), instance,
		filepath.Join(dir, "snapshots"), b.influx.url, b.org, b.influx.db, token)
}

// group is the workers'.
func (b *chaosBed) group() string { return b.kafka.TopicPrefix + "stream" }

// chaosCluster kills ingest, two workers and the sink, each a process of its own, and the nodes of Kafka if it may.
func chaosCluster(t *testing.T, cfg chaosConfig, b chaosBed) {
	tmp := t.TempDir()
	devices, err := chaosDevices(cfg.devices)
	if err != nil {
		t.Fatal(err)
	}
	registry, rules := writeChaosFiles(t, tmp, devices)
	ports := lowPorts(t, 5) // where devices connect, and the admin address of each process
	token := ""
	write := func(name, text string) string {
		path := filepath.Join(tmp, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if b.influx.token != "" {
		token = write("token", b.influx.token)
	}
	config := write("outfall.yaml", b.config(tmp, ports[0], token, ""))
	named := write("named.yaml", b.config(tmp, ports[0], token, "a"))
	outfall(t, 0, "topics", "apply", "--config", config)
	outfall(t, 0, "registry", "import", registry, "--config", config)
	outfall(t, 0, "rules", "activate", rules, "--config", config)

	role := func(name, role, config string, admin string, kills int) (*chaosProcess, *chaosVictim) {
		p := newChaosProcess(t, tmp, name, "serve", "--role", role, "--config", config, "--admin", admin)
		v := p.victim(kills, b.run, func() bool { return answersOK("http://" + admin + "/readyz") })
		if err := v.start(); err != nil {
			t.Fatal(err)
		}
		return p, v
	}
	ingest, v0 := role("ingest", "ingest", config, ports[1], b.ingest)
	workerA, v1 := role("worker a", "stream", named, ports[2], b.workers[0])
	workerB, v2 := role("worker b", "stream", config, ports[3], b.workers[1])
	sink, v3 := role("sink", "sink", config, ports[4], b.sink)
	v0.acks = true
	victims := []*chaosVictim{v0, v1, v2, v3}
	for _, v := range victims {
		eventually(t, chaosPatience, v.name+" is ready", v.ready)
	}
	cluster := broker.Remote(b.kafka)
	if b.nodes != "" {
		victims = append(victims, newKafkaNodes(t, b.nodes, cluster).victim(b.nodeKills, b.run))
	}
	c := runChaos(t, cfg, ports[0], devices, victims)

	ingest.stop(t)
	awaitGroup(t, cluster, b.group(), telemetry.TopicJournal)
	workerA.stop(t)
	workerB.stop(t)
	awaitGroup(t, cluster, b.kafka.TopicPrefix+"sink-influx", telemetry.TopicPoints)
	sink.stop(t)
	c.checkTopics(t, cluster)
	checkInfluxPoints(t, b.influx, chaosReplay(t, "--config", config))
}

// kafkaNodes are the three nodes of an Apache Kafka that deploy/local/kafka.sh started, one of which at a time may be dead.
type kafkaNodes struct {
	dir    string
	client *kgo.Client
	topics []string
	killed int // the node killed last, 1..3
}

func newKafkaNodes(t *testing.T, dir string, cluster *broker.Cluster) *kafkaNodes {
	t.Helper()
	cl, err := cluster.Client()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	n := &kafkaNodes{dir: dir, client: cl}
	for _, topic := range telemetry.Topics() {
		n.topics = append(n.topics, cluster.Topic(topic))
	}
	return n
}

// victim makes them one: they are killed in turn, most of them when all partitions have three copies in sync again.
func (n *kafkaNodes) victim(kills int, run time.Duration) *chaosVictim {
	return &chaosVictim{name: "Kafka node", kills: kills, run: run, ready: n.inSync, start: n.start, kill: func() error {
		n.killed = n.killed%3 + 1
		dir := filepath.Join(n.dir, strconv.Itoa(n.killed))
		text, err := os.ReadFile(filepath.Join(dir, "pid"))
		if err != nil {
			return err
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			return err
		}
		alive := func() bool {
			args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // a dead one, buried or not, has none
			return strings.Contains(string(args), dir)
		}
		if !alive() {
			return fmt.Errorf("node %d of Kafka has ended by itself, see %s/log", n.killed, dir)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return err
		}
		for end := time.Now().Add(time.Minute); alive(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				return fmt.Errorf("process %d outlives SIGKILL", pid)
			}
		}
		return nil
	}}
}

func (n *kafkaNodes) start() error {
	out, err := exec.Command(filepath.Join("..", "..", "deploy", "local", "kafka.sh"), "node", n.dir, strconv.Itoa(n.killed)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("start node %d of Kafka: %w\n%s", n.killed, err, out)
	}
	return nil
}

// inSync reports whether the node killed last answers, which it does only when the others know it again, and says that every partition has
// three copies in sync.
func (n *kafkaNodes) inSync() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req := kmsg.NewPtrMetadataRequest()
	for _, topic := range n.topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(topic)
		req.Topics = append(req.Topics, t)
	}
	resp, err := n.client.Broker(n.killed).Request(ctx, req)
	if err != nil {
		return false
	}
	for _, t := range resp.(*kmsg.MetadataResponse).Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 || len(p.ISR) != 3 {
				return false
			}
		}
	}
	return true
}
