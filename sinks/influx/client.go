package influx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	influxdb2 "github.com/influxdata/influxdb-client-go/v2"
	ihttp "github.com/influxdata/influxdb-client-go/v2/api/http"
)

// client opens the InfluxDB client; the caller closes it.
func (c Config) client() (influxdb2.Client, error) {
	token, err := c.token()
	if err != nil {
		return nil, err
	}
	if c.URL == "" {
		return nil, errors.New("influx.url: no InfluxDB is named")
	}
	// The client's own timeout is in whole seconds; the context of each call is the one that ends it.
	seconds := uint(c.Timeout/time.Second) + 1
	options := influxdb2.DefaultOptions().SetApplicationName("outfall").SetHTTPRequestTimeout(seconds).SetPrecision(time.Nanosecond)
	if c.Transport != nil {
		options.SetHTTPClient(&http.Client{Transport: c.Transport})
	}
	return influxdb2.NewClientWithOptions(c.URL, token, options), nil
}

// Query runs a Flux query and returns its records, each by column name. It is meant for small results.
func (c Config) Query(ctx context.Context, flux string) ([]map[string]any, error) {
	cl, err := c.client()
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	res, err := cl.QueryAPI(c.Org).Query(ctx, flux)
	if err != nil {
		return nil, fmt.Errorf("query InfluxDB at %s: %w", c.URL, err)
	}
	defer res.Close()
	var rows []map[string]any
	for res.Next() {
		rows = append(rows, res.Record().Values())
	}
	if err := res.Err(); err != nil {
		return nil, fmt.Errorf("read the answer of InfluxDB at %s: %w", c.URL, err)
	}
	return rows, nil
}

// EnsureDatabase makes the database of Bucket on InfluxDB 1.8 if it is missing. On 2.x, where making a bucket is a decision about
// retention and rights, it checks that the bucket exists and that the token may write to it.
func (c Config) EnsureDatabase(ctx context.Context) error {
	version, err := c.version(ctx)
	if err != nil {
		return err
	}
	// 1.8 that plain `go install` built says "unknown", 2.x of that kind "dev".
	if !strings.HasPrefix(version, "1.") && version != "unknown" {
		return c.checkBucket(ctx)
	}
	db, policy, _ := strings.Cut(c.Bucket, "/")
	if _, err := c.influxQL(ctx, `CREATE DATABASE `+quoteIdent(db)); err != nil {
		return fmt.Errorf("create database %q on InfluxDB at %s: %w", db, c.URL, err)
	}
	if policy == "" {
		return nil
	}
	answer, err := c.influxQL(ctx, `SHOW RETENTION POLICIES ON `+quoteIdent(db))
	if err != nil {
		return fmt.Errorf("list the retention policies of %q on InfluxDB at %s: %w", db, c.URL, err)
	}
	if !strings.Contains(answer, `["`+policy+`",`) {
		return fmt.Errorf("database %q on InfluxDB at %s has no retention policy %q: create it, or correct influx.bucket", db, c.URL, policy)
	}
	return nil
}

// version is the server's, such as "1.8.10" or "v2.7.12".
func (c Config) version(ctx context.Context) (string, error) {
	header, _, err := c.call(ctx, http.MethodGet, "/ping", nil)
	if err != nil {
		return "", fmt.Errorf("ping InfluxDB at %s: %w", c.URL, err)
	}
	v := header.Get("X-Influxdb-Version")
	if v == "" {
		return "", fmt.Errorf("ping InfluxDB at %s: the answer is not InfluxDB's (no X-Influxdb-Version)", c.URL)
	}
	return v, nil
}

// checkBucket writes nothing to the bucket: InfluxDB 2.x looks for the bucket and the right to write before it looks at the body, so
// even a token that may do nothing else can be checked. An empty body is then refused as invalid.
func (c Config) checkBucket(ctx context.Context) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	err = cl.WriteAPIBlocking(c.Org, c.Bucket).WriteRecord(ctx, "")
	if err == nil || classify(err) == faultData {
		return nil
	}
	if e, ok := errors.AsType[*ihttp.Error](err); ok && e.StatusCode == http.StatusNotFound {
		return fmt.Errorf("InfluxDB at %s has no bucket %q in organisation %q: create it, or correct influx.bucket and influx.org: %w", c.URL, c.Bucket, c.Org, err)
	}
	return fmt.Errorf("check bucket %q of organisation %q on InfluxDB at %s: %w", c.Bucket, c.Org, c.URL, err)
}

// influxQL runs one statement on InfluxDB 1.8 and returns its JSON answer.
func (c Config) influxQL(ctx context.Context, statement string) (string, error) {
	_, body, err := c.call(ctx, http.MethodPost, "/query", url.Values{"q": {statement}})
	if err != nil {
		return "", err
	}
	if strings.Contains(body, `"error":`) { // statement errors come with status 200
		return "", errors.New(strings.TrimSpace(body))
	}
	return body, nil
}

// call is a plain HTTP request to InfluxDB, for what the client library has no method for.
func (c Config) call(ctx context.Context, method, path string, form url.Values) (http.Header, string, error) {
	token, err := c.token()
	if err != nil {
		return nil, "", err
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.URL, "/")+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, "", err
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if token != "" {
		req.Header.Set("Authorization", "Token "+token)
	}
	resp, err := (&http.Client{Timeout: c.Timeout, Transport: c.Transport}).Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return nil, "", err
	}
	if resp.StatusCode >= 300 {
		return nil, "", &ihttp.Error{StatusCode: resp.StatusCode, Code: resp.Status, Message: strings.TrimSpace(string(body)), Header: resp.Header}
	}
	return resp.Header, string(body), nil
}

// quoteIdent quotes an InfluxQL identifier.
func quoteIdent(name string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(name) + `"`
}

// A fault is why InfluxDB did not take a write, and so what is to be done about it.
type fault uint8

const (
	faultNone        fault = iota
	faultUnavailable       // connection, 429, 5xx: it will pass
	faultConfig            // refused whatever the points are (401, 403, 404, …): somebody must act, and nothing may be lost until then
	faultData              // some of these points will never be taken
)

var faultNames = [...]string{faultUnavailable: "unavailable", faultConfig: "config", faultData: "data"}

func (f fault) String() string { return faultNames[f] }

// classify decides by status, and for 400 and 422 by whether it is InfluxDB that answers: another server behind a wrong URL
// refuses everything, and points must not be given up for that.
func classify(err error) fault {
	if err == nil {
		return faultNone
	}
	e, ok := errors.AsType[*ihttp.Error](err)
	if !ok || e.StatusCode == 0 {
		return faultUnavailable
	}
	influx := e.Header.Get("X-Influxdb-Version") != "" || e.Header.Get("X-Influxdb-Build") != ""
	switch code := e.StatusCode; {
	case code == http.StatusRequestEntityTooLarge:
		return faultData // by InfluxDB or a proxy before it; smaller batches get through, until a single line does not
	case (code == http.StatusBadRequest || code == http.StatusUnprocessableEntity) && influx:
		return faultData
	case code >= 500 && strings.Contains(e.Message, "partial write"):
		return faultData // InfluxDB 2.0 answers so to a field type conflict
	case code == http.StatusTooManyRequests, code == http.StatusRequestTimeout, code >= 500:
		return faultUnavailable
	}
	return faultConfig
}

// retryAfter is the pause that the server asks for, 0 if it does not.
func retryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*ihttp.Error](err); ok {
		return time.Duration(e.RetryAfter) * time.Second
	}
	return 0
}
