package fold

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"outfall/deploy/sample"
	"outfall/ingest/hj212"
	"outfall/rules/rulefile"
	"outfall/telemetry"
)

// A fleet makes the journal of a partition of water devices with ten factors each, minute by minute: real-time values every 30 s, a minute
// record each minute, a tick each second, by the rules of deploy/sample.
type fleet struct {
	s       *State
	r       *rand.Rand
	mns     []string
	level   [][10]int // of each factor, hundredths
	now     time.Time // a minute's start
	offset  int64
	entries []telemetry.Entry
	text    []byte // of the entries
	bytes   int    // of outputs
	emit    func(telemetry.Output)
}

var fleetCodes = [10]string{"w01018", "w21003", "w21011", "w21001", "w01001", "w00000", "w01010", "w01009", "w01014", "w01012"}

// fleetLevels are what the factors are about, in hundredths: within the limits of the rules, as most outlets are.
var fleetLevels = [10]int{2500, 150, 20, 900, 700, 30_000, 1800, 500, 400, 1200}

func newFleet(tb testing.TB, partition, devices int) *fleet {
	f := &fleet{s: New(int32(partition)), r: rand.New(rand.NewPCG(uint64(partition), 5)), now: t0, level: make([][10]int, devices)}
	f.emit = func(o telemetry.Output) { f.bytes += len(o.Value) }
	rs, err := rulefile.Parse("rules.yaml", sample.Rules)
	if err != nil {
		tb.Fatal(err)
	}
	f.add(telemetry.KindTick, "", t0, telemetry.AppendJSON(nil, telemetry.Tick{Time: t0}))
	f.add(telemetry.KindRules, "", t0, rs.AppendJSON(nil))
	for i := range devices {
		mn := fmt.Sprintf("%02d%022X", partition, i)
		f.mns = append(f.mns, mn)
		for k := range f.level[i] {
			f.level[i][k] = fleetLevels[k] + f.r.IntN(1+fleetLevels[k]/8)
		}
		f.add(telemetry.KindRegistry, mn, t0, telemetry.AppendJSON(nil, &telemetry.Device{MN: mn, PW: "123456", Outlet: fmt.Sprintf("W%05d", i), OutletName: "总排口",
			Enterprise: "某某污水处理厂", Region: "贵州省/贵阳市", Medium: "water", MinuteInterval: 1, RealtimeInterval: 30, OfflineAfter: 600}))
	}
	f.run()
	return f
}

func (f *fleet) add(k telemetry.Kind, mn string, at time.Time, v []byte) {
	f.entries = append(f.entries, telemetry.Entry{Offset: f.offset, Received: at, Kind: k, MN: mn, Value: v})
	f.offset++
}

// run folds the entries.
func (f *fleet) run() {
	for i := range f.entries {
		f.s.Apply(&f.entries[i], f.emit)
	}
}

func (f *fleet) begin() { f.entries, f.text = f.entries[:0], f.text[:0] }

func (f *fleet) frame(i int, cn string, received, at time.Time) {
	t := f.text
	from := len(t)
	t = hj212.AppendQN(append(t, "QN="...), received)
	t = hj212.AppendTime(fmt.Appendf(t, ";ST=32;CN=%s;PW=123456;MN=%s;Flag=5;CP=&&DataTime=", cn, f.mns[i]), at)
	for k, code := range fleetCodes {
		noise := 2 + fleetLevels[k]/20
		v := f.level[i][k] + f.r.IntN(noise)
		if cn == "2011" {
			t = fmt.Appendf(t, ";%s-Rtd=%d.%02d,%[1]s-Flag=N", code, v/100, v%100)
			continue
		}
		low, high := v-f.r.IntN(noise), v+f.r.IntN(noise)
		t = fmt.Appendf(t, ";%s-Min=%d.%02d,%[1]s-Avg=%d.%02d,%[1]s-Max=%d.%02d,%[1]s-Flag=N", code, low/100, low%100, v/100, v%100, high/100, high%100)
	}
	t = append(t, "&&"...)
	seg := len(t)
	t = hj212.AppendFrame(t, t[from:])
	f.text = t
	f.add(telemetry.KindFrame, f.mns[i], received, t[seg:len(t):len(t)])
}

