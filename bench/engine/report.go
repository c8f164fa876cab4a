package main

import (
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"outfall/bench/machine"
)

// A report holds the rows of the tables as they come.
type report struct {
	latencies, rest []row
}

type row struct {
	what, measured, wanted string
	met                    bool
}

func (r *report) late(what string, l latency, limit float64) {
	x := row{what: what, measured: fmt.Sprintf("%.1f | %.1f | %.1f | %.0f", l.p50, l.p90, l.p99, l.max)}
	if limit > 0 {
		x.wanted, x.met = fmt.Sprintf("p99 < %.0f", limit), l.p99 < limit
	}
	r.latencies = append(r.latencies, x)
	say("%s: %v", what, l)
}

func (r *report) add(what, wanted string, met bool, format string, a ...any) {
	x := row{what, fmt.Sprintf(format, a...), wanted, met}
	r.rest = append(r.rest, x)
	say("%s: %s", what, x.measured)
}

func (r *report) live(where string, o *live, limit float64) {
	r.late(where+": answer", o.answer, 0)
	r.late(where+": alarm", o.alarm, limit)
	r.add(where+": CPU of the process", "", false, "%.0f µs a frame, %.2f cores", o.cpuPerFrame(), o.cpu/o.seconds)
}

func (r *report) many(devices int, o *live, size, resident float64) {
	r.late(fmt.Sprintf("embedded, %d devices: answer", devices), o.answer, 0)
	r.late(fmt.Sprintf("embedded, %d devices: alarm", devices), o.alarm, 0)
	r.late("of them while no snapshot is written", o.quiet, 0)
	r.late("of them while the partition's snapshot is written", o.own, 0)
	var took []float64
	for _, s := range o.spans {
		took = append(took, s.to.Sub(s.from).Seconds())
	}
	if len(took) > 0 {
		slices.Sort(took)
		r.add(fmt.Sprintf("a snapshot of %d devices", devices/partitions), "10 KB a device", size/float64(devices) < 10_000, "%.2f s (longest %.2f) of %d, %.1f KB a device",
			took[len(took)/2], took[len(took)-1], len(took), size/float64(devices)/1000)
	}
	r.add(fmt.Sprintf("resident with %d devices", devices), "", false, "%.0f MiB", resident)
}

func (r *report) restarts(devices int, rs []restart) {
	slices.SortFunc(rs, func(a, b restart) int { return int(1e6 * (a.seconds - b.seconds)) })
	mid := rs[len(rs)/2]
	r.add(fmt.Sprintf("ready after kill -9, %d devices", devices), "< 10 s", rs[len(rs)-1].seconds < 10, "%.2f s (%.2f...%.2f), %.1f s of CPU, at most %.0f MiB", mid.seconds,
		rs[0].seconds, rs[len(rs)-1].seconds, mid.cpu, mid.most)
}

func (r *report) drained(where string, d *drained, limit float64) {
	x := ""
	if limit > 0 {
		x = fmt.Sprintf(">= %.0f/s", limit)
	}
	with := ""
	if d.broker > 0 {
		with = fmt.Sprintf(", the broker's %.1f", d.broker)
	}
	r.add(where+fmt.Sprintf(": drain of %d frames", d.frames), x, d.rate >= limit, "%.0f frames/s, %.0f from the start; %.1f µs of CPU a frame%s; at most %.0f MiB", d.rate, d.whole, d.cpu, with, d.most)
}

func (r *report) replayed(frames int, seconds, cpu float64) {
	r.add(fmt.Sprintf("replay of %d frames", frames), "30 s for a day", frames >= dayFrames && seconds < 30, "%.1f s, %.0f frames/s, %.1f µs of CPU a frame", seconds,
		float64(frames)/seconds, cpu*1e6/float64(frames))
}

// dayFrames are a province's real-time frames of a day, one every half minute.
const dayFrames = outlets * 2 * 24 * 60

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "Stream engine, %s\n\n", time.Now().UTC().Format("2006-01-02"))
	fmt.Fprintf(w, "Machine: %d x %s, %s, %s; load average at the end %.1f", runtime.NumCPU(), machine.Processor(), machine.Kernel(), runtime.Version(), machine.Load())
	if c, err := exec.Command("git", "describe", "--always", "--dirty").Output(); err == nil {
		fmt.Fprintf(w, "; commit %s", strings.TrimSpace(string(c)))
	}
	fmt.Fprint(w, "\n\n| from when a frame was due, ms | p50 | p90 | p99 | longest | wanted | |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	rows(w, r.latencies)
	fmt.Fprint(w, "\n| | measured | wanted | |\n| --- | --- | --- | --- |\n")
	rows(w, r.rest)
}

func rows(w io.Writer, rs []row) {
	for _, x := range rs {
		verdict := ""
		if x.wanted != "" {
			verdict = "missed"
		}
		if x.wanted != "" && x.met {
			verdict = "met"
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s |\n", x.what, x.measured, x.wanted, verdict)
	}
}
