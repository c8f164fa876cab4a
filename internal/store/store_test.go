package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"
)

// checkStore is what every store must do; s is empty.
func checkStore(t *testing.T, s Store) {
	ctx := t.Context()
	put := func(name string, data []byte) {
		t.Helper()
		if err := s.Put(ctx, name, bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
	}
	want := func(name string, data []byte) {
		t.Helper()
		if got, err := get(ctx, s, name); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%s holds %d bytes, %v; want %d", name, len(got), err, len(data))
		}
	}
	wantList := func(prefix, names string) {
		t.Helper()
		objects, err := s.List(ctx, prefix)
		var got []string
		for _, o := range objects {
			got = append(got, fmt.Sprintf("%s:%d", o.Name, o.Size))
		}
		if text := strings.Join(got, " "); err != nil || text != names {
			t.Fatalf("List(%q) = %s, %v; want %s", prefix, text, err, names)
		}
	}
	wantList("", "")
	if _, err := s.Get(ctx, "a/b"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "a/b") || !strings.Contains(err.Error(), s.String()) {
		t.Errorf("Get of nothing: %v", err)
	}
	if err := s.Delete(ctx, "a/b"); err != nil {
		t.Errorf("Delete of nothing: %v", err)
	}
	big := bytes.Repeat([]byte("0123456789abcdef"), 700_000) // 11.2 MB: three parts
	put("a/b-1", []byte("one"))
	put("a/b-2", nil)
	put("a/c/d", []byte("deep"))
	put("ab", big)
	put("z", []byte("old"))
	put("z", []byte("newer"))
	put("even", big[:2*partBytes])
	want("a/b-1", []byte("one"))
	want("a/b-2", nil)
	want("a/c/d", []byte("deep"))
	want("ab", big)
	want("z", []byte("newer"))
	want("even", big[:2*partBytes])
	wantList("", fmt.Sprintf("a/b-1:3 a/b-2:0 a/c/d:4 ab:%d even:%d z:5", len(big), 2*partBytes))
	wantList("a/", "a/b-1:3 a/b-2:0 a/c/d:4")
	wantList("a/b", "a/b-1:3 a/b-2:0")
	wantList("a/c/", "a/c/d:4")
	wantList("a/c", "a/c/d:4")
	wantList("no/such", "")

	// A source that fails makes no object, and leaves the one that is there.
	broken := errors.New("the source broke")
	for _, n := range []int{0, 10, len(big)} {
		r := io.MultiReader(bytes.NewReader(big[:n]), iotest.ErrReader(broken))
		if err := s.Put(ctx, "z", r); !errors.Is(err, broken) {
			t.Errorf("Put of %d bytes and an error: %v", n, err)
		}
	}
	want("z", []byte("newer"))
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := s.Put(ended, "z", bytes.NewReader(big)); !errors.Is(err, context.Canceled) {
		t.Errorf("Put after the end of its context: %v", err)
	}
	if _, err := get(ended, s, "z"); !errors.Is(err, context.Canceled) {
		t.Errorf("Get after the end of its context: %v", err)
	}
	if _, err := s.List(ended, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("List after the end of its context: %v", err)
	}
	want("z", []byte("newer"))

	// What is being read stays what it was.
	reading, err := s.Get(ctx, "ab")
	if err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 16)
	if _, err := io.ReadFull(reading, head); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(ctx, "ab"); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(reading); err == nil && !bytes.Equal(rest, big[16:]) {
		t.Errorf("an object that was deleted while it was read gave %d bytes more without an error", len(rest))
	}
	reading.Close()
	wantList("ab", "")
	for _, name := range []string{"", "/", "a/", "/a", "a//b", ".a", "a/../b", "a b", "a\x00", strings.Repeat("x", 513), "ä"} {
		_, err := s.Get(ctx, name)
		if err2 := s.Put(ctx, name, strings.NewReader("x")); !errors.Is(err, ErrName) || !errors.Is(err2, ErrName) {
			t.Errorf("name %.20q: %v, %v", name, err, err2)
		}
		if err := s.Delete(ctx, name); !errors.Is(err, ErrName) {
			t.Errorf("delete %.20q: %v", name, err)
		}
	}
	if _, err := s.List(ctx, "../"); !errors.Is(err, ErrName) {
		t.Errorf("list ../: %v", err)
	}
	checkConcurrent(t, s)
}

// checkConcurrent has many write one name: whoever reads gets one of them whole.
func checkConcurrent(t *testing.T, s Store) {
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 5 {
				if err := s.Put(t.Context(), "shared/x", bytes.NewReader(bytes.Repeat([]byte{byte('a' + i)}, 1000+rand.N(100_000)))); err != nil {
					t.Error(err)
				}
				got, err := get(t.Context(), s, "shared/x")
				if err != nil || len(got) < 1000 || len(bytes.Trim(got, string(got[:1]))) != 0 {
					t.Errorf("read %d bytes, not all of one writer: %v", len(got), err)
				}
			}
		})
	}
	wg.Wait()
}

