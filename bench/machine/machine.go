// Package machine says on what a measuring program runs. What cannot be found out is left out: a report is better without it than not at all.
package machine

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Cores are the first two that this process may use: one for what is measured, one for the rest.
func Cores() (first, second int, err error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return 0, 0, fmt.Errorf("ask for the cores of this process: %w", err)
	}
	var found []int
	for i := 0; len(found) < 2 && i < 1024; i++ {
		if set.IsSet(i) {
			found = append(found, i)
		}
	}
	if len(found) < 2 {
		return 0, 0, errors.New("one core: what is measured and what loads it need one each")
	}
	return found[0], found[1], nil
}

// Available is the memory that programs can still have, in MiB; 0 if that cannot be found out.
func Available() float64 { return statusValue("/proc/meminfo", "MemAvailable:") }

// Processor is its name for people.
func Processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for l := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(l, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return runtime.GOARCH
}

// Kernel is its name and version, without what a distribution adds.
func Kernel() string {
	text, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	version, _, _ := strings.Cut(strings.TrimSpace(string(text)), "-")
	return "Linux " + version
}
