package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConfigFaults(t *testing.T) {
	dir := t.TempDir()
	key, two := filepath.Join(dir, "key"), filepath.Join(dir, "two")
	for file, text := range map[string]string{key: "secret\n", two: "very\nsecret\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bucket := func(change func(*Config)) Config {
		c := DefaultConfig()
		c.Location, c.Endpoint, c.AccessKeyFile, c.SecretKeyFile = "s3://b/p/q/", "https://s3.example:9000", key, key
		change(&c)
		return c
	}
	for name, row := range map[string]struct {
		cfg  Config
		want string // in the error; empty: none
	}{
		"directory":             {func() Config { c := DefaultConfig(); c.Location = "a/b"; return c }(), ""},
		"bucket":                {bucket(func(*Config) {}), ""},
		"nothing":               {DefaultConfig(), "here.location: is empty"},
		"another scheme":        {bucket(func(c *Config) { c.Location = "http://x/y" }), "neither a directory nor s3://"},
		"no bucket":             {bucket(func(c *Config) { c.Location = "s3:///p" }), "names no bucket"},
		"prefix":                {bucket(func(c *Config) { c.Location = "s3://b/../c" }), "no object name can have"},
		"no endpoint":           {bucket(func(c *Config) { c.Endpoint = "" }), "here.endpoint: is empty"},
		"host only":             {bucket(func(c *Config) { c.Endpoint = "s3.example" }), "here.endpoint"},
		"credentials in it":     {bucket(func(c *Config) { c.Endpoint = "https://me:secret@s3.example" }), "holds credentials"},
		"not even a URL":        {bucket(func(c *Config) { c.Endpoint = "https://me:secret@s3.exa mple" }), "is no URL"},
		"path":                  {bucket(func(c *Config) { c.Endpoint = "https://s3.example/b" }), "here.endpoint"},
		"port":                  {bucket(func(c *Config) { c.Endpoint = "https://s3.example:99999" }), "no port"},
		"no key":                {bucket(func(c *Config) { c.AccessKeyFile = "" }), "here.access_key_file: is empty"},
		"key of two lines":      {bucket(func(c *Config) { c.SecretKeyFile = two }), "does not hold one line"},
		"key that is not there": {bucket(func(c *Config) { c.SecretKeyFile = key + "x" }), "no such file"},
		"timeout":               {bucket(func(c *Config) { c.Timeout = 0 }), "here.timeout"},
		"addressing":            {bucket(func(c *Config) { c.Addressing = "dns" }), "here.addressing"},
		"keys of a directory":   {bucket(func(c *Config) { c.Location = "a/b" }), "here.secret_key_file: is of no use"},
	} {
		err := row.cfg.Validate("here")
		if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%s: %v, want %q", name, err, row.want)
		}
		if err != nil && strings.Contains(err.Error(), ":secret") {
			t.Errorf("%s: shows a secret: %v", name, err)
		}
	}
}
