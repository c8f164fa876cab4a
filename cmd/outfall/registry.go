package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/internal/broker"
	"outfall/rules/registryfile"
	"outfall/telemetry"
)

// An importResult is what an import did, in devices.
type importResult struct {
	Added     int `json:"added"`
	Changed   int `json:"changed"`
	Unchanged int `json:"unchanged"`
}

// A deviceRow is one device of the registry; passwords are not shown, only whether there are any.
type deviceRow struct {
	MN               string `json:"mn"`
	Password         bool   `json:"password"`
	Outlet           string `json:"outlet"`
	OutletName       string `json:"outlet_name"`
	Enterprise       string `json:"enterprise"`
	Region           string `json:"region"`
	Medium           string `json:"medium"`
	MinuteInterval   int    `json:"minute_interval"`
	RealtimeInterval int    `json:"realtime_interval"`
	OfflineAfter     int    `json:"offline_after"`
	TolerantTail     bool   `json:"tolerant_tail"`

	NextPassword bool              `json:"next_password,omitempty"`
	Networks     []string          `json:"networks,omitempty"`
	CertName     string            `json:"cert_name,omitempty"`
	Edition      string            `json:"edition,omitempty"`
	CRC          string            `json:"crc,omitempty"`
	PeriodEnd    bool              `json:"period_end,omitempty"`
	Scales       []telemetry.Scale `json:"scales,omitempty"`
	OverTime     int               `json:"over_time,omitempty"`
	ReCount      int               `json:"re_count,omitempty"`
	SetUp        bool              `json:"set_up,omitempty"`

	Standard string              `json:"standard,omitempty"`
	Class    string              `json:"class,omitempty"`
	Built    telemetry.Date      `json:"built,omitempty"`
	Judged   telemetry.Statistic `json:"judged,omitempty"`
	Permits  []telemetry.Permit  `json:"permits,omitempty"`

	Stack        *telemetry.Stack `json:"stack,omitempty"`
	FlowWeighted bool             `json:"flow_weighted,omitempty"`
}

func newDeviceRow(d *telemetry.Device) deviceRow {
	return deviceRow{
		MN: d.MN, Password: d.PW != "", Outlet: d.Outlet, OutletName: d.OutletName, Enterprise: d.Enterprise, Region: d.Region, Medium: d.Medium,
		MinuteInterval: d.MinuteInterval, RealtimeInterval: d.RealtimeInterval, OfflineAfter: d.OfflineAfter, TolerantTail: d.TolerantTail,
		NextPassword: d.PWNext != "", Networks: d.Networks, CertName: d.CertName, Edition: d.Edition, CRC: d.CRC, PeriodEnd: d.PeriodEnd,
		Scales: d.Scales, OverTime: d.OverTime, ReCount: d.ReCount, SetUp: d.SetUp,
		Standard: d.Standard, Class: d.Class, Built: d.Built, Judged: d.Judged, Permits: d.Permits,
		Stack: d.Stack, FlowWeighted: d.FlowWeighted,
	}
}

// passwords says for people which passwords a device has.
func (r *deviceRow) passwords() string {
	switch {
	case !r.Password:
		return "no"
	case r.NextPassword:
		return "yes, and the next"
	}
	return "yes"
}

func newRegistry(a *app) *cobra.Command {
	return parent("registry", "Say which devices may connect",
		"Import the registry of devices from a CSV file, list it, let in devices that are not in it yet, and change passwords.",
		newRegistryImport(a), newRegistryLs(a), newRegistryQuarantine(a), newRegistryAdmit(a), newRegistrySetPassword(a))
}

