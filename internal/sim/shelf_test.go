package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"outfall/internal/store"
)

// A shelf keeps snapshots, as a directory or a bucket does.
type shelf struct {
	away atomic.Bool // no answer but an error

	mu      sync.Mutex // guards objects
	objects map[string][]byte
}

// An access is one process's way to a shelf. It implements store.Store.
type access struct {
	*shelf
	dead atomic.Bool // the process has crashed: what it has not put by now never comes
}

var errAway = errors.New("sim: the snapshot store does not answer")

func newShelf() *shelf { return &shelf{objects: map[string][]byte{}} }

func (a *access) fault() error {
	if a.dead.Load() || a.away.Load() {
		return errAway
	}
	return nil
}

// Put implements store.Store. It takes its time, piece by piece.
func (a *access) Put(ctx context.Context, name string, r io.Reader) error {
	var whole bytes.Buffer
	for {
		n, err := io.CopyN(&whole, r, 4<<10)
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("put %s: %w", name, err)
		}
		sleep(ctx, time.Duration(n)*time.Microsecond)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if err := a.fault(); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.objects[name] = whole.Bytes()
	return nil
}

// Get implements store.Store.
func (a *access) Get(_ context.Context, name string) (io.ReadCloser, error) {
	if err := a.fault(); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	b, ok := a.objects[name]
	if !ok {
		return nil, store.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

// List implements store.Store.
func (a *access) List(_ context.Context, prefix string) (all []store.Object, err error) {
	if err := a.fault(); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(a.objects)) {
		if strings.HasPrefix(name, prefix) {
			all = append(all, store.Object{Name: name, Size: int64(len(a.objects[name]))})
		}
	}
	return all, nil
}

// Delete implements store.Store.
func (a *access) Delete(_ context.Context, name string) error {
	if err := a.fault(); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.objects, name)
	return nil
}

// String implements store.Store.
func (a *access) String() string { return "the shelf" }

// tear damages the newest object of some partitions: cut short, changed, emptied or lost. It returns how many.
func (s *shelf) tear(r *rand.Rand) (torn int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	newest := map[string]string{} // by partition
	for _, name := range slices.Sorted(maps.Keys(s.objects)) {
		partition, _, _ := strings.Cut(name, "-")
		newest[partition] = name
	}
	for _, partition := range slices.Sorted(maps.Keys(newest)) {
		name := newest[partition]
		b := bytes.Clone(s.objects[name])
		if r.IntN(3) == 0 || len(b) == 0 {
			continue
		}
		torn++
		switch r.IntN(4) {
		case 0:
			b = b[:r.IntN(len(b))]
		case 1:
			b[r.IntN(len(b))] ^= byte(1 + r.IntN(255))
		case 2:
			b = nil
		default:
			delete(s.objects, name)
			continue
		}
		s.objects[name] = b
	}
	return torn
}