// minute makes the entries of the next minute.
func (f *fleet) minute() {
	f.begin()
	for sec := range 60 {
		at := f.now.Add(time.Duration(sec) * time.Second)
		f.add(telemetry.KindTick, "", at, telemetry.AppendJSON(nil, telemetry.Tick{Time: at}))
		for i := range f.mns {
			if phase := i % 30; phase == sec%30 {
				f.frame(i, "2011", at, at)
			}
			if (i+5)%60 == sec {
				f.frame(i, "2051", at, f.now.Add(-time.Minute))
			}
		}
	}
	f.now = f.now.Add(time.Minute)
}

// warm fills every ring: an hour's first minute for 75 hours, then minutes.
func (f *fleet) warm(hours, minutes int) {
	for range hours {
		f.begin()
		f.now = f.now.Add(time.Hour)
		f.add(telemetry.KindTick, "", f.now, telemetry.AppendJSON(nil, telemetry.Tick{Time: f.now}))
		for i := range f.mns {
			f.frame(i, "2051", f.now.Add(time.Minute), f.now)
		}
		f.run()
	}
	for range minutes {
		f.minute()
		f.run()
	}
}

// cpuTime is what the process has used of the cores.
func cpuTime() time.Duration { return clockTime(unix.CLOCK_PROCESS_CPUTIME_ID) }

// clockTime reads a clock. Those of CPU time are exact; what getrusage tells is as of the last timer interrupt, which is too little for a run of
// milliseconds.
func clockTime(clock int32) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}

// timedRun is run, and returns what its thread used of a core: without what the runtime does meanwhile about the garbage of the entries' making.
func (f *fleet) timedRun() time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began := clockTime(unix.CLOCK_THREAD_CPUTIME_ID)
	f.run()
	return clockTime(unix.CLOCK_THREAD_CPUTIME_ID) - began
}

// BenchmarkFold: two partitions on two goroutines, 3 frames a device and minute, outputs encoded; frames/s of both together by
// the wall clock, and what a frame takes of a core: that is the same on a machine that others use too.
func BenchmarkFold(b *testing.B) {
	for _, devices := range []int{100, 2000} {
		b.Run(fmt.Sprintf("devices=%d", devices), func(b *testing.B) {
			fleets := [2]*fleet{newFleet(b, 0, devices), newFleet(b, 1, devices)}
			var both sync.WaitGroup
			for _, f := range fleets {
				both.Go(func() { f.warm(76, 3) })
			}
			both.Wait()
			frames, size, written := 0, 0, 0
			var spent time.Duration
			var used [2]time.Duration
			var mallocs uint64
			for b.Loop() {
				for _, f := range fleets {
					f.minute()
					frames += 3 * devices
					size += len(f.text) / 2 // a segment and its frame
					written -= f.bytes
				}
				runtime.GC() // of what made the entries
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				began := time.Now()
				for i, f := range fleets {
					both.Go(func() { used[i] += f.timedRun() })
				}
				both.Wait()
				spent += time.Since(began)
				runtime.ReadMemStats(&after)
				mallocs += after.Mallocs - before.Mallocs
				for _, f := range fleets {
					written += f.bytes
				}
			}
			n := float64(frames)
			b.ReportMetric(n/spent.Seconds(), "frames/s")
			b.ReportMetric(float64((used[0]+used[1]).Nanoseconds())/n, "cpu-ns/frame")
			b.ReportMetric(float64(mallocs)/n, "allocs/frame")
			b.ReportMetric(float64(size)/n, "in-B/frame")
			b.ReportMetric(float64(written)/n, "out-B/frame")
		})
	}
}

// BenchmarkWatch: what the detectors and rates cost. Whole hours of 100 devices, by the algorithm without them and by the one with them in turn,
// so that what else the machine does falls on both: cpu time of a frame, and how much more it is.
func BenchmarkWatch(b *testing.B) {
	var fleets [2]*fleet
	for i := range fleets {
		fleets[i] = newFleet(b, i, 100)
		fleets[i].s.algorithm = []int{1, watched}[i]
		fleets[i].warm(76, 60)
	}
	var used [2]time.Duration
	frames := 0
	for b.Loop() {
		for range 60 {
			for i, f := range fleets {
				f.minute()
				used[i] += f.timedRun()
			}
			frames += 300
		}
	}
	b.ReportMetric(float64(used[0].Nanoseconds())/float64(frames), "without-cpu-ns/frame")
	b.ReportMetric(float64(used[1].Nanoseconds())/float64(frames), "with-cpu-ns/frame")
	b.ReportMetric(float64(used[1])/float64(used[0]), "ratio")
}

