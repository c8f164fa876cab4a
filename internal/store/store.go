// Package store keeps named objects where they survive the machine that wrote them: in a local directory, or in a bucket of an
// S3-compatible service. It knows nothing of what is in them.
package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// A Store keeps objects by name. Any number of goroutines and processes may use the same one; of two that write one name, one wins.
//
// A name is one or more parts of letters, digits, ".", "_" and "-", joined by "/"; no part begins with a dot. 1 to 512 bytes.
//
// Errors say what was tried and on what. ErrNotFound and ErrName are certain; everything else says nothing about the object: try again
// later. Every wait inside is bounded, but a big object takes its time: how long in all is ctx's business.
type Store interface {
	// Put makes r's bytes, up to io.EOF, the object of that name. It appears only whole; once Put returns nil it survives a power
	// loss. After an error, also one of r, which is wrapped, the object is as it was before; only when the service's last answer was
	// lost it may be the new one.
	Put(ctx context.Context, name string, r io.Reader) error
	// Get opens an object: what it gives is one whole object even if that is replaced or deleted meanwhile, or ends in an error other
	// than io.EOF. ctx holds until Close. ErrNotFound: there is none of that name.
	Get(ctx context.Context, name string) (io.ReadCloser, error)
	// List returns the objects whose names begin with prefix, in the order of their names. No prefix: all of them.
	List(ctx context.Context, prefix string) ([]Object, error)
	// Delete removes an object; one that is not there is no error.
	Delete(ctx context.Context, name string) error
	// String names the place, for messages; it holds no secret.
	String() string
}

// An Object is what List says of one.
type Object struct {
	Name string
	Size int64 // bytes
}

var (
	// ErrNotFound is certain: the place answers, and there is no such object.
	ErrNotFound = errors.New("no such object")
	// ErrName is a name that no object can have.
	ErrName = errors.New("invalid object name")
)

// Open makes the store that cfg describes, which must be valid. It creates a directory; a service is not spoken to yet.
func Open(cfg Config) (Store, error) {
	if bucket, prefix, ok := cfg.bucket(); ok {
		return openS3(cfg, bucket, prefix)
	}
	return OpenDir(cfg.Location)
}

const maxName = 512

func checkName(name string) error {
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part[0] == '.' || len(name) > maxName || !nameBytes(part) {
			return fmt.Errorf("%w: %.80q", ErrName, name)
		}
	}
	return nil
}

// checkPrefix accepts what a name can begin with.
func checkPrefix(prefix string) error {
	if prefix == "" || checkName(prefix+"x") == nil {
		return nil
	}
	return fmt.Errorf("%w: prefix %.80q", ErrName, prefix)
}

func nameBytes(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// untilDone ends r's bytes with ctx's error once ctx has ended, so that writing does not outlive its caller.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}
