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

// A report collects results: by server and load, one a round.
type report struct {
	rounds   int
	repeated int // measurements
	results  map[[2]string][]result
	idle     map[string][]memory
}

// memory is what one idle connection costs, in bytes.
type memory struct{ after, collected float64 }

func newReport(rounds int) *report {
	return &report{rounds: rounds, results: map[[2]string][]result{}, idle: map[string][]memory{}}
}

func (r *report) add(name, load string, res result) {
	key := [2]string{name, load}
	r.results[key] = append(r.results[key], res)
}

// A spread is a figure over the rounds.
type spread struct{ median, low, high float64 }

func spreadOf(values []float64) spread {
	slices.Sort(values)
	n := len(values)
	return spread{(values[(n-1)/2] + values[n/2]) / 2, values[0], values[n-1]}
}

// over applies f to every round of a server under a load.
func (r *report) over(name, load string, f func(*result) float64) spread {
	var values []float64
	for _, res := range r.results[[2]string{name, load}] {
		values = append(values, f(&res))
	}
	return spreadOf(values)
}

// ratio divides round by round, so that what the machine did beside meets both.
func (r *report) ratio(of, to, load string, f func(*result) float64) (spread, bool) {
	a, b := r.results[[2]string{of, load}], r.results[[2]string{to, load}]
	if len(a) == 0 || len(a) != len(b) {
		return spread{}, false
	}
	var values []float64
	for i := range a {
		values = append(values, f(&a[i])/f(&b[i]))
	}
	return spreadOf(values), true
}

func (s spread) text(format string) string {
	if s.low == s.high {
		return fmt.Sprintf(format, s.median)
	}
	return fmt.Sprintf(format+" ("+format+"..."+format+")", s.median, s.low, s.high)
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "Gateway against peers, %s\n\n", time.Now().UTC().Format("2006-01-02"))
	fmt.Fprintf(w, "Machine: %d x %s, %s; %s", runtime.NumCPU(), machine.Processor(), machine.Kernel(), runtime.Version())
	if c := commit(); c != "" {
		fmt.Fprintf(w, "; commit %s", c)
	}
	fmt.Fprintf(w, "\nEach figure: median (lowest...highest) of %d. Frames of %d bytes with 39 fields; server and client on a core each.\n", r.rounds, frameBytes)
	r.printQuiet(w)
	r.printClosed(w)
	r.printOpen(w)
	r.printIdle(w)
	r.printTargets(w)
}

// printQuiet says how much else the machine did.
func (r *report) printQuiet(w io.Writer) {
	total, disturbed, worst := 0, 0, 0.0
	for key, results := range r.results {
		if onDisk(key[0]) {
			continue
		}
		for i := range results {
			total++
			worst = max(worst, results[i].disturbance())
			if results[i].disturbance() > maxDisturbance {
				disturbed++
			}
		}
	}
	fmt.Fprintf(w, "Of %d measurements without a disk, other programs or the hypervisor took more than %.0f %% of the machine in %d, at most %.0f %%; %d were repeated for that.\n",
		total, 100*maxDisturbance, disturbed, 100*worst, r.repeated)
}

func (r *report) printClosed(w io.Writer) {
	for _, l := range []load{single, backfill} {
		fmt.Fprintf(w, "\n## At saturation: %d connections, %d in flight on each\n\n", l.conns, l.window)
		fmt.Fprintln(w, "| server | frames/s | x C | CPU µs/frame | C's CPU / its | client busy |\n| --- | --- | --- | --- | --- | --- |")
		for _, s := range servers {
			if len(r.results[[2]string{s.name, l.name}]) == 0 {
				continue
			}
			times, less := "", ""
			if q, ok := r.ratio(s.name, serverC, l.name, (*result).rate); ok {
				times = q.text("%.2f")
			}
			if q, ok := r.ratio(serverC, s.name, l.name, (*result).microseconds); ok {
				less = q.text("%.2f")
			}
			fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %.0f %% |\n", s.what, r.over(s.name, l.name, (*result).rate).text("%.0f"), times,
				r.over(s.name, l.name, (*result).microseconds).text("%.2f"), less, 100*r.over(s.name, l.name, (*result).busy).median)
		}
	}
}

