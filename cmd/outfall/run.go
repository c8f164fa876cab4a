package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/deploy/sample"
	"outfall/internal/broker"
	"outfall/internal/obs"
	"outfall/rules/registryfile"
	"outfall/rules/rulefile"
	"outfall/sinks/influx"
	"outfall/telemetry"
)

const (
	stopInflux = 25 * time.Second // influxd writes its caches to disk
	stopBroker = 30 * time.Second // and the last sync of the log

	influxPause, maxInfluxPause = time.Second, time.Minute // before influxd, which ended by itself, is started again
)

type runOptions struct {
	dir      string
	config   configOptions
	noSample bool
}

func newRun(a *app) *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run everything in one process on a data directory",
		Long: `Run all roles in one process, with the embedded Kafka broker and an embedded InfluxDB, on a data directory. Nothing else is needed.

The first start builds InfluxDB once into the cache folder (about a minute), and, when the registry is empty, imports a sample registry of
50 outlets and puts sample rules in force. When all is ready, DIR/run.json holds the addresses; the log is DIR/log/outfall.log.

Ctrl-C or SIGTERM drains and exits 0: no new frames, the last acknowledgements, a snapshot, the last points. Started again it goes on
where it was. A second Ctrl-C leaves at once with code 130; also then nothing acknowledged is lost.`,
		Example: `  outfall run
  outfall run --data /var/lib/outfall --listen :9212 --admin 127.0.0.1:9280 --no-sample`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runAll(cmd.Context(), a, o) },
	}
	cmd.Flags().StringVar(&o.dir, "data", defaultData, "data directory; made if it is missing")
	cmd.Flags().String("listen", "", "HOST:PORT where devices connect; port 0 takes a free one (default tcp.listen, :9212)")
	cmd.Flags().String("admin", "", "HOST:PORT of metrics and health; port 0 takes a free one (default admin.listen, 127.0.0.1:9280)")
	cmd.Flags().BoolVar(&o.noSample, "no-sample", false, "leave an empty registry and empty rules empty")
	o.config.flags(cmd)
	o.config.bind("listen", "tcp.listen")
	o.config.bind("admin", "admin.listen")
	return cmd
}

func runAll(ctx context.Context, a *app, o runOptions) (err error) {
	cfg, _, err := o.config.load(a, o.dir)
	if err != nil {
		return err
	}
	if len(cfg.Kafka.Brokers) > 0 {
		return usagef("kafka.brokers is set: run has its own embedded broker; use \"outfall serve\" on real brokers")
	}
	begin := time.Now()
	d, err := openRunDir(o.dir, cfg)
	if err != nil {
		return err
	}
	defer d.logFile.Close()
	log, cluster := d.log, d.embedded.Cluster()
	sup := newSupervisor(log)
	defer func() { err = d.finish(ctx, a.stdout, sup, err) }()
	sup.closeLast("broker", stopBroker, d.embedded.Close)

	var influxd *influxChild
	if cfg.Influx.URL == "" {
		if influxd, err = startInflux(ctx, a, sup, filepath.Join(o.dir, "influx"), log); err != nil {
			return err
		}
		cfg.Influx.URL = influxd.url
	}
	if !o.noSample {
		if err := importSample(ctx, cluster, a.stdout); err != nil {
			return err
		}
	}
	all := map[string]bool{roleIngest: true, roleStream: true, roleSink: true, roleAlert: true}
	s, err := startStages(sup, cfg, cluster, d.embedded, all, log)
	if err != nil {
		return err
	}
	if err := s.awaitReady(ctx, sup.failed, func(why string) { log.Info().Str("why", why).Msg("not ready yet") }); err != nil {
		return err
	}
	if influxd != nil {
		if err := influxd.await(ctx, sup.failed, a.stdout); err != nil {
			return err
		}
	}
	socket, err := filepath.Abs(d.embedded.Socket())
	if err != nil {
		return err
	}
	info := newRunInfo(s, cfg.Influx.URL, socket)
	if err := writeRunInfo(o.dir, info); err != nil {
		return err
	}
	log.Info().Str("ingest", info.Ingest).Str("admin", info.Admin).Str("influx", info.Influx).Dur("took", time.Since(begin)).Msg("ready")
	greet(a.stdout, info, o.dir)
	return newStatusLine(a.stdout, s).run(ctx, sup.failed)
}

// A runDir is a data directory that this process holds.
type runDir struct {
	path     string
	embedded *broker.Embedded // also the lock on the directory
	logFile  *logFile
	log      zerolog.Logger
}

// openRunDir takes the directory and finds out what can be found out quickly, before the minutes that a first start may take.
func openRunDir(path string, cfg *Config) (*runDir, error) {
	embedded, err := broker.StartEmbedded(path, cfg.Kafka)
	if err != nil {
		return nil, err
	}
	d := &runDir{path: path, embedded: embedded}
	err = addressesFree(cfg.TCP.Listen, cfg.Admin.Listen)
	if err == nil {
		err = removeRunInfo(path) // of a killed process: its addresses are not ours
	}
	if err == nil {
		d.logFile, err = openLogFile(path)
	}
	if err == nil {
		d.log, err = obs.Logger(d.logFile, cfg.Admin.LogLevel)
	}
	if err != nil {
		return nil, errors.Join(err, embedded.Close())
	}
	return d, nil
}

// finish ends all parts and says why the process ends: cause, unless that is only the signal that interrupted the start.
func (d *runDir) finish(ctx context.Context, w io.Writer, sup *supervisor, cause error) error {
	if ctx.Err() != nil && errors.Is(cause, context.Canceled) {
		cause = nil
	}
	if cause != nil {
		d.log.Error().Err(cause).Msg("stopping")
	}
	fmt.Fprintln(w, "draining; Ctrl-C again leaves at once")
	err := errors.Join(cause, sup.drain(), removeRunInfo(d.path))
	if err == nil {
		fmt.Fprintln(w, "stopped")
	}
	return err
}

