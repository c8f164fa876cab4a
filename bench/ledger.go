package bench

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"sync"
)

// A Digest stands for one frame: the SHA-256 of its bytes on the wire.
type Digest [sha256.Size]byte

// DigestOf is frame's digest.
func DigestOf(frame []byte) Digest { return sha256.Sum256(frame) }

// A Ledger writes down which frames were acknowledged, one hexadecimal Digest a line, so that a test can look for every one of them
// in the journal after the host was killed. It keeps nothing in memory but a buffer.
type Ledger struct {
	mu  sync.Mutex // guards the three below
	w   *bufio.Writer
	n   int64
	err error
}

// NewLedger writes to w.
func NewLedger(w io.Writer) *Ledger { return &Ledger{w: bufio.NewWriter(w)} }

// Add records an acknowledged frame; it is a Config.OnAcked. Any goroutine may call it. A write error is kept for Flush.
func (l *Ledger) Add(frame []byte) {
	d := DigestOf(frame)
	line := append(hex.AppendEncode(make([]byte, 0, 2*len(d)+1), d[:]), '\n')
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	if _, err := l.w.Write(line); err != nil && l.err == nil {
		l.err = fmt.Errorf("write ledger: %w", err)
	}
}

// Len is the number of frames added.
func (l *Ledger) Len() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

// Flush writes what is buffered and returns the first error of all writes.
func (l *Ledger) Flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.w.Flush(); err != nil && l.err == nil {
		l.err = fmt.Errorf("write ledger: %w", err)
	}
	return l.err
}

// ReadLedger reads what a Ledger wrote. Strike out what the journal holds with delete; what is left was acknowledged and lost.
func ReadLedger(r io.Reader) (map[Digest]struct{}, error) {
	set := map[Digest]struct{}{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		var d Digest
		if len(lines.Bytes()) != hex.EncodedLen(len(d)) {
			return nil, fmt.Errorf("ledger line %d: not %d hexadecimal digits", n, hex.EncodedLen(len(d)))
		}
		if _, err := hex.Decode(d[:], lines.Bytes()); err != nil {
			return nil, fmt.Errorf("ledger line %d: %w", n, err)
		}
		set[d] = struct{}{}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	return set, nil
}
