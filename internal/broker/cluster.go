// Package broker is the one home of Kafka client construction, of the topics' plan and of the embedded broker: kfake on a
// Unix socket in the data directory. Both kinds of cluster are used through the same Cluster.
package broker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"outfall/telemetry"
)

// embeddedAddr is the address that the embedded broker says it has. Nothing resolves it: clients dial the socket.
const embeddedAddr = "embedded:9092"

// virtualAddr is where a virtual broker listens on its virtual network.
const virtualAddr = "127.0.0.1:9092"

// A Cluster is how to reach the brokers that hold the topics. It holds no connection and may be copied and shared.
type Cluster struct {
	config Config
	socket string // of an embedded broker; empty: Apache Kafka
	dial   Dialer // instead of the socket's; nil: as usual
	sync   func() error
}

// A Dialer opens a connection to a broker.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// Virtual is an embedded broker that a simulation keeps in memory: its clients connect by dial, and its barriers call sync where those of
// a broker on disk sync its file system.
func Virtual(c Config, dial Dialer, sync func() error) *Cluster {
	return &Cluster{config: c, socket: "virtual", dial: dial, sync: sync}
}

// Remote is the Apache Kafka cluster at c.Brokers. c must be valid.
func Remote(c Config) *Cluster { return &Cluster{config: c} }

// Dial is the embedded broker that listens on socket, usually another process's, with "unix:" before the path or not. The
// data directory is the socket's folder. Nothing is dialled yet.
func Dial(c Config, socket string) *Cluster {
	return &Cluster{config: c, socket: strings.TrimPrefix(socket, "unix:")}
}

// Embedded tells whether the cluster is an embedded broker, of this process or another.
func (c *Cluster) Embedded() bool { return c.socket != "" }

// Topic is the name of t in Kafka.
func (c *Cluster) Topic(t telemetry.Topic) string { return c.config.TopicPrefix + t.String() }

// Partitions is the number of partitions that every topic has.
func (c *Cluster) Partitions() int32 { return c.config.Partitions }

// String names the cluster in messages: its brokers or its socket.
func (c *Cluster) String() string {
	if c.Embedded() {
		return "unix:" + c.socket
	}
	return strings.Join(c.config.Brokers, ",")
}

// Client makes a client of the cluster; the caller closes it. opts come after the defaults and win. Records are produced with
// acks=all and idempotence, and to the partition of their key unless opts say otherwise; topics are never created by use. On Apache
// Kafka records of a transaction are read once it is committed.
// The error is about opts or about the files that the configuration names: no connection is made yet.
func (c *Cluster) Client(opts ...kgo.Opt) (*kgo.Client, error) {
	all := []kgo.Opt{kgo.ClientID("outfall")}
	switch {
	case c.dial != nil:
		all = append(all, kgo.SeedBrokers(virtualAddr), kgo.Dialer(c.dial))
	case c.Embedded():
		all = append(all, kgo.SeedBrokers(embeddedAddr), kgo.Dialer(c.dialSocket))
	default:
		security, err := c.security()
		if err != nil {
			return nil, fmt.Errorf("kafka client for %v: %w", c, err)
		}
		all = append(append(all, kgo.SeedBrokers(c.config.Brokers...)), security...)
		// Workers may write in transactions (stream.eos). The embedded broker has none, and reads faster without the question.
		all = append(all, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	cl, err := kgo.NewClient(append(all, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("kafka client for %v: %w", c, err)
	}
	return cl, nil
}

// dataDir is the embedded broker's data directory.
func (c *Cluster) dataDir() string { return filepath.Dir(c.socket) }

func (c *Cluster) dialSocket(ctx context.Context, _, _ string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", c.socket)
}

// security is what the client needs for TLS and SASL.
func (c *Cluster) security() ([]kgo.Opt, error) {
	var opts []kgo.Opt
	if c.config.TLS {
		conf := &tls.Config{MinVersion: tls.VersionTLS12}
		if c.config.TLSCA != "" {
			pem, err := os.ReadFile(c.config.TLSCA)
			if err != nil {
				return nil, fmt.Errorf("kafka.tls_ca: %w", err)
			}
			conf.RootCAs = x509.NewCertPool()
			if !conf.RootCAs.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("kafka.tls_ca: no certificate in %s", c.config.TLSCA)
			}
		}
		opts = append(opts, kgo.DialTLSConfig(conf))
	}
	if m := c.config.SASL.mechanism(); m != nil {
		opts = append(opts, kgo.SASL(m))
	}
	return opts, nil
}

// mechanism is nil without authentication.
func (s SASL) mechanism() sasl.Mechanism {
	switch s.Mechanism {
	case "PLAIN":
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			pass, err := s.password()
			return plain.Auth{User: s.User, Pass: pass}, err
		})
	case "SCRAM-SHA-256", "SCRAM-SHA-512":
		auth := func(context.Context) (scram.Auth, error) {
			pass, err := s.password()
			return scram.Auth{User: s.User, Pass: pass}, err
		}
		if s.Mechanism == "SCRAM-SHA-256" {
			return scram.Sha256(auth)
		}
		return scram.Sha512(auth)
	}
	return nil
}

func (s SASL) password() (string, error) {
	b, err := os.ReadFile(s.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("kafka.sasl.password_file: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}