// addressesFree binds both addresses for a moment, to tell early that a port is taken.
func addressesFree(addresses ...string) error {
	for _, address := range addresses {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return fmt.Errorf("%w; choose another with --listen or --admin", err)
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	return nil
}

// An influxChild is the influxd that a process keeps running as its child.
type influxChild struct {
	url     string        // where it is going to listen
	up      chan struct{} // closed when it answers for the first time
	trouble chan error    // why it does not start; capacity 1, the newest may be dropped
}

// startInflux builds influxd if need be and keeps it running as a child on dir. It does not wait until influxd answers: that needs some
// seconds, more after a kill, and devices are not to wait for it.
func startInflux(ctx context.Context, a *app, sup *supervisor, dir string, log zerolog.Logger) (*influxChild, error) {
	bin, err := influx.Prepare(ctx, func(line string) { fmt.Fprintln(a.stdout, line) })
	if err != nil {
		return nil, err
	}
	url, err := influx.EmbeddedURL(dir)
	if err != nil {
		return nil, err
	}
	c := &influxChild{url: url, up: make(chan struct{}), trouble: make(chan error, 1)}
	sup.run("influxd", stopInflux, func(ctx context.Context) error { return c.keep(ctx, bin, dir, log) })
	return c, nil
}

// keep starts influxd, and again whenever it ends before it is told to, as after an out-of-memory kill: points wait meanwhile, and nothing
// else is to notice. Only the loss of its port, which the sink knows, ends the process.
func (c *influxChild) keep(ctx context.Context, bin, dir string, log zerolog.Logger) error {
	first := sync.OnceFunc(func() { close(c.up) })
	for pause := influxPause; ; pause = min(2*pause, maxInfluxPause) {
		server, err := influx.StartEmbedded(ctx, bin, dir)
		switch {
		case err != nil && ctx.Err() != nil:
			return nil
		case err != nil:
			log.Error().Err(err).Msg("influxd does not start")
			select {
			case c.trouble <- err:
			default:
			}
		case server.URL() != c.url:
			return errors.Join(fmt.Errorf("influxd had to leave %s for %s: another program has its port", c.url, server.URL()), server.Close())
		default:
			first()
			select {
			case <-ctx.Done():
				return server.Close()
			case <-server.Ended():
			}
			log.Error().Str("log", filepath.Join(dir, "influxd.log.old")).Msg("influxd ended by itself, starting it again")
			pause = influxPause
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// await returns when influxd has answered, and prints why it does not start.
func (c *influxChild) await(ctx context.Context, failed <-chan error, w io.Writer) error {
	for {
		select {
		case <-c.up:
			return nil
		case err := <-c.trouble:
			fmt.Fprintf(w, "%v; trying again, frames are taken meanwhile\n", err)
		case err := <-failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// importSample gives an empty installation something to work with.
func importSample(ctx context.Context, cluster *broker.Cluster, w io.Writer) error {
	have, err := readRegistry(ctx, cluster)
	if err != nil {
		return err
	}
	if len(have) == 0 {
		file, err := registryfile.Parse("sample registry", sample.Registry)
		if err != nil {
			return err
		}
		res, err := importDevices(ctx, cluster, file)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "imported the sample registry: %d devices\n", res.Added)
	}
	none, err := noRules(ctx, cluster)
	if err != nil || !none {
		return err
	}
	set, err := rulefile.Parse("sample rules", sample.Rules)
	if err != nil {
		return err
	}
	if _, err := activateRules(ctx, cluster, set); err != nil {
		return err
	}
	fmt.Fprintf(w, "put the sample rules in force: %s version %d, %d rules\n", set.Name, set.Version, len(set.Rules))
	return nil
}

// noRules reports whether no rules were ever put in force. A journal whose beginning is gone has had a life: it counts as having
// rules, though their entry may be gone with it. Only the beginning is read when there are rules, which is where the sample's are.
func noRules(ctx context.Context, cluster *broker.Cluster) (bool, error) {
	starts, err := cluster.Offsets(ctx, telemetry.TopicJournal, broker.FromStart)
	if err != nil {
		return false, fmt.Errorf("look for rules: %w", err)
	}
	for _, start := range starts {
		if start > 0 {
			return false, nil
		}
	}
	found := errors.New("found")
	err = cluster.ReadAll(ctx, telemetry.TopicJournal, func(rec *kgo.Record) error {
		if header(rec, telemetry.HeaderKind) == telemetry.KindRules.String() {
			return found
		}
		return nil
	})
	if errors.Is(err, found) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for rules: %w", err)
	}
	return true, nil
}

// greet says where everything is.
func greet(w io.Writer, info runInfo, dir string) {
	devices := info.Ingest
	if info.TLS != "" {
		devices += "  by TLS " + info.TLS
	}
	fmt.Fprintf(w, `
devices connect to  %s
admin               http://%s  (/metrics /livez /readyz /debug/pprof)
InfluxDB            %s, database "outfall"
  for example       %s
data                %s  (log: %s)
simulated devices   outfall demo --data %s   in another terminal

`, devices, info.Admin, info.Influx, influxExample(info.Influx), dir, filepath.Join(dir, "log", "outfall.log"), dir)
}

// influxExample is a query that shows hour means: the first thing that a newcomer can look at.
func influxExample(url string) string {
	return fmt.Sprintf(`curl -sG %s/query --data-urlencode db=outfall --data-urlencode "q=SELECT last(avg) FROM mean WHERE stat='hour' GROUP BY outlet, factor"`, url)
}