const registryImportHelp = `Validate the whole file first; if anything in it is wrong, list every fault with file, line and column, change nothing and exit 2.
Then write the devices that are new or changed to the registry topic and, because results depend on them, to the journal.
Devices that the file does not name stay as they are.

The file is CSV (RFC 4180, UTF-8); its first line names the columns, in any order. These must be there:

  mn                   device id as in its frames, unique
  pw                   password as in its frames; empty: not checked
  outlet               short id of the outlet, unique
  outlet_name          for people
  enterprise           for people
  region               province/city/county
  medium               water or gas
  minute_interval_min  minutes between minute records: a divisor of 60 up to 30
  realtime_interval_s  seconds between real-time records, 5..3600; 0: none are sent
  offline_after_s      seconds without a frame until the device is offline, 60..86400
  tail                 strict, or tolerant: frames may end in LF, CR or nothing

These may be left out; what the registry has in them then stays. In a column that is there, an empty field is none, no, or the default:

  pw_next              second password, accepted beside pw while the device is moved to it
  networks             address prefixes that it may connect from, separated by spaces: 10.1.0.0/16 2001:db8::/32
  cert_name            DNS name or common name of the TLS client certificate that it must show
  edition              2005, 2017, 2025 or surface-water; empty: as its frames say
  crc                  modbus, modbus-swapped, ccitt or none; empty: the standard's
  period_end           yes: the DataTime of 2051, 2061 and 2031 is the end of the period
  scales               factors sent in another unit, with the power of ten that corrects them: a34004:-3 a34002:-3
  over_time_s          answer timeout of requests in seconds, 1..99; with edition 2005 1..3600
  re_count             how often a request is sent again, 1..99
  set_up               yes: check the clock and set the intervals when it connects
  standard             what the outlet is judged by, as the rules name it ("outfall rules library" lists the built-in ones)
  class                its class of that standard
  built                day on which it was built or approved, like 2006-01-01
  judged               hour or day: the mean by which rules of a standard say exceed here; empty: as the rules say
  permits              limits of the discharge permit, separated by ';': w01018 day ..40 mg/L; w01001 day 6.5..8.5 dimensionless
  stack                how gas is measured and corrected: ref_o2:6 (0: no correction) max_o2:20 wet working working_flow
                       air_kpa:86.5 ppm:a21026+a21002; empty: concentrations are taken as sent
  flow_weighted        yes: means of water are weighted by its flow, w00000`

func newRegistryImport(a *app) *cobra.Command {
	var form string
	var data dataOptions
	cmd := &cobra.Command{
		Use:     "import FILE",
		Short:   "Import devices from a CSV file",
		Long:    registryImportHelp,
		Example: "  outfall registry import devices.csv\n  outfall registry import devices.csv --config outfall.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			src, err := os.ReadFile(args[0])
			if err != nil {
				return usagef("registry: %w", err)
			}
			file, err := registryfile.Parse(args[0], src)
			if err != nil {
				return &codedError{exitUsage, err}
			}
			p, err := newPrinter(a.stdout, form)
			if err != nil {
				return err
			}
			data.create = true
			access, err := data.open(cmd.Context(), a)
			if err != nil {
				return err
			}
			defer access.close()
			res, err := importDevices(cmd.Context(), access.cluster, file)
			if err != nil {
				return err
			}
			if err := p.row(res, fmt.Sprintf("%d added, %d changed, %d unchanged", res.Added, res.Changed, res.Unchanged)); err != nil {
				return err
			}
			return p.flush()
		},
	}
	outputFlag(cmd, &form)
	data.flags(cmd)
	return cmd
}

func newRegistryLs(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the devices of the registry",
		Long: `List the devices of the registry by MN. Passwords are not shown.

In the table "-" stands for what the registry leaves to the standard or does not ask for; of several networks it has the first and the number
of the others. With --output jsonl a device has all that the registry says of it.`,
		Example: "  outfall registry ls --output jsonl | jq -r .mn",
	}
	return lister(a, cmd, func(form string) (*printer, error) {
		return newPrinter(a.stdout, form, "MN", "OUTLET", "NAME", "ENTERPRISE", "REGION", "MEDIUM", "MINUTE", "REALTIME", "OFFLINE", "EDITION", "CRC", "TAIL",
			"PW", "NETWORKS", "CERTIFICATE")
	}, func(ctx context.Context, access *dataAccess, p *printer) error {
		byMN, err := readRegistry(ctx, access.cluster)
		if err != nil {
			return err
		}
		for _, d := range sortedDevices(byMN) {
			if err := printDevice(p, d); err != nil {
				return err
			}
		}
		return nil
	})
}

func printDevice(p *printer, d telemetry.Device) error {
	row := newDeviceRow(&d)
	tail := "CRLF"
	if d.TolerantTail {
		tail = "any"
	}
	return p.row(row, d.MN, d.Outlet, d.OutletName, d.Enterprise, d.Region, d.Medium, fmt.Sprintf("%d min", d.MinuteInterval),
		fmt.Sprintf("%d s", d.RealtimeInterval), fmt.Sprintf("%d s", d.OfflineAfter), orDash(d.Edition), orDash(d.CRC), tail, row.passwords(),
		networksText(d.Networks), orDash(d.CertName))
}

// networksText is the first network, and how many there are beside it: sixteen would push what comes after them off every terminal.
func networksText(networks []string) string {
	switch len(networks) {
	case 0:
		return "-"
	case 1:
		return networks[0]
	}
	return fmt.Sprintf("%s +%d", networks[0], len(networks)-1)
}

