package ingest

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"outfall/telemetry"
)

// instant completes each record within Publish.
type instant struct{ journal }

func (*instant) Publish(_ Record, done func(error)) error {
	done(nil)
	return nil
}

type instantLine struct{ s *Session }

func (l *instantLine) Completed(c *Completion) { l.s.Settle(c) }
func (l *instantLine) Send([]byte)             {}
func (l *instantLine) Hangup(Cause)            {}

// minuteFrame is a 2051 of a number of factors; 11 make about 600 bytes.
func minuteFrame(mn string, factors int) string {
	var cp strings.Builder
	for i := range factors {
		fmt.Fprintf(&cp, ";a%05d-Min=1.21,a%05d-Avg=1.3,a%05d-Max=1.52,a%05d-Flag=N", i, i, i, i)
	}
	return frame("QN=20260301080000000;ST=31;CN=2051;PW=123456;MN=" + mn + ";Flag=5;CP=&&DataTime=20260301080000" + cp.String() + "&&")
}

// BenchmarkSessionFeed is one frame from its bytes to the written ack, without a socket and without Kafka.
func BenchmarkSessionFeed(b *testing.B) {
	for _, factors := range []int{2, 11} {
		b.Run(fmt.Sprintf("factors=%d", factors), func(b *testing.B) {
			s := feeder()
			wire := []byte(minuteFrame(mn1, factors))
			b.SetBytes(int64(len(wire)))
			b.ReportAllocs()
			for b.Loop() {
				if n, state := s.Feed(wire, start, false); n != len(wire) || state != StateReady {
					b.Fatalf("%d of %d bytes taken, state %d", n, len(wire), state)
				}
				if err := s.FlushAcks(io.Discard); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
		})
	}
}

func feeder() *Session {
	reg := registry{}
	reg.put(telemetry.Device{MN: mn1, PW: "123456", Networks: []string{"198.51.100.0/24", "192.0.2.0/24"}})
	line := &instantLine{}
	line.s = NewIntake(DefaultConfig(), reg, &instant{}, nil, prometheus.NewRegistry(), zerolog.Nop()).Open(Peer{Addr: "192.0.2.1:4000"}, start, line)
	return line.s
}
