package main

import (
	"fmt"
	"io"
	"math"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"outfall/bench/machine"
)

// A report holds every round's figures, by contestant.
type report struct {
	*bench
	contestants []contestant
	figures     map[string][]*figures // nil for a round that failed
}

// A row is one line of the table.
type row struct {
	what, format string
	of           func(*figures) float64
	better       int // ours against the best peer: 1 the larger, -1 the smaller is better, 0 no ratio
}

func (b *bench) rows() []row {
	return []row{
		{"drain, frames/s", "%.0f", func(f *figures) float64 { return f.Rate }, 1},
		{"the same from the start of the process", "%.0f", func(f *figures) float64 { return f.WholeRate }, 1},
		{"drain, CPU µs a frame", "%.1f", func(f *figures) float64 { return f.CPU }, -1},
		{"the broker's meanwhile", "%.1f", func(f *figures) float64 { return f.BrokerCPU }, -1},
		{"resident after the drain, MiB", "%.0f", func(f *figures) float64 { return f.RSS }, -1},
		{fmt.Sprintf("result at %d frames/s, p50 ms", b.rate), "%.1f", func(f *figures) float64 { return f.P50 }, -1},
		{"p90", "%.1f", func(f *figures) float64 { return f.P90 }, -1},
		{"p99", "%.1f", func(f *figures) float64 { return f.P99 }, -1},
		{"longest", "%.0f", func(f *figures) float64 { return f.Max }, -1},
		{"started after kill -9, state kept: first new result after s", "%.2f", func(f *figures) float64 { return f.Kept }, -1},
		{"results less than 1 s old after s", "%.2f", func(f *figures) float64 { return f.KeptCaughtUp }, -1},
		{"started after kill -9, state wiped: first new result after s", "%.2f", func(f *figures) float64 { return f.Wiped }, -1},
		{"results less than 1 s old after s", "%.2f", func(f *figures) float64 { return f.WipedCaughtUp }, -1},
		{"resident at the end, MiB", "%.0f", func(f *figures) float64 { return f.RSSEnd }, -1},
		{"results missing", "%.0f", func(f *figures) float64 { return float64(f.Missing) }, 0},
		{"results twice", "%.0f", func(f *figures) float64 { return float64(f.Duplicate) }, 0},
		{"results wrong", "%.0f", func(f *figures) float64 { return float64(f.Wrong) }, 0},
		{"corrections, marked as such", "%.0f", func(f *figures) float64 { return float64(f.Revised) }, 0},
		{"load average of the minute after", "%.1f", func(f *figures) float64 { return f.Load }, 0},
	}
}

// A spread is a figure over the rounds.
type spread struct{ median, low, high float64 }

func spreadOf(values []float64) spread {
	n := len(values)
	if n == 0 {
		return spread{median: math.NaN()}
	}
	slices.Sort(values)
	return spread{(values[(n-1)/2] + values[n/2]) / 2, values[0], values[n-1]}
}

func (s spread) text(format string) string {
	if math.IsNaN(s.median) {
		return "not measured"
	}
	if s.low == s.high {
		return fmt.Sprintf(format, s.median)
	}
	return fmt.Sprintf(format+" ("+format+"..."+format+")", s.median, s.low, s.high)
}

// ratio is ours against the best peer of each round, above one where ours is better; false where a figure is zero or ours was not measured.
func (r *report) ratio(row row) (spread, bool) {
	ours := r.figures[nameOurs]
	var values []float64
	for i := range ours {
		if slices.ContainsFunc(r.contestants, func(c contestant) bool { return i >= len(r.figures[c.name]) || r.figures[c.name][i] == nil }) {
			continue // a round that is not whole
		}
		best, mine := 0.0, row.of(ours[i])
		for _, c := range r.contestants {
			if c.ours {
				continue
			}
			x := row.of(r.figures[c.name][i])
			if row.better < 0 {
				x = 1 / x
			}
			best = max(best, x)
		}
		if row.better < 0 {
			mine = 1 / mine
		}
		if best == 0 || mine == 0 {
			return spread{}, false
		}
		values = append(values, mine/best)
	}
	return spreadOf(values), len(values) > 0
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "Stream processors, %s\n\n", time.Now().UTC().Format("2006-01-02"))
	fmt.Fprintf(w, "Machine: %d x %s, %s, %s", runtime.NumCPU(), machine.Processor(), machine.Kernel(), runtime.Version())
	if c, err := exec.Command("git", "describe", "--always", "--dirty").Output(); err == nil {
		fmt.Fprintf(w, "; commit %s", strings.TrimSpace(string(c)))
	}
	fmt.Fprintf(w, "\nMedian (lowest...highest) of %d rounds; %d devices, %d frames of backlog, %d partitions; the contestant on one core, the broker and the driver on another.\n\n| |",
		r.rounds, r.devices, backlogFrames*r.devices, partitions)
	line := "\n| --- |"
	for _, c := range r.contestants {
		fmt.Fprintf(w, " %s |", c.what)
		line += " --- |"
	}
	fmt.Fprintf(w, " outfall to the best other |%s --- |\n", line)
	for _, row := range r.rows() {
		fmt.Fprintf(w, "| %s |", row.what)
		for _, c := range r.contestants {
			var values []float64
			for _, f := range r.figures[c.name] {
				if f != nil {
					values = append(values, row.of(f))
				}
			}
			fmt.Fprintf(w, " %s |", spreadOf(values).text(row.format))
		}
		ratio := ""
		if q, ok := r.ratio(row); ok && row.better != 0 {
			ratio = q.text("%.2f")
		}
		fmt.Fprintf(w, " %s |\n", ratio)
	}
	fmt.Fprintln(w, "\nThe last column is above 1 where outfall is better.")
}
