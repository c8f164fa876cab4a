package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Dir keeps objects as files, a slash in their names as a folder. Everything is its owner's alone.
type Dir struct{ root string }

const (
	// tempPrefix begins the names of files that are being written. It is no beginning of a name.
	tempPrefix = ".put-"
	// tempLeft is how old such a file must be to be nobody's any more.
	tempLeft = time.Hour
	// syncEvery is how much of a file is written before it goes to the disk. Without that a whole object is dirty at once, and whoever
	// syncs the same file system meanwhile, as the broker does before it acknowledges, waits for all of it.
	syncEvery = 1 << 20
)

// OpenDir creates root if it is missing, and removes what writes that were killed left in it over an hour ago.
func OpenDir(root string) (*Dir, error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fmt.Errorf("object directory: %w", err)
	}
	files, err := os.ReadDir(root)
	if err != nil {
		return nil, fmt.Errorf("object directory: %w", err)
	}
	for _, f := range files {
		if !strings.HasPrefix(f.Name(), tempPrefix) {
			continue
		}
		if info, err := f.Info(); err == nil && time.Since(info.ModTime()) > tempLeft {
			_ = os.Remove(filepath.Join(root, f.Name())) // it is only disk space
		}
	}
	return &Dir{root: root}, nil
}

func (d *Dir) String() string { return d.root }

func (d *Dir) file(name string) string { return filepath.Join(d.root, filepath.FromSlash(name)) }

// Put implements Store.
func (d *Dir) Put(ctx context.Context, name string, r io.Reader) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if err := d.put(name, untilDone{ctx, r}); err != nil {
		return fmt.Errorf("write %s in %s: %w", name, d.root, err)
	}
	return nil
}

// put writes a temporary file, then gives it its name.
func (d *Dir) put(name string, r io.Reader) (err error) {
	f, err := os.CreateTemp(d.root, tempPrefix)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	err = copySynced(f, r)
	if err2 := f.Close(); err == nil {
		err = err2
	}
	if err != nil {
		return err
	}
	if err := d.makeFolders(path.Dir(name)); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), d.file(name)); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(d.file(name)))
}

func copySynced(f *os.File, r io.Reader) error {
	for {
		n, err := io.CopyN(f, r, syncEvery)
		if n > 0 || errors.Is(err, io.EOF) {
			if err := f.Sync(); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// makeFolders makes the folders of a name and makes them last; "." is the root, which is there.
func (d *Dir) makeFolders(folder string) error {
	if folder == "." {
		return nil
	}
	if info, err := os.Stat(d.file(folder)); err == nil && info.IsDir() {
		return nil
	}
	if err := d.makeFolders(path.Dir(folder)); err != nil {
		return err
	}
	if err := os.Mkdir(d.file(folder), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncFolder(filepath.Dir(d.file(folder)))
}

func syncFolder(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// missing turns the error of a file that is not there into ErrNotFound, but only if the root is there: a disk that is not mounted holds
// nothing for certain.
func (d *Dir) missing(err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, rootErr := os.Stat(d.root); rootErr != nil {
		return rootErr
	}
	return ErrNotFound
}

// Get implements Store.
func (d *Dir) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := checkName(name); err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	f, err := os.Open(d.file(name))
	if err != nil {
		return nil, fmt.Errorf("read %s in %s: %w", name, d.root, d.missing(err))
	}
	return struct {
		io.Reader
		io.Closer
	}{untilDone{ctx, f}, f}, nil
}

// List implements Store.
func (d *Dir) List(ctx context.Context, prefix string) ([]Object, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	objects, err := d.list(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("list %s* in %s: %w", prefix, d.root, err)
	}
	return objects, nil
}

func (d *Dir) list(ctx context.Context, prefix string) ([]Object, error) {
	var objects []Object
	folder := ""
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		folder = prefix[:i+1]
	}
	err := filepath.WalkDir(d.file(folder), func(file string, e fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			if err = d.missing(err); errors.Is(err, ErrNotFound) {
				return nil // deleted meanwhile, or a folder that no object has
			}
			return err
		}
		rel, err := filepath.Rel(d.root, file)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		if e.IsDir() {
			if name != "." && !strings.HasPrefix(name+"/", prefix) && !strings.HasPrefix(prefix, name+"/") {
				return fs.SkipDir
			}
			return nil
		}
		if checkName(name) != nil || !strings.HasPrefix(name, prefix) {
			return nil
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		objects = append(objects, Object{name, info.Size()})
		return nil
	})
	slices.SortFunc(objects, func(a, b Object) int { return strings.Compare(a.Name, b.Name) })
	return objects, err
}

// Delete implements Store.
func (d *Dir) Delete(ctx context.Context, name string) error {
	err := checkName(name)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = os.Remove(d.file(name))
	}
	if err = d.missing(err); err == nil || errors.Is(err, ErrNotFound) {
		return nil
	}
	return fmt.Errorf("delete %s in %s: %w", name, d.root, err)
}
