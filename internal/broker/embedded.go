package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kfake"
	"golang.org/x/sys/unix"

	"outfall/telemetry"
)

const (
	// maxSocketPath is what every Unix can bind, with room for the terminating zero (Linux has 108 bytes).
	maxSocketPath = 100
	// trimInterval is how often the retention of the embedded broker is applied. Its own timer starts only when a topic is
	// created or altered, not when an existing directory is opened.
	trimInterval = 10 * time.Second
	// startTime bounds the creation of the topics at start.
	startTime = time.Minute
	// archiveTime bounds how long a start waits for the archive to answer.
	archiveTime = 15 * time.Second
)

// Embedded is the embedded broker: one kfake broker as an append log, without transactions and compaction.
type Embedded struct {
	cluster *Cluster
	fake    *kfake.Cluster
	lock    *os.File
	log     errorLog
	stop    context.CancelFunc // ends the trimming
	trimmed chan struct{}      // closed when the trimming goroutine has ended
	once    sync.Once
	err     error // of Close

	trimming sync.Mutex // held while the retention is applied
	archiver *archiver
	out      atomic.Pointer[zerolog.Logger] // nil until Observe
}

// StartEmbedded starts a broker on the data directory dir, which is made if it is missing: its log in dir/kafka, its socket at
// dir/kafka.sock, for this user only. The topics are there when it returns. One broker holds a directory at a time:
// for a second one the error names the first one's process id. The caller must Close it. It owns a goroutine that applies the
// retention, beside the broker's own; what the journal drops goes to dir/archive first.
func StartEmbedded(dir string, c Config) (*Embedded, error) {
	return startEmbedded(dir, c, trimInterval)
}

// startEmbedded is StartEmbedded with the retention applied each trimEvery.
func startEmbedded(dir string, c Config, trimEvery time.Duration) (*Embedded, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "kafka.sock")
	// Bound under a name in the private folder first, it is there for others only with its final mode.
	bound := filepath.Join(dir, "kafka", "s")
	if n := len(socket); n > maxSocketPath {
		return nil, fmt.Errorf("embedded broker: the socket path %s has %d bytes, more than %d: choose a shorter --data path", socket, n, maxSocketPath)
	}
	logDir := filepath.Join(dir, "kafka", "log")
	if err := os.MkdirAll(logDir, 0o700); err != nil {
		return nil, fmt.Errorf("embedded broker: %w", err)
	}
	lock, err := lockFile(filepath.Join(dir, "kafka", "lock"))
	if err != nil {
		return nil, fmt.Errorf("embedded broker on %s: %w", dir, err)
	}
	e := &Embedded{cluster: Dial(c, socket), lock: lock, trimmed: make(chan struct{})}
	e.fake, err = kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.DataDir(logDir),
		kfake.WithLogger(&e.log),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return listen(bound, socket) }),
	)
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("embedded broker on %s: %w", dir, err)
	}
	e.archiver = &archiver{
		cluster: e.cluster, logDir: filepath.Join(logDir, "partitions"),
		sync: func() error { return unix.Syncfs(int(e.lock.Fd())) },
		drop: func(partition int32, before int64) error {
			return e.fake.DeleteRecords(e.cluster.Topic(telemetry.TopicJournal), partition, before)
		},
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	_, err = e.cluster.Apply(ctx)
	if err == nil {
		err = e.openArchive(ctx)
	}
	trimming, stop := context.WithCancel(context.Background())
	e.stop = stop
	go e.trim(trimming, trimEvery)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("topics of the embedded broker on %s: %w", dir, err), e.Close())
	}
	return e, nil
}

// openArchive fails if the archive is another journal's, or cannot be what the configuration says. One that does not answer is no reason
// not to take frames: the log grows until it does.
func (e *Embedded) openArchive(ctx context.Context) (err error) {
	if e.archiver.archive, err = e.cluster.Archive(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, archiveTime)
	defer cancel()
	err = e.archiver.load(ctx)
	if err != nil && !errors.Is(err, errForeign) {
		e.archiver.count(ArchiveStats{Err: err})
		return nil
	}
	return err
}

// Cluster is how to reach the broker.
func (e *Embedded) Cluster() *Cluster { return e.cluster }

// Socket is the path of the broker's socket, without "unix:".
func (e *Embedded) Socket() string { return e.cluster.socket }

// Close stops the broker, makes its log durable and gives the directory free. Clients that are still open lose their
// connections. Later calls return what the first returned.
func (e *Embedded) Close() error {
	e.once.Do(func() {
		e.stop()
		<-e.trimmed
		e.fake.Close()
		e.err = errors.Join(e.log.last(), os.Remove(e.Socket()), unix.Syncfs(int(e.lock.Fd())), e.lock.Close())
		if e.err != nil {
			e.err = fmt.Errorf("stop the embedded broker on %s: %w", e.cluster.dataDir(), e.err)
		}
	})
	return e.err
}

func (e *Embedded) trim(ctx context.Context, every time.Duration) {
	defer close(e.trimmed)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = e.Trim(ctx) // it has been counted and logged
		}
	}
}

// Trim applies the retention now: topics other than the journal lose what is beyond theirs; the journal's oldest segments are archived and
// then dropped. An error leaves what could not be archived in the log; the next call tries again.
func (e *Embedded) Trim(ctx context.Context) error {
	e.trimming.Lock()
	defer e.trimming.Unlock()
	e.fake.ApplyRetention()
	before := e.archiver.read()
	notes, err := e.archiver.trim(ctx)
	log := e.out.Load()
	if log == nil || ctx.Err() != nil {
		return err
	}
	for _, note := range notes {
		log.Warn().Msg(note)
	}
	after := e.archiver.read()
	if n := after.Entries - before.Entries; n > 0 {
		log.Info().Int64("entries", n).Int64("archive_bytes", after.Bytes).Msg("journal entries beyond the retention archived")
	}
	switch {
	case err != nil && (before.Err == nil || before.Err.Error() != err.Error()):
		log.Error().Err(err).Int64("waiting_bytes", after.Waiting).Msg("journal entries beyond the retention cannot be archived: the log keeps them and grows")
	case err == nil && before.Err != nil:
		log.Info().Msg("archiving works again")
	}
	return err
}

// listen binds a Unix socket at the path bound and moves it to path, over one that a killed process left.
func listen(bound, path string) (net.Listener, error) {
	if err := os.Remove(bound); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: bound, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // the name is gone by then
	if err := errors.Join(os.Chmod(bound, 0o600), os.Rename(bound, path)); err != nil {
		l.Close()
		return nil, err
	}
	return listener{l}, nil
}

// A listener reports embeddedAddr, because the broker tells clients its listener's address as host and port.
type listener struct{ net.Listener }

func (l listener) Addr() net.Addr { return address{} }

type address struct{}

func (address) Network() string { return "unix" }
func (address) String() string  { return embeddedAddr }

// lockFile takes the lock at path, which ends with the process at the latest, and leaves the process id in it.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder, _ := io.ReadAll(io.LimitReader(f, 32))
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("in use by process %s", strings.TrimSpace(string(holder)))
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err = f.Truncate(0); err == nil {
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	return f, nil
}

// errorLog keeps the last error that the broker logs: it reports errors of its stop in no other way. Safe for concurrent use.
type errorLog struct {
	mu  sync.Mutex // guards err
	err error
}

func (l *errorLog) Logf(level kfake.LogLevel, format string, args ...any) {
	if level == kfake.LogLevelError {
		l.mu.Lock()
		l.err = fmt.Errorf(format, args...)
		l.mu.Unlock()
	}
}

func (l *errorLog) last() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}
