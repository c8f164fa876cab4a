package ingest

import (
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/telemetry"
)

func TestRegistryApplies(t *testing.T) {
	g := NewRegistry(nil, prometheus.NewRegistry(), zerolog.Nop())
	device := func(mn, pw string) *telemetry.Device {
		return &telemetry.Device{MN: mn, PW: pw, Outlet: "o", Medium: "gas", MinuteInterval: 1, OfflineAfter: 60}
	}
	put := func(key string, d *telemetry.Device) {
		g.apply(&kgo.Record{Key: []byte(key), Value: telemetry.AppendJSON(nil, d)})
	}
	pw := func(mn string) string {
		if d := g.Lookup([]byte(mn)); d != nil {
			return d.PW
		}
		return "absent"
	}
	for i := range 1000 {
		put(fmt.Sprintf("MN%d", i), device(fmt.Sprintf("MN%d", i), "1"))
	}
	put("MN7", device("MN7", "2"))
	removed := device("MN8", "1")
	removed.Removed = true
	put("MN8", removed)
	g.apply(&kgo.Record{Key: []byte("MN9")}) // tombstone
	bad := device("MN10", "3")
	bad.Medium = "soup"
	put("MN10", bad)
	put("MN11", device("MN12", "3")) // under another's key
	g.apply(&kgo.Record{Key: []byte("MN13"), Value: []byte("{")})
	for mn, want := range map[string]string{"MN6": "1", "MN7": "2", "MN8": "absent", "MN9": "absent", "MN10": "1", "MN11": "1", "MN12": "1", "MN13": "1"} {
		if got := pw(mn); got != want {
			t.Errorf("%s: password %q, want %q", mn, got, want)
		}
	}
	if g.bad.Load() != 3 || g.devices.Load() != 998 {
		t.Errorf("%d bad records and %d devices, want 3 and 998", g.bad.Load(), g.devices.Load())
	}
	if g.Loaded() || g.Ready() == nil {
		t.Error("ready before the end was reached")
	}
	g.progress([]int64{3, 5}, []int64{4, 5})
	if g.Loaded() {
		t.Error("loaded with a partition to go")
	}
	g.progress([]int64{4, 5}, []int64{4, 5})
	if g.Ready() != nil {
		t.Errorf("not ready at the end: %v", g.Ready())
	}
	if n := testing.AllocsPerRun(100, func() { g.Lookup([]byte("MN7")) }); n != 0 {
		t.Errorf("Lookup allocates %v times", n)
	}
}
