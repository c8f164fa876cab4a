package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// maxLogBytes is where the log file of a data directory is turned over; one older file is kept.
const maxLogBytes = 16 << 20

// A logFile is DIR/log/outfall.log. It is bounded: when it is full it becomes outfall.log.1 in place of the one before.
type logFile struct {
	path string

	mu   sync.Mutex // guards the two below
	file *os.File
	size int64
}

func openLogFile(dir string) (*logFile, error) {
	if err := os.MkdirAll(filepath.Join(dir, "log"), 0o755); err != nil {
		return nil, fmt.Errorf("log folder: %w", err)
	}
	l := &logFile{path: filepath.Join(dir, "log", "outfall.log")}
	return l, l.open()
}

func (l *logFile) open() error {
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("log file: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("log file: %w", err)
	}
	l.file, l.size = f, info.Size()
	return nil
}

// Write appends one line of the log.
func (l *logFile) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size > 0 && l.size+int64(len(b)) > maxLogBytes {
		l.file.Close()
		if err := os.Rename(l.path, l.path+".1"); err != nil {
			return 0, err
		}
		if err := l.open(); err != nil {
			return 0, err
		}
	}
	n, err := l.file.Write(b)
	l.size += int64(n)
	return n, err
}

func (l *logFile) Close() error { return l.file.Close() }
