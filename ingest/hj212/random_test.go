package hj212

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// equalities are what TestRandom checks, each on inputs of its own kind. share is how many of twenty executions it has.
var equalities = [...]struct {
	name  string
	share uint64
	input func(m *mutator, seed uint64) []byte
	check func(c *checker, data []byte, seed uint64) error
}{
	{"cut", 4, streamOf, (*checker).cut},
	{"appendParse", 3, segmentOf, (*checker).appendParse},
	{"parse", 2, segmentOf, (*checker).parse},
	{"header", 2, segmentOf, (*checker).header},
	{"short", 2, streamOf, (*checker).short},
	{"crc", 2, func(m *mutator, _ uint64) []byte { return m.piece() }, (*checker).crc},
	{"decimal", 2, textOf, (*checker).decimal},
	{"time", 3, textOf, (*checker).time},
}

func streamOf(m *mutator, seed uint64) []byte { return m.stream(framerOf(seed)) }

func segmentOf(m *mutator, _ uint64) []byte { return m.segment() }

func textOf(m *mutator, _ uint64) []byte { return m.text() }

// A randomRun counts what its workers have done.
type randomRun struct {
	seed, executions uint64
	begin            time.Time
	next             atomic.Uint64 // first execution that no worker has taken
	done             [len(equalities)]atomic.Uint64
	frames           atomic.Uint64
	failed           atomic.Pointer[string]
}

const randomBlock = 1000 // executions that a worker takes at once

// work executes blocks until none is left or one execution of any worker has failed. Execution n is a function of the seed and n.
func (r *randomRun) work(m *mutator, pcg *rand.PCG) {
	var c checker
	for r.failed.Load() == nil {
		from := r.next.Add(randomBlock) - randomBlock
		if from >= r.executions {
			break
		}
		var done [len(equalities)]uint64
		for n := from; n < min(from+randomBlock, r.executions); n++ {
			pcg.Seed(r.seed, n)
			which := choose(n)
			e := &equalities[which]
			seed := m.rnd.Uint64()
			data := e.input(m, seed)
			if err := safely(&c, e.check, data, seed); err != nil {
				least := minimal(slices.Clone(data), func(d []byte) bool { return safely(&c, e.check, d, seed) != nil })
				text := fmt.Sprintf("%s: run's seed %d, execution %d, input's seed %d: %v\n input   %q\n minimal %q: %v",
					e.name, r.seed, n, seed, err, data, least, safely(&c, e.check, least, seed))
				r.failed.CompareAndSwap(nil, &text)
				break
			}
			done[which]++
		}
		for i, n := range done {
			r.done[i].Add(n)
		}
	}
	r.frames.Add(c.frames)
}

// choose is the equality of execution n.
func choose(n uint64) (which int) {
	for n %= 20; n >= equalities[which].share; which++ {
		n -= equalities[which].share
	}
	return which
}

// safely makes a panic an error, so that its input is shown too.
func safely(c *checker, check func(c *checker, data []byte, seed uint64) error, data []byte, seed uint64) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return check(c, data, seed)
}

// minimal takes out of data, which fails, all that it can do without.
func minimal(data []byte, fails func([]byte) bool) []byte {
	for size := len(data); size > 0; size /= 2 {
		for at := 0; at+size <= len(data); {
			if less := slices.Delete(slices.Clone(data), at, at+size); fails(less) {
				data = less
			} else {
				at++
			}
		}
	}
	return data
}

// String is the progress: executions, and those of each equality.
func (r *randomRun) String() string {
	var b strings.Builder
	total := uint64(0)
	for i := range r.done {
		n := r.done[i].Load()
		total += n
		fmt.Fprintf(&b, " %s %d", equalities[i].name, n)
	}
	took := time.Since(r.begin)
	return fmt.Sprintf("seed %d: %d executions in %v, %.0f a second:%s", r.seed, total, took.Round(time.Millisecond), float64(total)/took.Seconds(), b.String())
}

// TestRandom executes the equalities on mutated frames and segments, without the instrumentation of `go test -fuzz` and so many times as
// fast: OUTFALL_TEST_EXECUTIONS of them with the seed OUTFALL_TEST_SEED, on all cores. `make fuzz` has many; without the variables it is
// a short run that is always the same.
func TestRandom(t *testing.T) {
	r := randomRun{executions: variable(t, "OUTFALL_TEST_EXECUTIONS", 20_000), seed: variable(t, "OUTFALL_TEST_SEED", 212), begin: time.Now()}
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		pcg := rand.NewPCG(0, 0)
		m := newMutator(t, rand.New(pcg))
		workers.Go(func() { r.work(m, pcg) })
	}
	ended := make(chan struct{})
	go func() { workers.Wait(); close(ended) }()
	progress := time.NewTicker(10 * time.Second)
	defer progress.Stop()
	for running := true; running; {
		select {
		case <-progress.C:
			t.Log(&r)
		case <-ended:
			running = false
		}
	}
	t.Logf("%v; %d frames delivered", &r, r.frames.Load())
	if text := r.failed.Load(); text != nil {
		t.Fatal(*text)
	}
	if cuts := r.done[0].Load(); r.frames.Load() < cuts/2 {
		t.Errorf("%d frames in %d streams: the mutations leave too little whole to test much", r.frames.Load(), cuts)
	}
}

// variable is a number from the environment.
func variable(t *testing.T, name string, standard uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return standard
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 {
		t.Fatalf("%s=%q: want a number from 1 on", name, text)
	}
	return n
}

// TestMinimal: a failure is shown with what it takes and nothing else.
func TestMinimal(t *testing.T) {
	got := minimal([]byte("ST=32;CN=2011;CP=&&a-Rtd=1&&"), func(b []byte) bool {
		return strings.Contains(string(b), "CN") && strings.Contains(string(b), "&&")
	})
	if string(got) != "CN&&" {
		t.Errorf("%q, want CN&&", got)
	}
}
