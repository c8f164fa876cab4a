package broker

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"outfall/telemetry"
)

// TestMain makes the test program, given a directory in the environment, a process that runs a broker there until it is killed.
func TestMain(m *testing.M) {
	dir := os.Getenv("BROKER_TEST_DIR")
	if dir == "" {
		os.Exit(m.Run())
	}
	if _, err := StartEmbedded(dir, DefaultConfig()); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("ready")
	select {}
}

// TestEmbeddedSurvivesKill: what was acknowledged is there after a kill, and the dead process holds nothing.
func TestEmbeddedSurvivesKill(t *testing.T) {
	dir := tempDir(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "BROKER_TEST_DIR="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := func() { cmd.Process.Kill(); cmd.Wait() }
	defer kill()
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the broker's process says %q, %v", line, err)
	}
	_, err = StartEmbedded(dir, DefaultConfig())
	if want := fmt.Sprintf("process %d", cmd.Process.Pid); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("second start: %v, want it to name %s", err, want)
	}
	produce(t, Dial(DefaultConfig(), dir+"/kafka.sock"), telemetry.TopicJournal, 2, "a", "b", "c")
	kill()
	e := start(t, dir, DefaultConfig())
	if got := readAll(t, e.Cluster(), telemetry.TopicJournal); fmt.Sprint(got) != "map[2:[a b c]]" {
		t.Errorf("after the kill: %v", got)
	}
}
