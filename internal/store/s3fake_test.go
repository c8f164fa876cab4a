package store

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A fakeS3 is as much of an S3 service as the store asks for, with one bucket "things", and with faults. It believes every signature.
type fakeS3 struct {
	*httptest.Server

	mu      sync.Mutex // guards the rest
	objects map[string][]byte
	uploads map[string]map[int][]byte
	asked   int
	// fault, if not nil, may answer a request itself.
	fault func(w http.ResponseWriter, r *http.Request) bool
}

func newFakeS3(t *testing.T) *fakeS3 {
	f := &fakeS3{objects: map[string][]byte{}, uploads: map[string]map[int][]byte{}}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	return f
}

// config is that of a store in the bucket.
func (f *fakeS3) config(t *testing.T) Config {
	t.Helper()
	dir := t.TempDir()
	cfg := DefaultConfig()
	cfg.Location, cfg.Endpoint, cfg.Timeout = "s3://things/some/prefix", f.URL, 5*time.Second
	cfg.AccessKeyFile, cfg.SecretKeyFile = filepath.Join(dir, "access"), filepath.Join(dir, "secret")
	for _, file := range []string{cfg.AccessKeyFile, cfg.SecretKeyFile} {
		if err := os.WriteFile(file, []byte(filepath.Base(file)+"-key\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cfg
}

func (f *fakeS3) setFault(fault func(http.ResponseWriter, *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault, f.asked = fault, 0
}

func (f *fakeS3) serve(w http.ResponseWriter, r *http.Request) {
	answer := &bytes.Buffer{}
	f.mu.Lock()
	f.asked++
	if f.fault == nil || !f.fault(w, r) {
		f.answer(buffered{w, answer}, r)
	}
	f.mu.Unlock() // who reads slowly keeps nobody waiting
	_, _ = w.Write(answer.Bytes())
}

// buffered keeps a body until the lock is free.
type buffered struct {
	http.ResponseWriter
	body *bytes.Buffer
}

func (b buffered) Write(p []byte) (int, error) { return b.body.Write(p) }

// answer is serve under the lock.
func (f *fakeS3) answer(w http.ResponseWriter, r *http.Request) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if bucket != "things" {
		refuse(w, 404, "NoSuchBucket")
		return
	}
	q := r.URL.Query()
	body, err := content(r)
	if err != nil {
		refuse(w, 400, "IncompleteBody")
		return
	}
	switch {
	case r.Method == "GET" && key == "":
		f.list(w, q.Get("prefix"), q.Get("continuation-token"))
	case r.Method == "GET":
		if b, ok := f.objects[key]; ok {
			w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
			w.Header().Set("ETag", etag(b))
			w.Header().Set("Content-Length", strconv.Itoa(len(b)))
			_, _ = w.Write(b)
		} else {
			refuse(w, 404, "NoSuchKey")
		}
	case r.Method == "PUT" && q.Has("uploadId"):
		n, _ := strconv.Atoi(q.Get("partNumber"))
		f.uploads[q.Get("uploadId")][n] = body
		w.Header().Set("ETag", etag(body))
	case r.Method == "PUT":
		f.objects[key] = body
		w.Header().Set("ETag", etag(body))
	case r.Method == "POST" && q.Has("uploads"):
		id := fmt.Sprint("upload", f.asked)
		f.uploads[id] = map[int][]byte{}
		fmt.Fprintf(w, "<InitiateMultipartUploadResult><Bucket>things</Bucket><Key>%s</Key><UploadId>%s</UploadId></InitiateMultipartUploadResult>", key, id)
	case r.Method == "POST":
		parts := f.uploads[q.Get("uploadId")]
		var whole []byte
		for _, n := range slices.Sorted(maps.Keys(parts)) {
			whole = append(whole, parts[n]...)
		}
		delete(f.uploads, q.Get("uploadId"))
		f.objects[key] = whole
		fmt.Fprintf(w, "<CompleteMultipartUploadResult><Bucket>things</Bucket><Key>%s</Key><ETag>%s</ETag></CompleteMultipartUploadResult>", key, etag(whole))
	case r.Method == "DELETE" && q.Has("uploadId"):
		delete(f.uploads, q.Get("uploadId"))
		w.WriteHeader(204)
	case r.Method == "DELETE":
		delete(f.objects, key)
		w.WriteHeader(204)
	}
}

// list gives out three objects a page.
func (f *fakeS3) list(w http.ResponseWriter, prefix, after string) {
	type object struct {
		Key, LastModified string
		Size              int
	}
	var result struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		IsTruncated           bool
		NextContinuationToken string
		Contents              []object
	}
	for _, key := range slices.Sorted(maps.Keys(f.objects)) {
		if !strings.HasPrefix(key, prefix) || key <= after {
			continue
		}
		if len(result.Contents) == 3 {
			result.IsTruncated, result.NextContinuationToken = true, result.Contents[2].Key
			break
		}
		result.Contents = append(result.Contents, object{key, "2026-07-01T00:00:00Z", len(f.objects[key])})
	}
	_ = xml.NewEncoder(w).Encode(result)
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", code)
}

func etag(b []byte) string {
	sum := md5.Sum(b)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

// content reads the body, which comes in signed chunks where there is no TLS: "SIZE;chunk-signature=...", data, until a chunk of nothing.
func content(r *http.Request) ([]byte, error) {
	if !strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		return io.ReadAll(r.Body)
	}
	var body bytes.Buffer
	for in := bufio.NewReader(r.Body); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		size, _, _ := strings.Cut(strings.TrimSpace(line), ";")
		n, err := strconv.ParseInt(size, 16, 32)
		if err != nil || n == 0 {
			return body.Bytes(), err
		}
		if _, err := io.CopyN(&body, in, n); err != nil {
			return nil, err
		}
		if _, err := in.ReadString('\n'); err != nil {
			return nil, err
		}
	}
}
