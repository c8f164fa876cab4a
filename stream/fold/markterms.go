package fold

import (
	"fmt"
	"slices"
	"time"

	"outfall/telemetry"
)

const hourMs = 3_600_000

// A term is a limit that the texts set for marks. What breaks one is a finding that names the clause and how sure the clause is; nothing is
// taken back by it.
type term struct {
	limit      int64 // ms
	clause     string
	confidence string
}

// The terms of marks. These are all of them.
var (
	// An automatic mark of a shorter state is not kept.
	termShortest = term{15 * 60_000, "污染物排放自动监测设备标记规则 (2022)", "single"}
	// A mark, the first of its time, comes no later after the data.
	termLate = term{10 * 24 * hourMs, "自动监测数据有效传输率: late correction within 10 days of the data", "single"}
	// Proofs come by the end of that day of the next month.
	termProofDay = term{10 * 24 * hourMs, "自动监测数据有效传输率: proofs by the 10th of the next month", "single"}
	// A furnace is in a steady state that long after the first feed.
	termStartUp = term{6 * hourMs, "GB 18484-2020 7.2.1, GB 39707-2020 7.3.1", "confirmed"}
)

// budgetWarning is the share of a budget, in hundredths, from which on it is found to run out (our own).
const budgetWarning = 80

// budgetTerms are the exempt times of an incinerator in a natural year.
var budgetTerms = [...]struct {
	term
	kinds []telemetry.MarkKind
}{
	{term{60 * hourMs, "GB 18484-2020 7.2.3, GB 39707-2020 7.3.3; 生活垃圾焚烧发电厂自动监测数据应用管理规定", "confirmed"},
		[]telemetry.MarkKind{telemetry.MarkStartUp, telemetry.MarkShutDown, telemetry.MarkFault, telemetry.MarkAccident}},
	{term{700 * hourMs, "生活垃圾焚烧发电厂自动监测数据应用管理规定", "single"},
		[]telemetry.MarkKind{telemetry.MarkHeatUp, telemetry.MarkCoolDown}},
}

// A budget is what marks have used of a budgetTerm, of one unit in one natural year of UTC+8.
type budget struct {
	unit    string
	year    int
	class   int   // of budgetTerms
	settled int64 // ms, of marks that are no longer kept
	found   uint8 // 1: that it runs out, 2: that it is used up
	furnace bool  // a mark of the unit says that it is one: a boiler's 故障 has no such budget
}

const maxBudgets = 64 // of a device: 16 units in two years

// checkMark looks at what the terms say of a mark that is new. before is the mark that it replaces, nil: none. false: the mark does not hold.
func (s *State) checkMark(d *device, m *telemetry.Mark, k *mark, before *mark) bool {
	if m.Auto && k.to-k.from < termShortest.limit {
		s.findTerm(d, telemetry.FindingMarkRefused, m, termShortest, 1, fmt.Sprintf("an automatic mark of %d s; of a state shorter than %d s none is kept",
			(k.to-k.from)/1000, termShortest.limit/1000))
		return false
	}
	from := k.from
	if before != nil && before.from <= from {
		from = min(before.to, k.to)
	}
	if late := s.out.entry.Received.UnixMilli() - from; from < k.to && late > termLate.limit {
		s.findTerm(d, telemetry.FindingMarkLate, m, termLate, 1, fmt.Sprintf("the mark came %d h after its first data, allowed are %d h", late/hourMs, termLate.limit/hourMs))
	}
	if k.kind == telemetry.MarkStartUp && k.to != never && k.to-k.from > termStartUp.limit {
		s.findTerm(d, telemetry.FindingMarkLong, m, termStartUp, (k.to-k.from)/hourMs, fmt.Sprintf("%s for %d h, allowed are %d h", k.kind.Name(), (k.to-k.from)/hourMs,
			termStartUp.limit/hourMs))
	}
	if !m.Auto && m.Proof == "" {
		y, month, _ := m.From.In(telemetry.China).Date()
		k.proofAt = time.Date(y, month+1, 1, 0, 0, 0, 0, telemetry.China).UnixMilli() + termProofDay.limit
	}
	return true
}

// findTerm emits a finding about a term that a mark does not keep.
func (s *State) findTerm(d *device, kind telemetry.FindingKind, m *telemetry.Mark, t term, count int64, detail string) {
	f := telemetry.Finding{Kind: kind, Count: count, Detail: detail, Mark: m.ID, Clause: t.clause, Confidence: t.confidence}
	if !m.From.IsZero() {
		f.Start, f.End = msTimePtr(m.From.UnixMilli()), m.To
	}
	s.find(d, f)
}

