package influx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// EmbeddedVersion is the version of the InfluxDB that `outfall run` brings with it.
const EmbeddedVersion = "1.8.10"

// Prepare returns the path of influxd EmbeddedVersion in the cache folder, and builds it there if it is missing: once, about a
// minute on two cores, with the go command and the Go module proxy. progress gets a line before anything that takes long. The
// folder is ${OUTFALL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/outfall}/influxd-1.8.10; calls at the same time build once.
func Prepare(ctx context.Context, progress func(string)) (bin string, err error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	final := filepath.Join(cache, "influxd-"+EmbeddedVersion)
	bin = filepath.Join(final, "influxd")
	if isFile(bin) {
		return bin, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("make the cache folder: %w", err)
	}
	unlock, err := lock(ctx, final+".lock", progress)
	if err != nil {
		return "", err
	}
	defer unlock()
	if isFile(bin) {
		return bin, nil
	}
	progress(fmt.Sprintf("building InfluxDB %s once into %s: about a minute", EmbeddedVersion, final))
	// Nobody else holds the lock, so what an interrupted build left behind is nobody's.
	scratch := final + ".tmp"
	if err := os.RemoveAll(scratch); err != nil {
		return "", fmt.Errorf("clear an interrupted build: %w", err)
	}
	if err := os.Mkdir(scratch, 0o755); err != nil {
		return "", fmt.Errorf("build InfluxDB: %w", err)
	}
	defer os.RemoveAll(scratch)
	if err := build(ctx, scratch); err != nil {
		return "", err
	}
	if err := os.RemoveAll(final); err != nil { // a folder without the program in it
		return "", fmt.Errorf("replace %s: %w", final, err)
	}
	if err := os.Rename(scratch, final); err != nil {
		return "", fmt.Errorf("put the built InfluxDB into place: %w", err)
	}
	return bin, nil
}

// build installs influxd into dir, which is outside every module, so that no go.mod and no flags meant for one apply.
func build(ctx context.Context, dir string) error {
	tool, err := exec.LookPath("go")
	if err != nil {
		return fmt.Errorf("build InfluxDB %s: the go command is needed once (https://go.dev/dl); or name a running InfluxDB by influx.url: %w", EmbeddedVersion, err)
	}
	cmd := exec.CommandContext(ctx, tool, "install", "-ldflags=-X main.version="+EmbeddedVersion,
		"github.com/influxdata/influxdb/cmd/influxd@v"+EmbeddedVersion)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PWD="+dir, "CGO_ENABLED=0", "GOBIN="+dir, "GOFLAGS=", "GOWORK=off", "GOOS=", "GOARCH=")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		const shown = 2000 // bytes from the end of the output
		text := strings.TrimSpace(out.String())
		text = text[max(0, len(text)-shown):]
		return fmt.Errorf("build InfluxDB %s (needs the Go module proxy once; or name a running InfluxDB by influx.url): %w\n%s", EmbeddedVersion, err, text)
	}
	return nil
}

// lock takes the file lock path, waiting for whoever has it.
func lock(ctx context.Context, path string, progress func(string)) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the cache folder: %w", err)
	}
	told := false
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil // closing it unlocks it
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if !told {
			progress("waiting for another process that builds InfluxDB " + EmbeddedVersion)
			told = true
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func cacheDir() (string, error) {
	if dir := os.Getenv("OUTFALL_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "outfall"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder: %w (set OUTFALL_CACHE)", err)
	}
	return filepath.Join(home, ".cache", "outfall"), nil
}

func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}