func (r *report) printOpen(w io.Writer) {
	fmt.Fprintf(w, "\n## At a fixed rate: %s. Milliseconds from when a frame was due to its answer\n\n", steady.name)
	fmt.Fprintln(w, "| server | p50 | p90 | p99 | p99.9 | longest | sent > 1 ms late |\n| --- | --- | --- | --- | --- | --- | --- |")
	for _, s := range servers {
		if len(r.results[[2]string{s.name, steady.name}]) == 0 {
			continue
		}
		of := func(f func(*result) float64) string { return r.over(s.name, steady.name, f).text("%.2f") }
		late := r.over(s.name, steady.name, func(x *result) float64 { return 100 * (x.Late + x.Skipped) / x.Frames })
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s |\n", s.what, of(func(x *result) float64 { return x.P50 }),
			of(func(x *result) float64 { return x.P90 }), of(func(x *result) float64 { return x.P99 }),
			of(func(x *result) float64 { return x.P999 }), of(func(x *result) float64 { return x.Max }), late.text("%.2f %%"))
	}
}

func (r *report) printIdle(w io.Writer) {
	fmt.Fprintf(w, "\n## %d idle connections after a frame on each: resident bytes that each adds to the process\n\n", idleConns)
	fmt.Fprintln(w, "| server | at once | after a garbage collection |\n| --- | --- | --- |")
	for _, s := range servers {
		if len(r.idle[s.name]) == 0 {
			continue
		}
		var after, collected []float64
		for _, m := range r.idle[s.name] {
			after, collected = append(after, m.after), append(collected, m.collected)
		}
		fmt.Fprintf(w, "| %s | %s | %s |\n", s.what, spreadOf(after).text("%.0f"), spreadOf(collected).text("%.0f"))
	}
}

func (r *report) printTargets(w io.Writer) {
	fmt.Fprintln(w, "\n## Targets\n\nA ratio must hold by rate and by CPU time per frame: the rate alone would flatter where the client is the limit.\n\n"+
		"| target | wanted | by rate | by CPU | |\n| --- | --- | --- | --- | --- |")
	for _, t := range targets {
		q, ok := r.ratio(t.of, t.to, t.load.name, (*result).rate)
		if !ok {
			continue
		}
		cpu, _ := r.ratio(t.to, t.of, t.load.name, (*result).microseconds)
		fmt.Fprintf(w, "| %s, %s | >= %.2f | %s | %s | %s |\n", t.what, t.load.name, t.atLeast, q.text("%.2f"), cpu.text("%.2f"),
			verdict(min(q.median, cpu.median) >= t.atLeast))
	}
	for _, name := range []string{serverGateway, serverKafka, serverEmbedded} {
		if len(r.results[[2]string{name, steady.name}]) == 0 {
			continue
		}
		q := r.over(name, steady.name, func(x *result) float64 { return x.P99 })
		limit := float64(ackBudget) / float64(time.Millisecond)
		want, met := fmt.Sprintf("<= %.0f ms", limit), verdict(q.median <= limit)
		if name != serverGateway { // what the broker takes is its own
			want, met = want+" + broker", ""
		}
		fmt.Fprintf(w, "| ack p99, %s: %s | %s | %s ms | | %s |\n", steady.name, name, want, q.text("%.2f"), met)
	}
	if m := r.idle[serverGateway]; len(m) > 0 {
		var collected []float64
		for _, x := range m {
			collected = append(collected, x.collected)
		}
		q := spreadOf(collected)
		fmt.Fprintf(w, "| idle session | <= 2048 B | %s B | | %s |\n", q.text("%.0f"), verdict(q.median <= 2048))
	}
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "MISSED"
}

// commit is what the program was built from; empty outside a repository.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