func get(ctx context.Context, s Store, name string) ([]byte, error) {
	r, err := s.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func TestDir(t *testing.T) {
	root := filepath.Join(t.TempDir(), "data[1]", "objects") // a directory's name is no pattern
	cfg := DefaultConfig()
	cfg.Location = root
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	checkStore(t, s)
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(root), "objects", tempPrefix+"*")); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
	err = filepath.Walk(root, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// What cannot be read now is no proof that there is nothing.
func TestDirTellsNothingFromTrouble(t *testing.T) {
	root := filepath.Join(t.TempDir(), "objects")
	s, err := OpenDir(root)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(s.file("folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := get(t.Context(), s, "folder"); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("Get of a folder = %v, want an error that is not ErrNotFound", err)
	}
	if err := os.RemoveAll(root); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "x"); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("Get without the directory = %v, want an error that is not ErrNotFound", err)
	}
	if _, err := s.List(t.Context(), ""); err == nil {
		t.Error("List without the directory: no error")
	}
	if _, err := s.List(t.Context(), "a/b"); err == nil {
		t.Error("List of a folder without the directory: no error")
	}
	if err := s.Delete(t.Context(), "x"); err == nil {
		t.Error("Delete without the directory: no error")
	}
}

func TestS3(t *testing.T) {
	f := newFakeS3(t)
	s, err := Open(f.config(t))
	if err != nil {
		t.Fatal(err)
	}
	f.objects["some/prefix"] = []byte("not ours")
	f.objects["some/prefix/folder/"] = nil // what consoles make
	f.objects["some/prefixed"] = []byte("not ours")
	checkStore(t, s)
	if len(f.uploads) != 0 {
		t.Errorf("%d uploads neither completed nor aborted", len(f.uploads))
	}
	if len(s.(*s3).String()) == 0 || strings.Contains(s.String(), "key") {
		t.Errorf("String() = %s", s)
	}
}

// Faults that may pass are tried again a bounded number of times; no fault is taken for the absence of an object.
func TestS3Faults(t *testing.T) {
	f := newFakeS3(t)
	s, err := Open(f.config(t))
	if err != nil {
		t.Fatal(err)
	}
	big := bytes.Repeat([]byte("x"), 2*partBytes)
	if err := s.Put(t.Context(), "big", bytes.NewReader(big)); err != nil {
		t.Fatal(err)
	}
	twice := func(answer func(w http.ResponseWriter)) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			if f.asked <= 2 {
				answer(w)
			}
			return f.asked <= 2
		}
	}
	cut := func(w http.ResponseWriter) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			c.Close()
		}
	}
	busy := func(w http.ResponseWriter) { refuse(w, 503, "SlowDown") }
	for name, answer := range map[string]func(http.ResponseWriter){"busy": busy, "cut": cut} {
		f.setFault(twice(answer))
		if err := s.Put(t.Context(), "after-"+name, bytes.NewReader(big)); err != nil {
			t.Errorf("%s twice, then well: %v", name, err)
		}
		f.setFault(nil)
		if got, err := get(t.Context(), s, "after-"+name); err != nil || !bytes.Equal(got, big) {
			t.Errorf("%s: holds %d bytes, %v", name, len(got), err)
		}
	}
	f.setFault(func(w http.ResponseWriter, _ *http.Request) bool { busy(w); return true })
	if _, err := s.Get(t.Context(), "big"); err == nil || errors.Is(err, ErrNotFound) || f.asked != attempts {
		t.Errorf("busy for good: %v after %d requests, want an error after %d", err, f.asked, attempts)
	}
	f.setFault(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != "GET" {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(big)))
		w.Header().Set("Last-Modified", "Wed, 01 Jul 2026 00:00:00 GMT")
		_, _ = w.Write(big[:partBytes])
		return true
	})
	if got, err := get(t.Context(), s, "big"); err == nil || errors.Is(err, ErrNotFound) || len(got) != partBytes {
		t.Errorf("cut after %d bytes: got %d, %v", partBytes, len(got), err)
	}
	hasty := f.config(t)
	hasty.Timeout = 200 * time.Millisecond
	waiting, err := Open(hasty)
	if err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	f.setFault(func(http.ResponseWriter, *http.Request) bool { <-release; return true })
	if _, err := waiting.List(t.Context(), ""); err == nil {
		t.Error("a service that never answers: no error")
	}
	close(release)
	f.setFault(nil)

	wrong := f.config(t)
	wrong.Location = "s3://nothings/x"
	nowhere, err := Open(wrong)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nowhere.Get(t.Context(), "x"); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("Get from no bucket = %v, want an error that is not ErrNotFound", err)
	}
	if _, err := nowhere.List(t.Context(), ""); err == nil {
		t.Error("List of no bucket: no error")
	}
}
