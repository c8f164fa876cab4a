//go:build integration

package broker

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestArchiveOnS3: the archive in a bucket of a real service.
func TestArchiveOnS3(t *testing.T) {
	endpoint, keys := os.Getenv("OUTFALL_TEST_S3"), os.Getenv("OUTFALL_TEST_S3_KEYS")
	if endpoint == "" {
		t.Skip("OUTFALL_TEST_S3 is not set")
	}
	conf := smallConfig()
	conf.Archive.Location = fmt.Sprintf("s3://%s/archive-%d", os.Getenv("OUTFALL_TEST_S3_BUCKET"), time.Now().UnixNano())
	conf.Archive.Endpoint = endpoint
	conf.Archive.AccessKeyFile, conf.Archive.SecretKeyFile = filepath.Join(keys, "access_key"), filepath.Join(keys, "secret_key")
	if err := conf.Validate(); err != nil {
		t.Fatal(err)
	}
	e := start(t, tempDir(t), conf)
	l := archived(t, e)
	l.whole(t, Dial(conf, e.Socket()))
	have := files(t, e.Cluster(), 0)
	for _, f := range have {
		if n, err := f.Verify(t.Context()); err != nil || n != f.Next-f.First || f.Size == 0 || !strings.HasPrefix(f.Path(), conf.Archive.Location) {
			t.Errorf("%s: %d entries, %v", f.Path(), n, err)
		}
	}
	e.cluster.config.ArchiveBytes = 0 // all goes
	if err := e.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := files(t, e.Cluster(), 0); len(have) == 0 || len(left) != 0 {
		t.Errorf("%d files, then %d", len(have), len(left))
	}
}
