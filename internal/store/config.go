package store

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"
)

// Config says where objects are kept. Start from DefaultConfig and set Location: the zero value is not valid.
type Config struct {
	// Location is a directory, made for its owner alone if it is missing; or s3://BUCKET or s3://BUCKET/PREFIX, where the bucket must
	// exist. An upload that is killed leaves parts behind that cost money and that no listing shows: give the bucket a lifecycle rule
	// that aborts incomplete multipart uploads after a day.
	Location string `yaml:"location"`
	// Endpoint is the URL of the S3-compatible service, as https://oss-cn-beijing.aliyuncs.com. http only on a network that may read the
	// objects. Empty unless Location is a bucket.
	Endpoint string `yaml:"endpoint"`
	// Region is the bucket's region as the service calls it; many that are not Amazon's take any.
	Region string `yaml:"region"`
	// AccessKeyFile and SecretKeyFile name the files that hold the credentials, one line each; they are read at the start.
	AccessKeyFile string `yaml:"access_key_file"`
	SecretKeyFile string `yaml:"secret_key_file"`
	// Bucket names go into the URL's path ("path") or into its host name ("host"). "auto" knows which of the two Amazon, Google and
	// Aliyun want, and takes the path otherwise.
	Addressing string `yaml:"addressing"`
	// Timeout is how long the service may be silent within a request, 1 s to 5 min. A request that fails for a reason that may pass is
	// tried four times within a few seconds.
	Timeout time.Duration `yaml:"timeout"`
}

// DefaultConfig is a Config that lacks only Location.
func DefaultConfig() Config {
	return Config{Region: "us-east-1", Addressing: "auto", Timeout: 30 * time.Second}
}

const scheme = "s3://"

// bucket takes Location apart if it is one; prefix ends in a slash or is empty.
func (c Config) bucket() (bucket, prefix string, ok bool) {
	rest, ok := strings.CutPrefix(c.Location, scheme)
	if !ok {
		return "", "", false
	}
	bucket, prefix, _ = strings.Cut(strings.TrimRight(rest, "/"), "/")
	if prefix != "" {
		prefix += "/"
	}
	return bucket, prefix, true
}

// Validate reports every fault at once, each under its key in the file; section is the key of this Config, as "stream.snapshots".
func (c Config) Validate(section string) error {
	var errs []error
	bad := func(key, format string, a ...any) {
		errs = append(errs, fmt.Errorf("%s.%s: %w", section, key, fmt.Errorf(format, a...)))
	}
	bucket, prefix, remote := c.bucket()
	switch {
	case c.Location == "":
		bad("location", "is empty")
	case !remote && strings.Contains(c.Location, "://"):
		bad("location", "%q is neither a directory nor s3://BUCKET/PREFIX", c.Location)
	case remote && (bucket == "" || checkName(bucket) != nil):
		bad("location", "%q names no bucket", c.Location)
	case prefix != "" && checkPrefix(prefix) != nil:
		bad("location", "%q has a prefix that no object name can have", c.Location)
	}
	if c.Timeout < time.Second || c.Timeout > 5*time.Minute {
		bad("timeout", "%v is not in 1s..5m", c.Timeout)
	}
	if c.Addressing != "auto" && c.Addressing != "path" && c.Addressing != "host" {
		bad("addressing", "%q is none of auto, path, host", c.Addressing)
	}
	if !remote {
		for key, value := range map[string]string{"endpoint": c.Endpoint, "access_key_file": c.AccessKeyFile, "secret_key_file": c.SecretKeyFile} {
			if value != "" {
				bad(key, "is of no use unless location is s3://BUCKET/PREFIX")
			}
		}
		return errors.Join(errs...)
	}
	if err := checkEndpoint(c.Endpoint); err != nil {
		bad("endpoint", "%w", err)
	}
	for key, path := range map[string]string{"access_key_file": c.AccessKeyFile, "secret_key_file": c.SecretKeyFile} {
		if _, err := readKey(path); err != nil {
			bad(key, "%w", err)
		}
	}
	return errors.Join(errs...)
}

// checkEndpoint wants a service and nothing else: no path, no credentials.
func checkEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	switch {
	case endpoint == "":
		return errors.New("is empty: want the service's URL, as https://s3.cn-north-1.amazonaws.com.cn")
	case err != nil:
		return errors.New("is no URL") // the cause repeats the URL, which may hold credentials
	case u.User != nil:
		return errors.New("holds credentials: put them into access_key_file and secret_key_file")
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
		return fmt.Errorf("%q is not http://HOST:PORT or https://HOST:PORT", endpoint)
	case u.Port() != "":
		if _, err := net.LookupPort("tcp", u.Port()); err != nil {
			return fmt.Errorf("%q has no port in 1..65535", endpoint)
		}
	}
	return nil
}

// readKey reads one line from a file; the error does not show it.
func readKey(path string) (string, error) {
	if path == "" {
		return "", errors.New("is empty: name the file that holds the key")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	key := strings.TrimSpace(string(b))
	if key == "" || strings.ContainsAny(key, "\r\n") {
		return "", fmt.Errorf("%s does not hold one line", path)
	}
	return key, nil
}
