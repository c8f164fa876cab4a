package broker

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"outfall/telemetry"
)

// TestMain makes the test program, given a directory in the environment, a process that runs a broker there until it is killed. Given
// a step of the archiving too, it has the small journal, archives without a pause, and kills itself at that step.
func TestMain(m *testing.M) {
	dir, step := os.Getenv("BROKER_TEST_DIR"), os.Getenv("BROKER_TEST_STEP")
	if dir == "" {
		os.Exit(m.Run())
	}
	conf := DefaultConfig()
	if step != "" {
		conf = smallConfig()
	}
	e, err := StartEmbedded(dir, conf)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	die := func(at string) {
		if at == step {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // until the signal is there
		}
	}
	sync, drop := e.archiver.sync, e.archiver.drop
	e.archiver.sync = func() error {
		die("archived")
		return sync()
	}
	e.archiver.drop = func(partition int32, before int64) error {
		die("synced")
		err := drop(partition, before)
		die("dropped")
		return err
	}
	fmt.Println("ready")
	for step != "" {
		if err := e.Trim(context.Background()); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	select {}
}

// child starts the process of TestMain and returns when its broker is ready. dead is done when it has ended, by kill or by itself.
func child(t testing.TB, dir, step string) (pid int, dead context.Context, kill func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "BROKER_TEST_DIR="+dir, "BROKER_TEST_STEP="+step)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	dead, cancel := context.WithCancel(context.Background())
	go func() { cmd.Wait(); cancel() }()
	kill = func() { cmd.Process.Kill(); <-dead.Done() }
	if line != "ready\n" {
		kill()
		t.Fatalf("the broker's process says %q, %v", line, err)
	}
	return cmd.Process.Pid, dead, kill
}

// TestArchiveSurvivesKill: killed between any two steps of the archiving, or at any other moment, archive and log together still hold
// all that was acknowledged, each entry once.
func TestArchiveSurvivesKill(t *testing.T) {
	dir, seed := tempDir(t), rand.Uint64()
	t.Logf("seed %d", seed)
	c := Dial(smallConfig(), dir+"/kafka.sock")
	l := newLedger(c, seed)
	steps := []string{"archived", "any", "synced", "any", "dropped", "any", "archived", "any", "any", "synced"}
	if testing.Short() {
		steps = steps[:5]
	}
	for i, step := range steps {
		_, dead, kill := child(t, dir, step)
		if step == "any" {
			timer := time.AfterFunc(time.Duration(l.rnd.IntN(600))*time.Millisecond, kill)
			defer timer.Stop()
		}
		for dead.Err() == nil {
			_ = l.produce(dead, c, l.rnd.Int32N(3), 200, 1000) // what was not acknowledged may be lost
		}
		if i%2 == 1 { // else the next process finds what this one left
			e := start(t, dir, smallConfig())
			l.whole(t, c)
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	e := start(t, dir, smallConfig())
	l.whole(t, e.Cluster())
	// How far the killed processes came depends on the machine. The archiving goes on where they ended, on every partition.
	before := make([]int, 3)
	for p := range int32(3) {
		before[p] = len(files(t, e.Cluster(), p))
		for range 3 {
			if err := l.produce(t.Context(), e.Cluster(), p, 1000, 1000); err != nil {
				t.Fatal(err)
			}
			if err := e.Trim(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(files(t, e.Cluster(), p)); n <= before[p] {
			t.Errorf("partition %d: %d archive files, %d more after 3 MB", p, n, n-before[p])
		}
	}
	t.Logf("archive files left by the killed processes: %d", before)
	l.whole(t, e.Cluster())
}

// TestEmbeddedSurvivesKill: what was acknowledged is there after a kill, and the dead process holds nothing.
func TestEmbeddedSurvivesKill(t *testing.T) {
	dir := tempDir(t)
	pid, _, kill := child(t, dir, "")
	defer kill()
	_, err := StartEmbedded(dir, DefaultConfig())
	if want := fmt.Sprintf("process %d", pid); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("second start: %v, want it to name %s", err, want)
	}
	produce(t, Dial(DefaultConfig(), dir+"/kafka.sock"), telemetry.TopicJournal, 2, "a", "b", "c")
	kill()
	e := start(t, dir, DefaultConfig())
	if got := readAll(t, e.Cluster(), telemetry.TopicJournal); fmt.Sprint(got) != "map[2:[a b c]]" {
		t.Errorf("after the kill: %v", got)
	}
}
