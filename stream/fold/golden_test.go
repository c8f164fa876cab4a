package fold

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	digest "hash"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"outfall/ingest/hj212"
	"outfall/rules"
	"outfall/telemetry"
	"outfall/testdata"
)

var update = flag.Bool("update", false, "write the digests of testdata/golden.sha256 anew")

// goldenFiles are the digests by algorithm, the first's first.
var goldenFiles = []string{"testdata/golden.sha256", "testdata/golden2.sha256"}

// What is published must be the same on every machine: the fold of a fixed journal has fixed digests, whatever the architecture, however
// many threads fold its partitions, and wherever snapshots cut it. A change of these digests changes published results; replays of
// what was published before then differ.
func TestGolden(t *testing.T) {
	var journals [][]telemetry.Entry
	for p := range goldenPartitions {
		journals = append(journals, goldenJournal(t, p))
	}
	for i, file := range goldenFiles {
		goldenOf(t, journals, i+1, file)
	}
}

func goldenOf(t *testing.T, journals [][]telemetry.Entry, algorithm int, file string) {
	if *update {
		if err := os.WriteFile(file, []byte(goldenDigests(t, journals, algorithm, 0)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, threads := range []int{1, 2, 8} {
		for _, snapshotEvery := range []int{0, 1009} { // entries; 0: none
			t.Run(fmt.Sprintf("algorithm=%d/threads=%d/snapshots=%d", algorithm, threads, snapshotEvery), func(t *testing.T) {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(threads))
				if got := goldenDigests(t, journals, algorithm, snapshotEvery); got != string(want) {
					t.Errorf("digests on %s:\n%swant\n%s", runtime.GOARCH, got, want)
				}
			})
		}
	}
}

// goldenDigests folds the journals side by side and lists, for each partition and output topic, the digest and the number of its outputs.
func goldenDigests(t *testing.T, journals [][]telemetry.Entry, algorithm, snapshotEvery int) string {
	lists := make([]string, len(journals))
	var folding sync.WaitGroup
	for p, entries := range journals {
		folding.Go(func() {
			st := New(int32(p))
			st.algorithm = algorithm
			sums, counts := map[telemetry.Topic]digest.Hash{}, map[telemetry.Topic]int{}
			for _, topic := range telemetry.OutputTopics() {
				sums[topic] = sha256.New()
			}
			for i := range entries {
				if snapshotEvery > 0 && i%snapshotEvery == snapshotEvery-1 {
					again, err := Read(st.AppendTo(nil))
					if err != nil {
						t.Errorf("partition %d, entry %d: %v", p, i, err)
						return
					}
					st = again
				}
				st.Apply(&entries[i], func(o telemetry.Output) {
					fmt.Fprintf(sums[o.Topic], "%d %d %s %d\n", o.Pos.Source, o.Pos.Ordinal, o.MN, len(o.Value))
					sums[o.Topic].Write(o.Value)
					counts[o.Topic]++
				})
			}
			for _, topic := range telemetry.OutputTopics() {
				lists[p] += fmt.Sprintf("%d %s %x %d\n", p, topic, sums[topic].Sum(nil), counts[topic])
			}
		})
	}
	folding.Wait()
	return strings.Join(lists, "")
}

const (
	goldenPartitions = 2
	goldenDevices    = 6   // of a partition; the first reports every five minutes, the second by real-time values alone
	goldenMinutes    = 100 // of the quick part; a day and a half follows by the hour
)

// A goldenScript writes a journal. Its numbers come from a generator of its own: no other's may change.
type goldenScript struct {
	t       *testing.T
	seed    uint64
	now     time.Time
	entries []telemetry.Entry
	frames  [][]byte // sent so far by the device at hand, to send again
}

// below is SplitMix64, reduced to [0, n).
func (g *goldenScript) below(n int) int {
	g.seed += 0x9e3779b97f4a7c15
	z := g.seed
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return int((z ^ z>>31) % uint64(n))
}

func (g *goldenScript) add(k telemetry.Kind, mn string, value []byte) {
	e := telemetry.Entry{Offset: int64(len(g.entries)), Received: g.now, Kind: k, MN: mn, Value: value}
	if k == telemetry.KindReject {
		e.Reason = "crc"
	}
	g.entries = append(g.entries, e)
}

func (g *goldenScript) tick() {
	g.add(telemetry.KindTick, "", telemetry.AppendJSON(nil, telemetry.Tick{Time: g.now}))
}

func (g *goldenScript) rules(version int, limit telemetry.Fixed) {
	var list []rules.Rule
	for _, stat := range telemetry.Statistics() {
		list = append(list, rules.Rule{ID: "cod-" + strings.ReplaceAll(string(stat), "_", "-"), Title: "COD", Basis: "GB 18918-2002 表1", Factor: "w01018", Statistic: stat,
			High: high(limit), Unit: "mg/L", EarlyWarning: 900_000, RaiseAfter: 2, ClearAfter: 2, ClearBelow: 950_000, MinValid: 500_000})
	}
	list = append(list, rules.Rule{ID: "ph", Title: "pH", Basis: "GB 8978-1996", Factor: "w01001", Statistic: telemetry.StatMinute, Low: high(6_000_000),
		High: high(9_000_000), Unit: "pH", RaiseAfter: 1, ClearAfter: 1, ClearBelow: telemetry.FixedOne, MinValid: 1})
	rs, err := rules.NewRuleSet("golden", version, list)
	if err != nil {
		g.t.Fatal(err)
	}
	g.add(telemetry.KindRules, "", rs.AppendJSON(nil))
}

func goldenDevice(partition, i int) telemetry.Device {
	d := telemetry.Device{MN: fmt.Sprintf("GOLD%02d%018d", partition, i), Outlet: fmt.Sprintf("W%d-%d", partition, i), OutletName: "总排口", Enterprise: "某厂",
		Region: "贵州省/贵阳市", Medium: "water", MinuteInterval: 1, RealtimeInterval: 30, OfflineAfter: 600}
	switch i {
	case 0:
		d.MinuteInterval = 5
	case 2:
		d.Scales = []telemetry.Scale{{Factor: "w21003", Exp: -3}}
	case 3:
		d.PeriodEnd = true
	}
	return d
}

// goldenJournal is one partition's journal: registry, rules and their changes, data in and out of order, doubled, late, damaged and in
// packets, silences, and the captured frames of testdata.
func goldenJournal(t *testing.T, partition int) []telemetry.Entry {
	g := &goldenScript{t: t, seed: uint64(partition), now: t0.Add(-7 * time.Hour)}
	g.tick()
	g.rules(1, 50_000_000)
	for i := range goldenDevices {
		d := goldenDevice(partition, i)
		g.add(telemetry.KindRegistry, d.MN, telemetry.AppendJSON(nil, &d))
	}
	for minute := range goldenMinutes {
		for i := range goldenDevices {
			g.minute(partition, i, minute)
		}
		for range 6 {
			g.now = g.now.Add(10 * time.Second)
			g.tick()
		}
		switch minute {
		case goldenMinutes / 2:
			g.rules(2, 45_000_000)
		case goldenMinutes / 3:
			d := goldenDevice(partition, 4)
			d.MinuteInterval, d.Region = 2, "贵州省/遵义市"
			g.add(telemetry.KindRegistry, d.MN, telemetry.AppendJSON(nil, &d))
		}
	}
	g.captured()
	for range 36 {
		g.now = g.now.Add(time.Hour)
		for i := range goldenDevices {
			g.record(goldenDevice(partition, i).MN, g.now.Add(-time.Duration(g.below(80))*time.Hour).Truncate(time.Minute))
		}
		g.tick()
	}
	return g.entries
}

// minute is what one device does in one minute.
func (g *goldenScript) minute(partition, i, minute int) {
	mn := goldenDevice(partition, i).MN
	if i == 5 && minute%90 > 70 { // silent, and back with what it kept
		if minute%90 == 89 {
			for late := 19; late > 0; late-- {
				g.record(mn, g.now.Add(-time.Duration(late)*time.Minute).Truncate(time.Minute))
			}
		}
		return
	}
	for half := range 2 {
		at := g.now.Truncate(time.Minute).Add(time.Duration(half*30) * time.Second)
		g.frame(mn, "2011", at, fmt.Sprintf("w01018-Rtd=%d.%d,w01018-Flag=%s;w00000-Rtd=%d.%03d,w00000-Flag=N;w01001-Rtd=%d.%d",
			30+g.below(30), g.below(10), []string{"N", "N", "N", "D", "T"}[g.below(5)], g.below(90), g.below(1000), 5+g.below(5), g.below(10)))
	}
	switch {
	case i == 1, i == 0 && minute%5 != 0:
	case i == 4 && g.below(3) == 0:
		g.packets(mn, g.now.Truncate(time.Minute).Add(-2*time.Minute))
	default:
		g.record(mn, g.now.Truncate(time.Minute).Add(-5*time.Minute))
	}
	switch g.below(60) {
	case 0:
		g.add(telemetry.KindReject, mn, []byte("##0012garbage"))
	case 1:
		g.add(telemetry.KindSession, mn, telemetry.AppendJSON(nil, &telemetry.Session{MN: mn, Event: "second", Peer: "192.0.2.7:9", Other: "192.0.2.8:9"}))
	case 2:
		g.add(telemetry.KindOutcome, mn, telemetry.AppendJSON(nil, &telemetry.Outcome{ID: "c", MN: mn, CN: "1012", Step: telemetry.StepExpired}))
	case 3: // the newest frame again
		g.add(telemetry.KindFrame, mn, g.frames[len(g.frames)-1])
	case 4: // an old one again
		g.add(telemetry.KindFrame, g.entries[len(g.entries)-1].MN, g.frames[g.below(len(g.frames))])
	case 5: // the clock of the device is wrong
		g.record(mn, g.now.Add(time.Duration(g.below(60)-20)*time.Hour).Truncate(time.Minute))
	case 6: // the device's own hour and day
		g.frame(mn, "2061", g.now.Truncate(time.Hour), fmt.Sprintf("w01018-Avg=%d.5,w01018-Min=1,w01018-Max=99,w01018-Cou=%d", g.below(60), g.below(9999)))
		g.frame(mn, "2031", g.now.Truncate(time.Hour), fmt.Sprintf("w01018-Avg=%d.25,w01018-Flag=N", g.below(60)))
	}
}

// record sends a minute record: ordinary, marked invalid, of codes of 2005 or of none, with values that are no numbers.
func (g *goldenScript) record(mn string, at time.Time) {
	v := g.below(4000)
	cp := fmt.Sprintf("w01018-Min=%d.%d,w01018-Avg=%d.%02d,w01018-Max=%d,w01018-Flag=N", 20+v%30, v%10, 25+v%35, v%100, 60+v%30)
	cp += fmt.Sprintf(";w21003-Avg=%d.%03d,w21003-Cou=%d.1;w00000-Avg=%d.7,w00000-Cou=%d", v%40, v%1000, v, v%90, v*60)
	switch v % 16 {
	case 0:
		cp = strings.ReplaceAll(cp, "Flag=N", "Flag=D")
	case 1:
		cp += ";011-Avg=12.5;x-odd-Avg=1;w01009-Avg=--"
	case 2:
		cp += fmt.Sprintf(";w01001-Avg=%d.%d", 5+v%6, v%10)
	}
	g.frame(mn, "2051", at, cp)
}

func (g *goldenScript) frame(mn, cn string, at time.Time, cp string) {
	g.send(mn, fmt.Sprintf("QN=%s;ST=32;CN=%s;PW=123456;MN=%s;Flag=5;CP=&&DataTime=%s;%s&&", hj212.AppendQN(nil, g.now.Add(time.Duration(g.below(1000))*time.Millisecond)),
		cn, mn, hj212.AppendTime(nil, at), cp))
}

func (g *goldenScript) send(mn, segment string) {
	b := hj212.AppendFrame(nil, []byte(segment))
	g.frames = append(g.frames, b)
	g.add(telemetry.KindFrame, mn, b)
}

// packets sends a minute record in two packets, the second one without a time; one in five does not come.
func (g *goldenScript) packets(mn string, at time.Time) {
	for pno, cp := range []string{fmt.Sprintf("DataTime=%s;w01018-Avg=%d.1", hj212.AppendTime(nil, at), 20+g.below(50)), fmt.Sprintf("w21003-Avg=%d.9", g.below(9))} {
		if pno == 0 || g.below(5) > 0 {
			g.send(mn, fmt.Sprintf("QN=%s;ST=32;CN=2051;PW=123456;MN=%s;Flag=7;PNUM=2;PNO=%d;CP=&&%s&&", hj212.AppendQN(nil, g.now), mn, pno+1, cp))
		}
	}
}

// captured plays the corpus, each frame twice: with its own time, which is long past, and under a registered device's MN with the
// journal's.
func (g *goldenScript) captured() {
	frames, err := testdata.Frames()
	if err != nil {
		g.t.Fatal(err)
	}
	for _, f := range frames {
		mn := "stranger"
		_, rest, ok := bytes.Cut(f.Captured, []byte("MN="))
		if own, _, found := bytes.Cut(rest, []byte(";")); ok && found && telemetry.ValidMN(string(own)) {
			mn = string(own)
		}
		g.add(telemetry.KindFrame, mn, f.Wire())
		d := telemetry.Device{MN: mn, Outlet: "C", Medium: "gas", MinuteInterval: 1, OfflineAfter: 3600}
		g.add(telemetry.KindRegistry, mn, telemetry.AppendJSON(nil, &d))
		g.add(telemetry.KindFrame, mn, withTime(f.Wire(), g.now))
		g.tick()
		g.now = g.now.Add(time.Minute)
	}
}

// withTime replaces the frame's DataTimes; the journal is not asked for a CRC again.
func withTime(frame []byte, at time.Time) []byte {
	key := []byte("DataTime=")
	out := bytes.Clone(frame)
	for i := 0; ; {
		next := bytes.Index(out[i:], key)
		if next < 0 || i+next+len(key)+14 > len(out) {
			return out
		}
		i += next + len(key)
		copy(out[i:], hj212.AppendTime(nil, at))
	}
}
