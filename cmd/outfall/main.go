// Command outfall is the one binary of the project: it terminates the connections of HJ 212 data loggers, keeps every frame in
// the journal, computes means, alarms and integrity findings from it, and reads and checks all of that from the command line.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(execute()) }

// execute runs the command line under a context that SIGINT or SIGTERM ends; a second signal leaves at once.
func execute() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go leaveOnSecondSignal(ctx)
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ()}
	err := newRoot(a).ExecuteContext(ctx)
	code := exitCode(err, a.started)
	if text := complaint(err, code); text != "" {
		fmt.Fprintf(os.Stderr, "outfall: %s\n", text)
	}
	return code
}

// leaveOnSecondSignal waits for the first signal (the end of ctx) and then for another, which does not wait for the drain.
func leaveOnSecondSignal(ctx context.Context) {
	<-ctx.Done()
	again, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	<-again.Done()
	os.Exit(exitInterrupted)
}
