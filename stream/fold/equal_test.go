package fold

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"outfall/ingest/hj212"
	"outfall/rules"
	"outfall/telemetry"
)

var (
	updateEqual = flag.Bool("update-equal", false, "write testdata/equal.txt and equal2.txt anew")
	equalSeeds  = flag.Int("equal-seeds", 16, "random journals to fold by algorithm 1, and a fourth of them by 2; 48 are recorded")
)

// The outputs of random journals stay what they were when testdata/equal.txt was recorded, byte for byte: by the state as it goes on, and
// by one that is written and read again now and then. The state may change its form, its outputs may not. The first algorithm's file is
// older than the second one.
func TestOutputsStayEqual(t *testing.T) {
	seeds := *equalSeeds
	if testing.Short() || raceDetector { // one goroutine: the detector only makes it ten times slower
		seeds = 2
	}
	first := outputsStayEqual(t, 1, seeds, filepath.Join("testdata", "equal.txt"))
	second := outputsStayEqual(t, 2, max(2, seeds/4), filepath.Join("testdata", "equal2.txt"))
	if slices.Equal(first[:len(second)], second) {
		t.Error("no journal shows the difference between the algorithms")
	}
}

func outputsStayEqual(t *testing.T, algorithm, seeds int, path string) (got []string) {
	recorded, err := os.ReadFile(path)
	if err != nil && !*updateEqual {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(string(recorded)), "\n")
	got = make([]string, seeds)
	t.Run(fmt.Sprintf("algorithm=%d", algorithm), func(t *testing.T) {
		for seed := range got {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				got[seed] = foldRandom(t, algorithm, uint64(seed))
				if !*updateEqual && (seed >= len(want) || got[seed] != want[seed]) {
					t.Errorf("other outputs than recorded: %s", got[seed])
				}
			})
		}
	})
	if *updateEqual {
		if err := os.WriteFile(path, []byte(strings.Join(got, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return got
}

// foldRandom folds the random journal of a seed and returns the line that stands for its outputs.
func foldRandom(t *testing.T, algorithm int, seed uint64) string {
	whole, cut := sha256.New(), sha256.New()
	outputs := 0
	s, again := New(0), New(0)
	s.algorithm, again.algorithm = algorithm, algorithm
	j := newRandomJournal(seed)
	for i := range 3000 {
		for _, e := range j.next() {
			s.Apply(&e, func(o telemetry.Output) { outputs++; hashOutput(whole, &o) })
			again.Apply(&e, func(o telemetry.Output) { hashOutput(cut, &o) })
		}
		if i%97 != 0 {
			continue
		}
		again = readBack(t, i, s, again)
	}
	if a, b := whole.Sum(nil), cut.Sum(nil); !bytes.Equal(a, b) {
		t.Fatal("snapshots change outputs")
	}
	return fmt.Sprintf("%d entries %d outputs %d %x", seed, j.offset, outputs, whole.Sum(nil)[:16])
}

// readBack is again, written and read; until then it must have been as s.
func readBack(t *testing.T, step int, s, again *State) *State {
	form := again.AppendTo(nil)
	if !bytes.Equal(form, s.AppendTo(nil)) {
		t.Fatalf("step %d: the state that was read back is another", step)
	}
	read, err := Read(form)
	if err != nil {
		t.Fatal(err)
	}
	return read
}

func hashOutput(h io.Writer, o *telemetry.Output) {
	fmt.Fprintf(h, "%s %s %d/%d %s\n", o.Topic, o.MN, o.Pos.Source, o.Pos.Ordinal, o.Value)
}

// A randomJournal makes the entries of a few devices from a seed: stretches of regular data, as most of a real journal is, and between
// them everything that goes wrong.
type randomJournal struct {
	r      *rand.Rand
	now    time.Time
	offset int64
	mns    []string
	from   map[string]time.Time // end of the minutes sent, by device
	minute map[string]int       // interval
	sent   [][]byte             // some frames, to be sent again
	out    []telemetry.Entry
}

var (
	equalCodes  = []string{"w01018", "w21003", "011", "060", "w01001", "a21026", "x9", "B01", "w00000", "a34013"}
	equalValues = []string{"0", "7.25", "40.1", "50", "50.000001", "61.9", "123.456", "0.0000004", "-3.5", "9200000000000", "-9199999999999.5", "99999.123456"}
)

func newRandomJournal(seed uint64) *randomJournal {
	j := &randomJournal{r: rand.New(rand.NewPCG(seed, 212)), now: t0, from: map[string]time.Time{}, minute: map[string]int{}}
	for i := range 4 {
		mn := fmt.Sprintf("EQ%022d", i)
		j.mns = append(j.mns, mn)
		j.from[mn] = t0
		j.register(mn)
	}
	j.rules()
	return j
}

// next is a step: at least one entry.
func (j *randomJournal) next() []telemetry.Entry {
	mn := j.mns[j.r.IntN(len(j.mns))]
	switch p := j.r.IntN(1000); {
	case p < 5:
		j.register(mn)
	case p < 9:
		j.rules()
	case p < 40:
		j.session(mn)
	case p < 90:
		j.packet(mn)
	case p < 110 && len(j.sent) > 0:
		f := j.sent[j.r.IntN(len(j.sent))]
		j.add(telemetry.KindFrame, string(f[:24]), f[24:])
	case p < 130:
		j.gap()
	case p < 260:
		j.odd(mn)
	case p < 560:
		j.instant(mn)
	default:
		j.regular(mn)
	}
	if len(j.out) == 0 || j.r.IntN(3) == 0 {
		j.now = j.now.Add(time.Duration(1+j.r.IntN(30_000)) * time.Millisecond)
		j.add(telemetry.KindTick, "", telemetry.AppendJSON(nil, telemetry.Tick{Time: j.now.Truncate(time.Millisecond)}))
	}
	out := j.out
	j.out = nil
	return out
}

func (j *randomJournal) add(k telemetry.Kind, mn string, v []byte) {
	e := telemetry.Entry{Offset: j.offset, Received: j.now.Truncate(time.Millisecond), Kind: k, MN: mn, Value: v}
	if k == telemetry.KindReject {
		e.Reason = "crc"
	}
	j.out = append(j.out, e)
	j.offset++
}

func (j *randomJournal) frame(mn, cn, extra string, at time.Time, cp string) {
	qn := fmt.Sprintf("%s%03d", hj212.AppendTime(nil, j.now), j.r.IntN(1000))
	if at != (time.Time{}) {
		cp = fmt.Sprintf("DataTime=%s;%s", hj212.AppendTime(nil, at), cp)
	}
	seg := fmt.Sprintf("QN=%s;ST=32;CN=%s;PW=123456;MN=%s;Flag=5;%sCP=&&%s&&", qn, cn, mn, extra, cp)
	f := hj212.AppendFrame(nil, []byte(seg))
	if j.r.IntN(20) == 0 {
		j.sent = append(j.sent, append([]byte(mn), f...))
	}
	j.add(telemetry.KindFrame, mn, f)
}

func (j *randomJournal) value() string {
	if j.r.IntN(12) == 0 {
		return equalValues[j.r.IntN(len(equalValues))]
	}
	return fmt.Sprintf("%d.%d", 35+j.r.IntN(20), j.r.IntN(100))
}

// groups is the CP of a record of a device's first factors.
func (j *randomJournal) groups(suffix string, n int) string {
	var cp []string
	for _, c := range equalCodes[:n] {
		switch j.r.IntN(60) {
		case 0:
			continue
		case 1:
			cp = append(cp, fmt.Sprintf("%s-%s=--,%s-Flag=N", c, suffix, c))
			continue
		case 2:
			cp = append(cp, fmt.Sprintf("%s-%s=%s,%s-Flag=D", c, suffix, j.value(), c))
			continue
		}
		g := fmt.Sprintf("%s-%s=%s,%s-Flag=N", c, suffix, j.value(), c)
		if suffix == "Avg" && j.r.IntN(4) > 0 {
			g = fmt.Sprintf("%s-Cou=%d,%s-Min=%s,%s,%s-Max=%s", c, j.r.IntN(900), c, j.value(), g, c, j.value())
		}
		if suffix == "Avg" && j.r.IntN(9) == 0 {
			g += fmt.Sprintf(",%s-ZsAvg=%s", c, j.value())
		}
		cp = append(cp, g)
	}
	return strings.Join(cp, ";")
}

// regular sends the next minutes of a device up to now or more of them at once, as a logger does that was cut off.
func (j *randomJournal) regular(mn string) {
	step := time.Duration(max(j.minute[mn], 1)) * time.Minute
	if j.r.IntN(4) == 0 {
		j.now = j.now.Add(time.Duration(j.r.IntN(90)) * time.Second)
		j.add(telemetry.KindTick, "", telemetry.AppendJSON(nil, telemetry.Tick{Time: j.now.Truncate(time.Millisecond)}))
	}
	for range 1 + j.r.IntN(10) {
		at := j.from[mn]
		if at.Add(step).After(j.now.Add(time.Minute)) {
			return
		}
		if j.now.Sub(at) > 5*time.Hour && j.r.IntN(10) == 0 {
			at = j.now.Add(-time.Duration(j.r.IntN(100)) * time.Minute).Truncate(step)
		}
		j.from[mn] = at.Add(step)
		if j.r.IntN(25) > 0 {
			j.frame(mn, "2051", "", at, j.groups("Avg", 2+len(mn)%3+int(mn[23]-'0')*2))
		}
	}
}

func (j *randomJournal) instant(mn string) {
	at := j.now.Add(-time.Duration(j.r.IntN(200)) * time.Second)
	j.frame(mn, "2011", "", at, j.groups("Rtd", 2+int(mn[23]-'0')*2))
}

// odd sends records of any time: back-fill, repetitions with the same or other values, the future, the device's own hours and days.
func (j *randomJournal) odd(mn string) {
	minutes := [][2]int{{-130, 0}, {-70, 70}, {-300, 0}, {-1600, 0}, {-4400, 20}}[j.r.IntN(5)]
	at := j.now.Add(time.Duration(minutes[0]+j.r.IntN(minutes[1]-minutes[0])) * time.Minute)
	if j.r.IntN(3) > 0 {
		at = at.Truncate(time.Minute)
	}
	switch j.r.IntN(8) {
	case 0:
		j.frame(mn, "2061", "", at.Truncate(time.Hour), j.groups("Avg", 3))
	case 1:
		j.frame(mn, "2031", "", at, j.groups("Avg", 2))
	case 2:
		j.frame(mn, "9015", "", at, "x=1")
	case 3:
		for i := range 20 {
			j.frame(mn, "2051", "", at.Add(-time.Duration(i)*time.Minute), j.groups("Avg", 4))
		}
	case 4:
		v := equalValues[j.r.IntN(len(equalValues))]
		for range 3 {
			j.frame(mn, "2051", "", at, fmt.Sprintf("w01018-Avg=%s,w01018-Flag=N;w21003-Avg=%s", v, j.value()))
		}
	default:
		j.frame(mn, "2051", "", at, j.groups("Avg", 1+j.r.IntN(6)))
	}
}

func (j *randomJournal) packet(mn string) {
	set := j.now.Add(-time.Duration(j.r.IntN(4)) * time.Minute).Truncate(time.Minute)
	extra := fmt.Sprintf("PNUM=3;PNO=%d;", 1+j.r.IntN(3))
	at := set
	if j.r.IntN(2) == 0 {
		at = time.Time{}
	}
	seg := fmt.Sprintf("QN=%s000;ST=32;CN=2051;MN=%s;Flag=7;%sCP=&&", hj212.AppendTime(nil, set), mn, extra)
	if at != (time.Time{}) {
		seg += fmt.Sprintf("DataTime=%s;", hj212.AppendTime(nil, at))
	}
	j.add(telemetry.KindFrame, mn, hj212.AppendFrame(nil, []byte(seg+j.groups("Avg", 3)+"&&")))
}

// gap lets time pass without data.
func (j *randomJournal) gap() {
	d := []time.Duration{70 * time.Second, 10 * time.Minute, 2 * time.Hour, 26 * time.Hour, 80 * time.Hour}[min(j.r.IntN(7), 4)]
	if j.r.IntN(12) == 0 {
		d = 37 * 24 * time.Hour
	}
	j.now = j.now.Add(d)
	if j.r.IntN(3) > 0 {
		j.add(telemetry.KindTick, "", telemetry.AppendJSON(nil, telemetry.Tick{Time: j.now.Truncate(time.Millisecond)}))
	}
}

func (j *randomJournal) session(mn string) {
	switch j.r.IntN(6) {
	case 0:
		j.add(telemetry.KindSession, mn, telemetry.AppendJSON(nil, &telemetry.Session{MN: mn, Event: "second", Peer: "b", Other: "a"}))
	case 1:
		j.add(telemetry.KindOutcome, mn, telemetry.AppendJSON(nil, &telemetry.Outcome{ID: "c", MN: mn, CN: "1012", Step: telemetry.StepExpired}))
	case 2:
		j.add(telemetry.KindFrame, mn, []byte("##zz"))
	case 3:
		j.frame(fmt.Sprintf("ST%022d", j.r.IntN(3)), "2051", "", j.now, "w01018-Avg=1")
	case 4:
		v := "1"
		if j.r.IntN(2) == 0 {
			v = "2026"
		}
		j.frame(mn, "2011", "", time.Time{}, "DataTime="+v+";w01018-Rtd=1")
	default:
		j.add(telemetry.KindReject, mn, []byte("##zz"))
	}
}

func (j *randomJournal) register(mn string) {
	d := telemetry.Device{MN: mn, PW: "123456", Outlet: "W " + mn[22:], OutletName: "一号", Enterprise: "厂", Region: "贵州/贵阳", Medium: "water",
		MinuteInterval: []int{1, 1, 1, 1, 5, 10}[j.r.IntN(6)], OfflineAfter: 120 + j.r.IntN(3)*600, PeriodEnd: j.r.IntN(6) == 0, Removed: j.offset > 9 && j.r.IntN(8) == 0}
	if j.r.IntN(4) == 0 {
		d.Scales = []telemetry.Scale{{Factor: "w01018", Exp: -1}, {Factor: "B01", Exp: 2}}
	}
	j.minute[mn] = d.MinuteInterval
	j.add(telemetry.KindRegistry, mn, telemetry.AppendJSON(nil, &d))
}

func (j *randomJournal) rules() {
	var list []rules.Rule
	for i, stat := range telemetry.Statistics() {
		for _, factor := range []string{"w01018", "w21003", "w01001"} {
			if j.r.IntN(5) == 0 {
				continue
			}
			r := rules.Rule{ID: fmt.Sprintf("%s-%s", strings.ReplaceAll(string(stat), "_", "-"), factor), Title: "t", Basis: "b", Factor: factor, Unit: "mg/L",
				Statistic: stat, High: high(telemetry.Fixed(44+i+j.r.IntN(3)) * telemetry.FixedOne), RaiseAfter: 1 + j.r.IntN(3), ClearAfter: 1 + j.r.IntN(2),
				ClearBelow: 950_000, MinValid: []telemetry.Fixed{1, 20_000, 750_000}[j.r.IntN(3)]}
			if j.r.IntN(2) == 0 {
				r.EarlyWarning = 900_000
			}
			if factor == "w01001" {
				r.Low, r.ClearBelow = high(36_000_000), telemetry.FixedOne
			}
			list = append(list, r)
		}
	}
	if len(list) == 0 {
		return
	}
	rs, err := rules.NewRuleSet("equal", 1+j.r.IntN(3), list)
	if err != nil {
		panic(err)
	}
	j.add(telemetry.KindRules, "", rs.AppendJSON(nil))
}
