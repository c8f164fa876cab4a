package sim

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

var (
	seedFlag  = flag.Int64("seed", -1, "run this one seed and print its schedule")
	seedsFlag = flag.Int("seeds", defaultSeeds, "how many seeds to run")
	firstFlag = flag.Int64("first", 1, "the first of them")
	logFlag   = flag.Bool("log", false, "show what the processes log")
)

const defaultSeeds = 50

// maxReal bounds one seed in real time: something that waits where virtual time cannot reach it would wait for ever.
const maxReal = 10 * time.Minute

// maxVirtual bounds it in virtual time, above the bounds of all that it waits for.
const maxVirtual = time.Hour

// totals sum up the seeds.
type totals struct {
	mu     sync.Mutex // guards the rest
	seeds  int
	sum    figures
	faults map[string]int
}

func (t *totals) add(f figures, faults map[string]int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seeds++
	t.sum.frames += f.frames
	t.sum.entries += f.entries
	t.sum.outputs += f.outputs
	t.sum.duplicates += f.duplicates
	for k, n := range faults {
		t.faults[k] += n
	}
}

func (t *totals) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d seeds: %d frames acknowledged, %d journal entries, %d outputs, %d more dropped by position\nfaults:", t.seeds, t.sum.frames, t.sum.entries, t.sum.outputs, t.sum.duplicates)
	for _, k := range slices.Sorted(maps.Keys(t.faults)) {
		fmt.Fprintf(&b, " %s %d,", k, t.faults[k])
	}
	return strings.TrimSuffix(b.String(), ",")
}

// Whatever a seed does to the installation, the invariants hold.
func TestSeeds(t *testing.T) {
	if !strings.Contains(built("-tags"), "synctests") {
		rerun(t)
		return
	}
	first, last := *firstFlag, *firstFlag+int64(*seedsFlag)-1
	if *seedFlag >= 0 {
		first, last = *seedFlag, *seedFlag
	}
	sum := &totals{faults: map[string]int{}}
	t.Run("all", func(t *testing.T) {
		for seed := first; seed <= last; seed++ {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				runSeed(t, uint64(seed), sum)
			})
		}
	})
	t.Log(sum)
}

// built is a setting that the test binary was built with.
func built(key string) string {
	info, _ := debug.ReadBuildInfo()
	for _, s := range info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}

// rerun runs this test again in a binary of which franz-go's locks are channels, see the package's comment.
func rerun(t *testing.T) {
	args := []string{"test", "-tags", "synctests", "-count", "1", "-run", "^" + t.Name() + "$", "."}
	if built("-race") == "true" {
		args = append(args, "-race", "-seeds", "10") // ten times slower
	}
	if end, ok := t.Deadline(); ok {
		args = append(args, "-timeout", time.Until(end).String())
	}
	if testing.Verbose() {
		args = append(args, "-v")
	}
	flag.Visit(func(f *flag.Flag) {
		if !strings.HasPrefix(f.Name, "test.") {
			args = append(args, "-"+f.Name+"="+f.Value.String())
		}
	})
	cmd := exec.CommandContext(t.Context(), "go", args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if err != nil || testing.Verbose() {
		t.Logf("go %s\n%s", strings.Join(args, " "), &out)
	}
	if err != nil {
		t.Errorf("%v", err)
	}
}

func runSeed(t *testing.T, seed uint64, sum *totals) {
	p := newPlan(seed)
	if *seedFlag >= 0 {
		t.Log(p)
	}
	stuck := func() {
		buf := make([]byte, 16<<20)
		panic(fmt.Sprintf("seed %d does not come to an end\n%s\n%s", seed, p, buf[:runtime.Stack(buf, true)]))
	}
	watchdog := time.AfterFunc(maxReal, stuck)
	defer watchdog.Stop()
	synctest.Test(t, func(t *testing.T) {
		guard := time.AfterFunc(maxVirtual, stuck)
		defer guard.Stop()
		log := zerolog.Nop()
		if *logFlag {
			log = zerolog.New(os.Stderr).Hook(clock{})
		}
		w, err := newWorld(p, log)
		if err != nil {
			t.Fatal(err)
		}
		w.run()
		sum.add(w.check(), w.faults)
		w.close()
		if len(w.problems) > 0 {
			t.Errorf("%s\nagain: go test ./internal/sim -run TestSeeds -seed %d\n%s", strings.Join(w.problems, "\n"), seed, p)
		}
	})
}

// clock stamps log lines with virtual time.
type clock struct{}

// Run implements zerolog.Hook.
func (clock) Run(e *zerolog.Event, _ zerolog.Level, _ string) {
	e.Str("at", time.Now().UTC().Format("15:04:05.000"))
}