// readRegistry is the newest record of every MN in the registry topic, without removed devices.
func readRegistry(ctx context.Context, cluster *broker.Cluster) (map[string]telemetry.Device, error) {
	byMN := map[string]telemetry.Device{}
	err := cluster.ReadAll(ctx, telemetry.TopicRegistry, func(rec *kgo.Record) error {
		var d telemetry.Device
		if err := json.Unmarshal(rec.Value, &d); err != nil {
			return fmt.Errorf("registry[%d]@%d: %w", rec.Partition, rec.Offset, err)
		}
		if d.Removed {
			delete(byMN, d.MN)
		} else {
			byMN[d.MN] = d
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read registry: %w", err)
	}
	return byMN, nil
}

func sortedDevices(byMN map[string]telemetry.Device) []telemetry.Device {
	all := make([]telemetry.Device, 0, len(byMN))
	for _, d := range byMN {
		all = append(all, d)
	}
	slices.SortFunc(all, func(x, y telemetry.Device) int { return strings.Compare(x.MN, y.MN) })
	return all
}

// importDevices writes the devices of a file that differ from the registry.
func importDevices(ctx context.Context, cluster *broker.Cluster, file *registryfile.File) (importResult, error) {
	have, err := readRegistry(ctx, cluster)
	if err != nil {
		return importResult{}, err
	}
	for i := range file.Devices {
		if old, known := have[file.Devices[i].MN]; known {
			file.Keep(&file.Devices[i], &old)
		}
	}
	return writeDevices(ctx, cluster, have, file.Devices)
}

// writeDevices writes the devices that differ from what the registry has, each first to the journal and then to the registry topic: should
// the process end between the two, the next import sees the difference again and repeats both, which changes nothing twice.
func writeDevices(ctx context.Context, cluster *broker.Cluster, have map[string]telemetry.Device, devices []telemetry.Device) (importResult, error) {
	var res importResult
	now := time.Now().UTC().Truncate(time.Millisecond)
	var journal, registry []*kgo.Record
	for i := range devices {
		d := &devices[i]
		value := telemetry.AppendJSON(nil, d)
		old, known := have[d.MN]
		switch {
		case !known:
			res.Added++
		case bytes.Equal(value, telemetry.AppendJSON(nil, &old)):
			res.Unchanged++
			continue
		default:
			res.Changed++
		}
		p := telemetry.PartitionOf(d.MN, cluster.Partitions())
		journal = append(journal, journalRecord(cluster, p, d.MN, telemetry.KindRegistry, value, now))
		registry = append(registry, &kgo.Record{Topic: cluster.Topic(telemetry.TopicRegistry), Partition: p, Key: []byte(d.MN), Value: value, Timestamp: now})
	}
	if err := publish(ctx, cluster, journal); err != nil {
		return importResult{}, fmt.Errorf("write the registry to the journal: %w", err)
	}
	if err := publish(ctx, cluster, registry); err != nil {
		return importResult{}, &codedError{exitPartial, fmt.Errorf("the journal has the devices, the registry topic does not, import again: %w", err)}
	}
	return res, nil
}

func journalRecord(cluster *broker.Cluster, partition int32, mn string, kind telemetry.Kind, value []byte, at time.Time) *kgo.Record {
	rec := &kgo.Record{
		Topic: cluster.Topic(telemetry.TopicJournal), Partition: partition, Value: value, Timestamp: at,
		Headers: []kgo.RecordHeader{{Key: telemetry.HeaderKind, Value: []byte(kind.String())}},
	}
	if mn != "" {
		rec.Key = []byte(mn)
	}
	return rec
}

// publish writes records to the partitions that they name and returns when all are durable.
func publish(ctx context.Context, cluster *broker.Cluster, recs []*kgo.Record) error {
	if len(recs) == 0 {
		return nil
	}
	client, err := cluster.Client(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RecordDeliveryTimeout(30*time.Second))
	if err != nil {
		return unreachable(err)
	}
	defer client.Close()
	if err := client.ProduceSync(ctx, recs...).FirstErr(); err != nil {
		return err
	}
	barrierCtx, stop := context.WithCancel(ctx)
	barrier := cluster.NewBarrier()
	ended := make(chan error, 1)
	go func() { ended <- barrier.Run(barrierCtx) }()
	err = barrier.Wait(ctx)
	stop()
	if runErr := <-ended; runErr != nil && !errors.Is(runErr, context.Canceled) {
		err = errors.Join(err, runErr)
	}
	return err
}
