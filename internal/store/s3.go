package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

const (
	// partBytes is what is held of an object while it is written, and the least that S3 takes. An object has at most 10,000 parts: 48 GiB.
	partBytes = 5 << 20
	// attempts of one request, with growing pauses of up to a second between them.
	attempts = 4
	// abortTimeout bounds the clearing up after an upload that failed.
	abortTimeout = 3 * time.Second
	// maxConns bounds the connections of one store.
	maxConns = 64
)

// s3 keeps objects in a bucket; prefix, "" or ending in a slash, stands before their names.
type s3 struct {
	core           *minio.Core
	endpoint       string
	bucket, prefix string
}

func openS3(cfg Config, bucket, prefix string) (*s3, error) {
	access, err := readKey(cfg.AccessKeyFile)
	if err != nil {
		return nil, fmt.Errorf("access key of %s: %w", cfg.Location, err)
	}
	secret, err := readKey(cfg.SecretKeyFile)
	if err != nil {
		return nil, fmt.Errorf("secret key of %s: %w", cfg.Location, err)
	}
	u, err := url.Parse(cfg.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("endpoint of %s is no URL", cfg.Location)
	}
	lookup := map[string]minio.BucketLookupType{"auto": minio.BucketLookupAuto, "path": minio.BucketLookupPath, "host": minio.BucketLookupDNS}
	core, err := minio.NewCore(u.Host, &minio.Options{
		Creds: credentials.NewStaticV4(access, secret, ""), Secure: u.Scheme == "https", Region: cfg.Region,
		BucketLookup: lookup[cfg.Addressing], Transport: transport(cfg.Timeout), MaxRetries: attempts,
	})
	if err != nil {
		return nil, fmt.Errorf("open %s at %s: %w", cfg.Location, u.Host, err)
	}
	return &s3{core: core, endpoint: u.Host, bucket: bucket, prefix: prefix}, nil
}

// transport gives connections up that were silent for timeout while something was wanted of them.
func transport(timeout time.Duration) *http.Transport {
	dialer := net.Dialer{Timeout: min(timeout, 10*time.Second)}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &impatientConn{Conn: c, timeout: timeout}, nil
		},
		MaxConnsPerHost: maxConns, MaxIdleConnsPerHost: maxConns / 8, IdleConnTimeout: timeout,
		TLSHandshakeTimeout: min(timeout, 10*time.Second), ExpectContinueTimeout: time.Second, DisableCompression: true,
	}
}

// An impatientConn ends when a Read or a Write waits for longer than timeout. A Write moves the end of a Read that waits already: on a
// connection that was idle that is the wait for the answer.
type impatientConn struct {
	net.Conn
	timeout time.Duration
}

func (c *impatientConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *impatientConn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

func (s *s3) String() string { return scheme + s.bucket + "/" + s.prefix + " at " + s.endpoint }

// fault wraps an error with what was tried. A bucket that is missing is a fault of the configuration and says nothing about its objects.
func (s *s3) fault(what, name string, err error) error {
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		err = ErrNotFound
	}
	return fmt.Errorf("%s %s in %s: %w", what, name, s, err)
}

// Put implements Store. An object of one part is one request; more parts become an object when the last one is there.
func (s *s3) Put(ctx context.Context, name string, r io.Reader) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	part := bytes.NewBuffer(make([]byte, 0, partBytes))
	r = untilDone{ctx, r}
	n, err := io.CopyN(part, r, partBytes)
	switch {
	case errors.Is(err, io.EOF):
		_, err = s.core.Client.PutObject(ctx, s.bucket, s.prefix+name, bytes.NewReader(part.Bytes()), n, minio.PutObjectOptions{})
	case err == nil:
		err = s.putParts(ctx, s.prefix+name, part, r)
	}
	if err != nil {
		return s.fault("write", name, err)
	}
	return nil
}

// putParts uploads what is in part, and then r through it.
func (s *s3) putParts(ctx context.Context, key string, part *bytes.Buffer, r io.Reader) (err error) {
	upload, err := s.core.NewMultipartUpload(ctx, s.bucket, key, minio.PutObjectOptions{})
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
			defer cancel()
			_ = s.core.AbortMultipartUpload(ctx, s.bucket, key, upload) // what stays is only space, and the bucket's lifecycle takes it
		}
	}()
	var parts []minio.CompletePart
	for more := true; more; {
		size := int64(part.Len())
		done, err := s.core.PutObjectPart(ctx, s.bucket, key, upload, len(parts)+1, bytes.NewReader(part.Bytes()), size, minio.PutObjectPartOptions{})
		if err != nil {
			return err
		}
		parts = append(parts, minio.CompletePart{PartNumber: done.PartNumber, ETag: done.ETag})
		part.Reset()
		n, err := io.CopyN(part, r, partBytes)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		more = n > 0
	}
	_, err = s.core.CompleteMultipartUpload(ctx, s.bucket, key, upload, parts, minio.PutObjectOptions{})
	return err
}

// Get implements Store.
func (s *s3) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := checkName(name); err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	body, info, _, err := s.core.GetObject(ctx, s.bucket, s.prefix+name, minio.GetObjectOptions{})
	if err != nil {
		return nil, s.fault("read", name, err)
	}
	return &s3Body{ReadCloser: body, left: info.Size, fault: func(err error) error { return s.fault("read", name, err) }}, nil
}

// An s3Body is an object on its way. One that ends before its length did not end.
type s3Body struct {
	io.ReadCloser
	left  int64
	fault func(error) error
}

func (b *s3Body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	if err == io.EOF && b.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && err != io.EOF {
		err = b.fault(err)
	}
	return n, err
}

// List implements Store.
func (s *s3) List(ctx context.Context, prefix string) ([]Object, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	var objects []Object
	for o := range s.core.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix + prefix, Recursive: true}) {
		if o.Err != nil {
			return nil, s.fault("list", prefix+"*", o.Err)
		}
		if name := strings.TrimPrefix(o.Key, s.prefix); checkName(name) == nil {
			objects = append(objects, Object{name, o.Size})
		}
	}
	if err := ctx.Err(); err != nil { // the listing ends as if it were whole
		return nil, s.fault("list", prefix+"*", err)
	}
	return objects, nil
}

// Delete implements Store.
func (s *s3) Delete(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	err := s.core.RemoveObject(ctx, s.bucket, s.prefix+name, minio.RemoveObjectOptions{})
	if err != nil && minio.ToErrorResponse(err).Code != minio.NoSuchKey {
		return s.fault("delete", name, err)
	}
	return nil
}
