// Package influx moves the points topic into InfluxDB 1.8 or 2.x: batches of line protocol as the stream worker wrote them, in
// the order of each partition, each position once. It is the home of the InfluxDB client; kgo is in consume.go alone.
//
// InfluxDB being away is no event for anybody else: the sink waits, holding one batch and a bounded fetch buffer, and the
// rest stays in Kafka. Offsets are committed only for what InfluxDB accepted.
package influx

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Config sets the sink. Start from DefaultConfig: the zero value is not valid.
type Config struct {
	// URL of InfluxDB, http or https. Empty: the embedded one of `outfall run`.
	URL string `yaml:"url"`
	// Org is the organisation of InfluxDB 2.x; 1.8 knows none and takes an empty one.
	Org string `yaml:"org"`
	// Bucket is the bucket of 2.x; for 1.8 "database" or "database/retention policy". The database of 1.8 is made when it is
	// missing, a bucket or a retention policy never.
	Bucket string `yaml:"bucket"`
	// TokenFile names the file that holds the token (1.8: "user:password"); it is read at the start. Empty: no authentication.
	TokenFile string `yaml:"token_file"`
	// BatchLines is the most lines in one write, 1..100000. A larger batch is cheaper per point, and costs more requests to find a
	// bad line in: about 2·log2(lines).
	BatchLines int `yaml:"batch_lines"`
	// BatchBytes is the most bytes in one write, 4096..25000000 (the default limit of InfluxDB 1.8 on a request body); a single
	// larger record is written alone.
	BatchBytes int `yaml:"batch_bytes"`
	// FlushInterval is how long a point waits for a batch to fill, 1 ms..1 min. It adds to the delay before a chart shows the point.
	FlushInterval time.Duration `yaml:"flush_interval"`
	// Timeout of one write, 100 ms..30 s. A rebalance and a shutdown wait for the write in flight, so it must stay well below
	// the group's rebalance timeout of 60 s.
	Timeout time.Duration `yaml:"timeout"`
	// MaxRetryInterval bounds the pause between two attempts while InfluxDB is away, 100 ms..5 min. Attempts are not bounded in number.
	MaxRetryInterval time.Duration `yaml:"max_retry_interval"`
	// FetchBytes bounds what is fetched from Kafka and not yet in a batch, in bytes as compressed on the wire,
	// 65536..268435456. It and one batch are what the sink holds while InfluxDB is away.
	FetchBytes int `yaml:"fetch_bytes"`
	// Transport carries the requests instead of the network, for simulations; nil: the network.
	Transport http.RoundTripper `yaml:"-"`
}

// DefaultConfig is for the embedded InfluxDB 1.8.
func DefaultConfig() Config {
	return Config{
		Bucket:           "outfall",
		BatchLines:       5000,
		BatchBytes:       4 << 20,
		FlushInterval:    200 * time.Millisecond,
		Timeout:          10 * time.Second,
		MaxRetryInterval: 10 * time.Second,
		FetchBytes:       8 << 20,
	}
}

// Validate reports every fault at once, each under its key in the file.
func (c Config) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("influx."+key+": "+format, args...))
	}
	if c.URL != "" {
		u, err := url.Parse(c.URL)
		switch {
		case err != nil:
			bad("url", "not a URL") // not the error: it repeats the text, which may hold a password
		case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
			bad("url", "want http://HOST:PORT or https://HOST:PORT")
		case u.User != nil:
			bad("url", "holds credentials: put them into token_file")
		}
	}
	if db, rp, policy := strings.Cut(c.Bucket, "/"); db == "" || policy && rp == "" {
		bad("bucket", "%q: want a bucket, a database or database/retention policy", c.Bucket)
	}
	if c.TokenFile != "" {
		if _, err := c.token(); err != nil {
			bad("token_file", "%w", err)
		}
	}
	number := func(key string, v, low, high int) {
		if v < low || v > high {
			bad(key, "%d is not in %d..%d", v, low, high)
		}
	}
	number("batch_lines", c.BatchLines, 1, 100_000)
	number("batch_bytes", c.BatchBytes, 4096, 25_000_000)
	number("fetch_bytes", c.FetchBytes, 64<<10, 256<<20)
	duration := func(key string, v, low, high time.Duration) {
		if v < low || v > high {
			bad(key, "%v is not in %v..%v", v, low, high)
		}
	}
	duration("flush_interval", c.FlushInterval, time.Millisecond, time.Minute)
	duration("timeout", c.Timeout, 100*time.Millisecond, 30*time.Second)
	duration("max_retry_interval", c.MaxRetryInterval, 100*time.Millisecond, 5*time.Minute)
	return errors.Join(errs...)
}

// token is the content of TokenFile without surrounding white space; empty without a file.
func (c Config) token() (string, error) {
	if c.TokenFile == "" {
		return "", nil
	}
	b, err := os.ReadFile(c.TokenFile)
	if err != nil {
		return "", fmt.Errorf("read the InfluxDB token: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" || strings.ContainsAny(token, "\r\n") {
		return "", fmt.Errorf("read the InfluxDB token: %s does not hold one line", c.TokenFile)
	}
	return token, nil
}
