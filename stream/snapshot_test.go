package stream

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"outfall/telemetry"
)

func testSnapshot(next int64) *Snapshot {
	return &Snapshot{
		Partition: 7, Next: next, Body: bytes.Repeat([]byte{1, 2, 3}, int(next)),
		Positions: map[telemetry.Topic]telemetry.Position{telemetry.TopicPoints: {Source: next - 1, Ordinal: 4}, telemetry.TopicAlarms: {Source: 2}},
	}
}

func openTestStore(t *testing.T) *DirStore {
	t.Helper()
	store, err := OpenDirStore(filepath.Join(t.TempDir(), "snapshots"))
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestSnapshotGenerations(t *testing.T) {
	store := openTestStore(t)
	if _, err := store.Load(t.Context(), 7, 0); !errors.Is(err, ErrNoSnapshot) {
		t.Fatalf("empty store: %v", err)
	}
	// The third is of a journal that begins anew: age goes by when it was written, not by offset.
	for _, next := range []int64{10, 20, 5, 40} {
		if err := store.Save(t.Context(), testSnapshot(next)); err != nil {
			t.Fatal(err)
		}
	}
	for age, next := range []int64{40, 5, 20} {
		got, err := store.Load(t.Context(), 7, age)
		if err != nil || !reflect.DeepEqual(got, testSnapshot(next)) {
			t.Errorf("age %d = %+v, %v, want next %d", age, got, err, next)
		}
	}
	if _, err := store.Load(t.Context(), 7, generations); !errors.Is(err, ErrNoSnapshot) {
		t.Errorf("age %d: %v, want none", generations, err)
	}
	if _, err := store.Load(t.Context(), 70, 0); !errors.Is(err, ErrNoSnapshot) {
		t.Errorf("another partition: %v, want none", err)
	}
	if files, _ := filepath.Glob(filepath.Join(store.dir, "*")); len(files) != generations {
		t.Errorf("files %q, want %d", files, generations)
	}
}

// Every cut and every flipped bit must be noticed: a state that is not exactly the one saved would go into published results.
func TestSnapshotDamage(t *testing.T) {
	whole := testSnapshot(30).append(nil)
	if got, err := readSnapshot(whole); err != nil || !reflect.DeepEqual(got, testSnapshot(30)) {
		t.Fatalf("whole: %+v, %v", got, err)
	}
	for n := range whole {
		if _, err := readSnapshot(whole[:n]); err == nil {
			t.Fatalf("cut to %d bytes: read", n)
		}
		damaged := bytes.Clone(whole)
		damaged[n] ^= 0x10
		if _, err := readSnapshot(damaged); err == nil {
			t.Fatalf("bit of byte %d flipped: read", n)
		}
	}
	if _, err := readSnapshot(append(bytes.Clone(whole), 0)); err == nil {
		t.Error("one byte too many: read")
	}
}

func TestSnapshotTornWriteStaysOutOfTheWay(t *testing.T) {
	store := openTestStore(t)
	if err := store.Save(t.Context(), testSnapshot(10)); err != nil {
		t.Fatal(err)
	}
	// What a kill during Save leaves behind.
	if err := os.WriteFile(filepath.Join(store.dir, "snapshot-1.tmp"), testSnapshot(20).append(nil)[:50], 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := store.Load(t.Context(), 7, 0); err != nil || got.Next != 10 {
		t.Errorf("Load = %+v, %v, want the whole one", got, err)
	}
}

// A directory's name is no pattern, and what cannot be read now is no proof that there is nothing.
func TestDirStoreTellsNothingFromTrouble(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data[1]")
	store, err := OpenDirStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Save(t.Context(), &Snapshot{Partition: 3, Next: 10, Body: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	if got, err := store.Load(t.Context(), 3, 0); err != nil || got.Next != 10 {
		t.Errorf("Load = %+v, %v", got, err)
	}
	if err := os.Mkdir(store.path(3, 9), 0o700); err != nil { // reading it fails with EISDIR
		t.Fatal(err)
	}
	if _, err := store.Load(t.Context(), 3, 0); err == nil || errors.Is(err, ErrDamaged) || errors.Is(err, ErrNoSnapshot) {
		t.Errorf("Load of what cannot be read = %v, want an error that is neither", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Load(t.Context(), 3, 0); err == nil || errors.Is(err, ErrNoSnapshot) {
		t.Errorf("Load without the directory = %v, want an error that is not ErrNoSnapshot", err)
	}
}
