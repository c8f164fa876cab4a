package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"outfall/ingest"
	"outfall/telemetry"
)

const (
	statusOnTerminal = time.Second
	statusElsewhere  = 10 * time.Second
)

// A statusLine shows what a process does: one line that is rewritten each second on a terminal, one line each ten seconds elsewhere.
type statusLine struct {
	out      io.Writer
	stages   *stages
	terminal bool
	received int64 // at the line before
	at       time.Time
}

func newStatusLine(out io.Writer, s *stages) *statusLine {
	_, terminal := terminalWidth(out)
	return &statusLine{out: out, stages: s, terminal: terminal, at: time.Now()}
}

// run writes lines until ctx ends or a part fails, whose error it returns.
func (l *statusLine) run(ctx context.Context, failed <-chan error) error {
	interval := statusElsewhere
	if l.terminal {
		interval = statusOnTerminal
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			l.finish()
			return nil
		case err := <-failed:
			l.finish()
			return err
		case now := <-tick.C:
			l.write(now)
		}
	}
}

func (l *statusLine) write(now time.Time) {
	text := l.text(now)
	width, terminal := terminalWidth(l.out)
	if !terminal {
		fmt.Fprintln(l.out, text)
		return
	}
	if len(text) >= width { // ASCII: a byte is a column; the last column would wrap on some terminals
		text = text[:max(0, width-1)]
	}
	fmt.Fprintf(l.out, "\r%s\x1b[K", text)
}

// finish leaves the last line standing.
func (l *statusLine) finish() {
	if l.terminal {
		fmt.Fprintln(l.out)
	}
}

// text is the line for the time since the one before.
func (l *statusLine) text(now time.Time) string {
	parts := []string{now.In(telemetry.China).Format("15:04:05")}
	add := func(format string, a ...any) { parts = append(parts, fmt.Sprintf(format, a...)) }
	var in ingest.Stats
	if l.stages.intake != nil {
		in = l.stages.intake.Stats()
		rate := float64(in.Received-l.received) / max(now.Sub(l.at).Seconds(), 0.001)
		l.received, l.at = in.Received, now
		add("%d conn", in.Connections)
		add("%.0f frames/s in", rate)
		add("%d journaled", in.Journaled)
		add("%d acked", in.Acked)
		add("%d rejected", in.Rejected)
	}
	if l.stages.worker != nil {
		w := l.stages.worker.Stats()
		add("%d alarms open", w.OpenAlarms)
		if w.Lag > 0 {
			add("journal lag %d", w.Lag)
		}
	}
	if l.stages.sink != nil {
		s := l.stages.sink.Stats()
		if s.Trouble != "" {
			add("InfluxDB lag %d (%s)", s.Lag, printable(s.Trouble))
		} else {
			add("InfluxDB lag %d", s.Lag)
		}
	}
	if l.stages.alert != nil {
		if s := l.stages.alert.Stats(); s.Trouble != "" {
			add("%d alarm events wait, a channel or Kafka is in trouble: see /readyz", s.Pending)
		} else if s.Pending > 0 {
			add("%d alarm events wait", s.Pending)
		}
	}
	if in.Rejected > 0 { // last: the longest, and the first to be cut off on a narrow terminal
		add("%s", rejectedBy(in.RejectedBy))
	}
	return strings.Join(parts, " | ")
}

// rejectedBy lists the reasons that occurred, the commonest first.
func rejectedBy(by map[ingest.Reason]int64) string {
	var reasons []ingest.Reason
	for r, n := range by {
		if n > 0 {
			reasons = append(reasons, r)
		}
	}
	slices.SortFunc(reasons, func(x, y ingest.Reason) int {
		if by[x] != by[y] {
			return int(by[y] - by[x])
		}
		return int(x) - int(y)
	})
	parts := make([]string, len(reasons))
	for i, r := range reasons {
		parts[i] = fmt.Sprintf("%s %d", r, by[r])
	}
	return strings.Join(parts, ", ")
}