// markTimers looks once an hour at what time alone makes of marks: proofs that have not come, and budgets that a state which lasts uses up.
func (s *State) markTimers(d *device, now int64) {
	if now/hourMs == d.marks.checked {
		return
	}
	d.marks.checked = now / hourMs
	for i := range d.marks.list {
		if k := &d.marks.list[i]; k.proofAt <= now {
			k.proofAt = never
			s.findTerm(d, telemetry.FindingMarkLate, &telemetry.Mark{ID: k.id, From: msTime(k.from), To: ended(k)}, termProofDay, 1, "no proofs of the mark have come by the day that they were due")
		}
	}
	s.forgetMarks(d)
	s.checkBudgets(d)
}

func ended(k *mark) *time.Time {
	if k.to == never {
		return nil
	}
	return msTimePtr(k.to)
}

// checkBudgets finds the budgets that run out or are used up, each once for every time that it comes to that.
func (s *State) checkBudgets(d *device) {
	ms, now := d.marks, s.nowMs()
	for i := range ms.list {
		ms.openBudgets(&ms.list[i], now)
	}
	for i := range ms.budgets {
		b := &ms.budgets[i]
		t := &budgetTerms[b.class]
		used := b.settled + ms.used(b.unit, b.class, b.year, now)
		found := uint8(0)
		switch {
		case !b.furnace:
		case used > t.limit:
			found = 2
		case used*100 >= t.limit*budgetWarning:
			found = 1
		}
		if found > b.found {
			names := ""
			for _, k := range t.kinds {
				names += " " + k.Name()
			}
			what := "run out"
			if found == 2 {
				what = "are used up: later windows are exempt no more"
			}
			s.find(d, telemetry.Finding{Kind: telemetry.FindingMarkBudget, Start: msTimePtr(yearStart(b.year)), End: msTimePtr(yearStart(b.year + 1)), Count: used / hourMs,
				Detail: fmt.Sprintf("unit %q has %d min of%s in %d; the %d h %s", b.unit, used/60_000, names, b.year, t.limit/hourMs, what), Clause: t.clause, Confidence: t.confidence})
		}
		b.found = found
	}
}

// yearStart is the first moment of a year of UTC+8, ms.
func yearStart(year int) int64 { return time.Date(year, 1, 1, 0, 0, 0, 0, telemetry.China).UnixMilli() }

func yearOf(ms int64) int { return msTime(ms).In(telemetry.China).Year() }

// classOf is the budget that a kind uses up, -1: none.
func classOf(k telemetry.MarkKind) int {
	for i := range budgetTerms {
		if slices.Contains(budgetTerms[i].kinds, k) {
			return i
		}
	}
	return -1
}

// openBudgets makes the budgets that a mark uses up.
func (ms *deviceMarks) openBudgets(k *mark, now int64) {
	class := classOf(k.kind)
	if class < 0 || k.from >= now {
		return
	}
	for year := max(yearOf(k.from), yearOf(now)-1); year <= yearOf(min(k.to, now)-1); year++ {
		if !slices.ContainsFunc(ms.budgets, func(b budget) bool { return b.unit == k.unit && b.year == year && b.class == class }) {
			if len(ms.budgets) >= maxBudgets {
				oldest := slices.MinFunc(ms.budgets, func(a, b budget) int { return a.year - b.year })
				ms.budgets = slices.DeleteFunc(ms.budgets, func(b budget) bool { return b == oldest })
			}
			ms.budgets = append(ms.budgets, budget{unit: k.unit, year: year, class: class})
		}
		if k.kind != telemetry.MarkFault && k.kind != telemetry.MarkAccident {
			for j := range ms.budgets {
				ms.budgets[j].furnace = ms.budgets[j].furnace || ms.budgets[j].unit == k.unit
			}
		}
	}
}

// used is how long marks that are kept say that a unit was in states of a class in a year, ms. Marks that overlap count once.
func (ms *deviceMarks) used(unit string, class, year int, now int64) int64 {
	return ms.covered("", yearStart(year), min(yearStart(year+1), max(now, yearStart(year))), func(m *mark) bool { return m.unit == unit && classOf(m.kind) == class })
}

// settle forgets a mark; what it has used of budgets stays used.
func (d *device) settle(id string, now int64) {
	ms := d.marks
	k := ms.find(id)
	ms.openBudgets(k, now)
	before := make([]int64, len(ms.budgets))
	for i := range ms.budgets {
		before[i] = ms.used(ms.budgets[i].unit, ms.budgets[i].class, ms.budgets[i].year, now)
	}
	ms.drop(k)
	for i := range ms.budgets {
		b := &ms.budgets[i]
		b.settled += before[i] - ms.used(b.unit, b.class, b.year, now)
	}
}
