package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// Exit codes. Scripts rely on them: never renumber.
const (
	exitOK          = 0
	exitRuntime     = 1
	exitUsage       = 2
	exitCheck       = 3
	exitUnreachable = 4
	exitPartial     = 5
	exitInterrupted = 130
)

// exitCodes is the table of `outfall help exit-codes`.
var exitCodes = [...]struct {
	code    int
	meaning string
}{
	{exitOK, "ok"},
	{exitRuntime, "runtime error: the command was right, its execution was not possible"},
	{exitUsage, "wrong usage, or an invalid configuration, registry or rule file: nothing was started or changed"},
	{exitCheck, "a check found something: a refused frame, a difference, a fault in the environment"},
	{exitUnreachable, "Kafka, InfluxDB or the process of a data directory cannot be reached"},
	{exitPartial, "part of the work was done; the message says which"},
	{exitInterrupted, "interrupted by a signal before the work was complete"},
}

// A codedError carries the exit code that an error ends the process with. An empty text prints nothing: the command has said
// all on its own.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *codedError) Unwrap() error { return e.err }

func usagef(format string, a ...any) error { return &codedError{exitUsage, fmt.Errorf(format, a...)} }

func unreachable(err error) error { return &codedError{exitUnreachable, err} }

// checkFailed ends with code 3 after the command has printed what it found.
func checkFailed() error { return &codedError{code: exitCheck} }

// exitCode maps what a command returned to the code of the process. started is false when the command line itself was wrong, so
// that no command began.
func exitCode(err error, started bool) int {
	var coded *codedError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &coded):
		return coded.code
	case !started:
		return exitUsage
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitRuntime
}

// complaint is what standard error says about the end of a process; empty: nothing, the command has said all.
func complaint(err error, code int) string {
	switch {
	case err == nil:
		return ""
	case code == exitInterrupted:
		return "interrupted" // by whoever reads this: where it hit is of no use to them
	}
	return err.Error()
}

// newExitCodesTopic is a help topic: a command without an action.
func newExitCodesTopic() *cobra.Command {
	topic := &cobra.Command{Use: "exit-codes", Short: "What the exit codes mean"}
	topic.SetHelpFunc(func(cmd *cobra.Command, _ []string) { writeExitCodes(cmd.OutOrStdout()) })
	return topic
}

func writeExitCodes(w io.Writer) {
	fmt.Fprintln(w, "Every command ends with one of these codes:")
	fmt.Fprintln(w)
	for _, c := range exitCodes {
		fmt.Fprintf(w, "  %3d  %s\n", c.code, c.meaning)
	}
}
