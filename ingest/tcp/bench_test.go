package tcp

import (
	"fmt"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"outfall/ingest"
)

// BenchmarkTCPToAck measures frames/s from a logger's socket through the embedded broker, its group commit included, to the 9014.
// Each connection keeps window frames unanswered; the loggers share the machine with everything else.
func BenchmarkTCPToAck(b *testing.B) {
	broker := startBroker(b)
	register(b, broker.Cluster(), testDevices()...)
	for _, load := range []struct{ conns, window int }{{100, 1}, {100, 8}, {1000, 1}, {1000, 8}} {
		b.Run(fmt.Sprintf("conns=%d/window=%d", load.conns, load.window), func(b *testing.B) {
			r := start(b, broker, func(_ *ingest.Config, c *Config) { c.EventLoops = max(1, runtime.NumCPU()/2) })
			frame := []byte(upload(mn1, "123456", 1))
			burst := make([]byte, 0, load.window*len(frame))
			for range load.window {
				burst = append(burst, frame...)
			}
			loggers := make([]net.Conn, load.conns)
			for i := range loggers {
				loggers[i] = r.dial().c
			}
			ack := len("##0087QN=20260301000000001;ST=91;CN=9014;PW=123456;MN=010000A8900016F000169DC0;Flag=4;CP=&&&&0000\r\n")
			rounds := max(1, b.N/(load.conns*load.window))
			b.ResetTimer()
			var wg sync.WaitGroup
			for _, c := range loggers {
				wg.Go(func() {
					buf := make([]byte, ack*load.window)
					for range rounds {
						if _, err := c.Write(burst); err != nil {
							b.Error(err)
							return
						}
						if err := readFull(c, buf); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(rounds*load.conns*load.window)/b.Elapsed().Seconds(), "frames/s")
			b.ReportMetric(b.Elapsed().Seconds()*1e3/float64(rounds), "ms/round")
			r.stop()
		})
	}
}

func readFull(c net.Conn, buf []byte) error {
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	for len(buf) > 0 {
		n, err := c.Read(buf)
		if err != nil {
			return err
		}
		buf = buf[n:]
	}
	return nil
}
