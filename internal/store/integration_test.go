//go:build integration

package store

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestStoreOnS3 is TestS3 on a real service.
func TestStoreOnS3(t *testing.T) {
	endpoint, keys := os.Getenv("OUTFALL_TEST_S3"), os.Getenv("OUTFALL_TEST_S3_KEYS")
	if endpoint == "" {
		t.Skip("OUTFALL_TEST_S3 is not set")
	}
	cfg := DefaultConfig()
	cfg.Location = fmt.Sprintf("s3://%s/store-%d", os.Getenv("OUTFALL_TEST_S3_BUCKET"), time.Now().UnixNano())
	cfg.Endpoint = endpoint
	cfg.AccessKeyFile, cfg.SecretKeyFile = filepath.Join(keys, "access_key"), filepath.Join(keys, "secret_key")
	if err := cfg.Validate("store"); err != nil {
		t.Fatal(err)
	}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	checkStore(t, s)
	uploads := 0
	for range s.(*s3).core.ListIncompleteUploads(t.Context(), os.Getenv("OUTFALL_TEST_S3_BUCKET"), s.(*s3).prefix, true) {
		uploads++
	}
	if uploads != 0 {
		t.Errorf("%d uploads neither completed nor aborted", uploads)
	}
}
