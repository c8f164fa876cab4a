package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// scriptExits is the script command "exits CODE PROGRAM ARG...": it runs the program and checks its exit code, standard output and
// error being shown in the log.
func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits code program arg...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%s: exit code %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

func TestExitCode(t *testing.T) {
	for _, c := range []struct {
		name    string
		err     error
		started bool
		want    int
	}{
		{"no error", nil, true, exitOK},
		{"error of a command", errors.New("x"), true, exitRuntime},
		{"error before a command began", errors.New("unknown flag"), false, exitUsage},
		{"usage error of a command", usagef("x"), true, exitUsage},
		{"check failed", checkFailed(), true, exitCheck},
		{"wrapped unreachable", fmt.Errorf("y: %w", unreachable(errors.New("x"))), true, exitUnreachable},
		{"interrupted", fmt.Errorf("follow: %w", context.Canceled), true, exitInterrupted},
	} {
		if got := exitCode(c.err, c.started); got != c.want {
			t.Errorf("%s: code %d, want %d", c.name, got, c.want)
		}
	}
}

// TestComplaint: who interrupts a command is not told of contexts.
func TestComplaint(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"no error", nil, ""},
		{"the command has said all", checkFailed(), ""},
		{"interrupted", fmt.Errorf("follow alarms: %w", context.Canceled), "interrupted"},
		{"error", errors.New("x"), "x"},
	} {
		if got := complaint(c.err, exitCode(c.err, true)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestExitCodesTopic pins the table that scripts rely on.
func TestExitCodesTopic(t *testing.T) {
	var b strings.Builder
	writeExitCodes(&b)
	for _, code := range []int{0, 1, 2, 3, 4, 5, 130} {
		if !strings.Contains(b.String(), fmt.Sprintf("\n  %3d  ", code)) {
			t.Errorf("the topic does not name code %d:\n%s", code, b.String())
		}
	}
}