// BenchmarkSnapshot: devices with every ring full.
func BenchmarkSnapshot(b *testing.B) {
	f := newFleet(b, 0, 20)
	f.warm(0, 75*60)
	s, n := f.s, float64(len(f.mns))
	form := s.AppendTo(nil)
	b.Run("AppendTo", func(b *testing.B) {
		b.ReportAllocs()
		dst := make([]byte, 0, 2*len(form))
		cpu := cpuTime()
		for b.Loop() {
			dst = s.AppendTo(dst[:0])
		}
		b.ReportMetric(float64((cpuTime()-cpu).Nanoseconds())/float64(b.N)/n, "cpu-ns/device")
		b.ReportMetric(float64(len(dst))/n, "B/device")
	})
	b.Run("Read", func(b *testing.B) {
		b.ReportAllocs()
		cpu := cpuTime()
		for b.Loop() {
			if _, err := Read(form); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64((cpuTime()-cpu).Nanoseconds())/float64(b.N)/n, "cpu-ns/device")
	})
	b.Run("memory", func(b *testing.B) {
		var before, after runtime.MemStats
		kept := make([]*State, 0, b.N)
		runtime.GC()
		runtime.ReadMemStats(&before)
		for range b.N {
			st, err := Read(form)
			if err != nil {
				b.Fatal(err)
			}
			kept = append(kept, st)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(b.N)/n, "B/device")
		runtime.KeepAlive(kept)
	})
}

// BenchmarkHourEnd: the tick that closes an hour of every device, alone, while a snapshot is on its way out of which nothing is out, which gives it
// up, and while one is that must not be given up: the longest that an entry waits for.
func BenchmarkHourEnd(b *testing.B) {
	for _, devices := range []int{500, 12_500} {
		for _, snapshot := range []string{"none", "given-up", "kept"} {
			b.Run(fmt.Sprintf("devices=%d/snapshot=%s", devices, snapshot), func(b *testing.B) {
				f := newFleet(b, 0, devices)
				f.warm(3, 0)
				var spent, longest time.Duration
				n := 0
				for b.Loop() {
					b.StopTimer()
					f.warm(1, 0) // its tick closes the hour before
					f.begin()
					at := f.now.Add(time.Hour + graceMs*time.Millisecond)
					f.add(telemetry.KindTick, "", at, telemetry.AppendJSON(nil, telemetry.Tick{Time: at}))
					var frozen *Frozen
					if snapshot != "none" {
						f.s.gaveUp = snapshot == "kept"
						frozen = f.s.Freeze()
					}
					runtime.GC()
					b.StartTimer()
					took := f.timedRun()
					spent, longest, n = spent+took, max(longest, took), n+1
					if frozen != nil {
						frozen.Drop()
					}
					f.now = f.now.Add(time.Hour)
				}
				b.ReportMetric(float64(spent.Nanoseconds())/float64(n)/float64(devices), "cpu-ns/device")
				b.ReportMetric(float64(longest.Nanoseconds())/1e6, "longest-cpu-ms")
			})
		}
	}
}

// A frame that is in order allocates nothing, nor does a tick, nor what they put out: minutes of a fleet, statuses and windows included.
func TestNoAllocationsInSteadyState(t *testing.T) {
	f := newFleet(t, 0, 5)
	f.warm(76, 130)
	for f.now.Minute() > 10 { // away from the hour's end, which tells of gaps and completeness
		f.minute()
		f.run()
	}
	var before, after runtime.MemStats
	allocs := make([]uint64, 21) // of a minute
	for i := range allocs {
		f.minute()
		runtime.ReadMemStats(&before)
		f.run()
		runtime.ReadMemStats(&after)
		allocs[i] = after.Mallocs - before.Mallocs
	}
	slices.Sort(allocs)
	if allocs[len(allocs)/2] > 0 { // the runtime's own goroutines allocate too, the more the busier the machine: in most minutes nothing does
		t.Errorf("allocations of 21 minutes, sorted: %d", allocs)
	}
}
