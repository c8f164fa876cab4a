package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/internal/broker"
	"outfall/telemetry"
)

// shards split the registry so that one change copies 1/256 of it: an import of 100,000 devices costs seconds, not minutes.
const shards = 256

// registryRetry is the pause before the registry is read on after an error.
const registryRetry = time.Second

// A Registry is the devices of the registry topic, by MN. Lookups take no lock: each shard is a map that is never changed, only
// replaced.
type Registry struct {
	cluster *broker.Cluster
	log     zerolog.Logger
	shard   [shards]atomic.Pointer[map[string]*Device]
	loaded  atomic.Bool
	devices atomic.Int64
	bad     atomic.Int64
	fault   atomic.Pointer[error] // why the topic cannot be read at the moment
}

// NewRegistry makes an empty registry; Run fills it. r gets its metrics.
func NewRegistry(cluster *broker.Cluster, r prometheus.Registerer, log zerolog.Logger) *Registry {
	g := &Registry{cluster: cluster, log: log}
	for i := range g.shard {
		g.shard[i].Store(&map[string]*Device{})
	}
	r.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "outfall_ingest_registry_devices", Help: "Devices that may connect."},
			func() float64 { return float64(g.devices.Load()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "outfall_ingest_registry_bad_records_total",
			Help: "Records of the registry topic that are no device, and were skipped."}, func() float64 { return float64(g.bad.Load()) }),
	)
	return g
}

// Lookup implements Devices.
func (g *Registry) Lookup(mn []byte) *Device {
	return (*g.shard[shardOf(mn)].Load())[string(mn)]
}

// Loaded implements Devices.
func (g *Registry) Loaded() bool { return g.loaded.Load() }

// Ready is nil once the registry was read up to the end that it had at the start, and stays so: an old registry beats none.
func (g *Registry) Ready() error {
	if g.loaded.Load() {
		return nil
	}
	if err := g.fault.Load(); err != nil {
		return fmt.Errorf("registry is not read yet: %w", *err)
	}
	return errors.New("registry is not read yet")
}

// shardOf is the low byte of FNV-1a.
func shardOf[T string | []byte](mn T) byte {
	h := uint32(2166136261)
	for i := 0; i < len(mn); i++ {
		h = (h ^ uint32(mn[i])) * 16777619
	}
	return byte(h ^ h>>8 ^ h>>16 ^ h>>24)
}

// Run reads the registry topic from its start and follows it until ctx ends (nil). Brokers that are away are tried again, once a
// second; records that were to come next and are gone are an error, for the registry would be wrong from there on. Run owns no
// other goroutine.
func (g *Registry) Run(ctx context.Context) error {
	var next, end []int64 // per partition: offset to read next, and where it ended at the start
	for {
		err := g.read(ctx, &next, &end)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, kerr.OffsetOutOfRange):
			return fmt.Errorf("registry: %w", err)
		}
		if g.fault.Swap(&err) == nil {
			g.log.Error().Err(err).Msg("registry cannot be read")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(registryRetry):
		}
	}
}

func (g *Registry) read(ctx context.Context, next, end *[]int64) (err error) {
	if *end == nil {
		if *next, err = g.cluster.Offsets(ctx, telemetry.TopicRegistry, broker.FromStart); err != nil {
			return err
		}
		ends, err := g.cluster.Offsets(ctx, telemetry.TopicRegistry, broker.FromEnd)
		if err != nil {
			return err
		}
		*end = ends
	}
	g.progress(*next, *end)
	return g.cluster.FollowFrom(ctx, telemetry.TopicRegistry, *next, func(rec *kgo.Record) error {
		if g.fault.Swap(nil) != nil {
			g.log.Info().Msg("registry is read again")
		}
		g.apply(rec)
		(*next)[rec.Partition] = rec.Offset + 1
		g.progress(*next, *end)
		return nil
	})
}

// progress notes when every partition was read up to the end that it had at the start.
func (g *Registry) progress(next, end []int64) {
	if g.loaded.Load() {
		return
	}
	for p := range end {
		if next[p] < end[p] {
			return
		}
	}
	g.loaded.Store(true)
	g.log.Info().Int64("devices", g.devices.Load()).Msg("registry loaded")
}

// apply takes over one record. One that is no device leaves what the registry said before.
func (g *Registry) apply(rec *kgo.Record) {
	mn := string(rec.Key)
	if len(rec.Value) == 0 { // a tombstone of compaction
		g.set(mn, nil)
		return
	}
	var d telemetry.Device
	err := json.Unmarshal(rec.Value, &d)
	if err == nil {
		err = d.Validate()
	}
	if err == nil && d.MN != mn {
		err = fmt.Errorf("mn %q under key %q", d.MN, mn)
	}
	if err != nil {
		g.bad.Add(1)
		g.log.Error().Err(err).Int32("partition", rec.Partition).Int64("offset", rec.Offset).Msg("registry record skipped")
		return
	}
	if d.Removed {
		g.set(mn, nil)
		return
	}
	g.set(mn, NewDevice(d))
}

// set replaces the shard of mn by a copy in which mn is d, or absent for nil. Only Run's goroutine calls it.
func (g *Registry) set(mn string, d *Device) {
	at := &g.shard[shardOf(mn)]
	old := *at.Load()
	devices := maps.Clone(old)
	if d == nil {
		delete(devices, mn)
	} else {
		devices[mn] = d
	}
	at.Store(&devices)
	g.devices.Add(int64(len(devices) - len(old)))
}
