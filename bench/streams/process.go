package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"outfall/bench/machine"
)

// stayOn binds every thread of this program to a core; threads to come inherit it.
func stayOn(core int) error {
	var one unix.CPUSet
	one.Set(core)
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range tasks {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(tid, &one); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("bind thread %d to core %d: %w", tid, core, err)
		}
	}
	return nil
}

// start starts a contestant on its core.
func (b *bench) start(args []string, log string) (*machine.Process, error) {
	return machine.Start(log, []string{"GOMAXPROCS=1"}, append([]string{"taskset", "-c", strconv.Itoa(b.core)}, args...)...)
}
