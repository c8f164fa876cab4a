package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"outfall/internal/archive"
	"outfall/internal/broker"
	"outfall/internal/store"
	"outfall/telemetry"
)

// An archiveRow is one file of the journal's archive, or a hole between two.
type archiveRow struct {
	Partition int32     `json:"partition"`
	First     int64     `json:"first"`
	Last      int64     `json:"last"`
	Oldest    time.Time `json:"oldest,omitzero"`
	Newest    time.Time `json:"newest,omitzero"`
	Bytes     int64     `json:"bytes,omitempty"`
	File      string    `json:"file,omitempty"`
	Entries   int64     `json:"entries,omitempty"` // of verify
	Fault     string    `json:"fault,omitempty"`   // of verify
}

func newArchiveRow(f archive.File) archiveRow {
	return archiveRow{Partition: f.Partition, First: f.First, Last: f.Next - 1, Oldest: f.Oldest, Newest: f.Newest, Bytes: f.Size, File: f.Path()}
}

// archiveOptions say which archive, and which part of it.
type archiveOptions struct {
	data      dataOptions
	form      string
	partition int32
}

func newArchive(a *app) *cobra.Command {
	return parent("archive", "List and verify the journal's archive",
		`The embedded broker keeps its journal by bytes (kafka.retention_bytes). What goes beyond is archived before it leaves the log, in DIR/archive or
where kafka.archive says, up to kafka.archive_bytes; "outfall journal" and "outfall replay" read both as one. Apache Kafka keeps its journal itself: it has no archive.`,
		newArchiveLs(a), newArchiveVerify(a))
}

func (o *archiveOptions) flags(cmd *cobra.Command) {
	cmd.Args = cobra.NoArgs
	cmd.Flags().Int32Var(&o.partition, "partition", -1, "only this partition")
	outputFlag(cmd, &o.form)
	o.data.flags(cmd)
}

// open finds the archive, and its files by partition.
func (o *archiveOptions) open(ctx context.Context, a *app) (cluster *broker.Cluster, byPartition [][]archive.File, err error) {
	cfg, _, err := o.data.config.load(a, o.data.dir)
	if err != nil {
		return nil, nil, err
	}
	if len(cfg.Kafka.Brokers) > 0 {
		return nil, nil, usagef("kafka.brokers is set: only the embedded broker has an archive")
	}
	cluster = broker.Dial(cfg.Kafka, filepath.Join(o.data.dir, "kafka.sock"))
	if _, err := os.Stat(o.data.dir); err != nil {
		return nil, nil, unreachable(fmt.Errorf("%s holds no data: name the data directory with --data", o.data.dir))
	}
	kept, err := cluster.Archive()
	if err != nil {
		return nil, nil, err
	}
	all, err := kept.All(ctx)
	if err != nil {
		return nil, nil, unreachable(err)
	}
	for _, f := range all {
		if o.partition >= 0 && f.Partition != o.partition {
			continue
		}
		if n := len(byPartition); n == 0 || byPartition[n-1][0].Partition != f.Partition {
			byPartition = append(byPartition, nil)
		}
		last := &byPartition[len(byPartition)-1]
		*last = append(*last, f)
	}
	return cluster, byPartition, nil
}

func newArchiveLs(a *app) *cobra.Command {
	var o archiveOptions
	cmd := &cobra.Command{
		Use:     "ls",
		Short:   "List the archive's files",
		Long:    "List the files of the journal's archive: their partition, first and last offset, first and last receipt, and size.",
		Example: "  outfall archive ls\n  outfall archive ls --data /var/lib/outfall --output jsonl",
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := newPrinter(a.stdout, o.form, "PART", "FIRST", "LAST", "RECEIVED", "TO", "BYTES", "FILE")
			if err != nil {
				return err
			}
			_, byPartition, err := o.open(cmd.Context(), a)
			if err != nil {
				return err
			}
			for _, files := range byPartition {
				for _, f := range files {
					row := newArchiveRow(f)
					if err := p.row(row, append(row.cells(), fmt.Sprint(row.Bytes), filepath.Base(row.File))...); err != nil {
						return err
					}
				}
			}
			return p.flush()
		},
	}
	o.flags(cmd)
	return cmd
}

// cells are the columns that say what is in a file.
func (r archiveRow) cells() []string {
	return []string{fmt.Sprint(r.Partition), fmt.Sprint(r.First), fmt.Sprint(r.Last), localTime(r.Oldest), localTime(r.Newest)}
}

func newArchiveVerify(a *app) *cobra.Command {
	var o archiveOptions
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check every byte of the archive",
		Long: `Read every file of the journal's archive and compare it with its checksums and its name; look for holes between the files and, when a process
runs on the data directory, between the archive and its log.

Exit code 0 when all is well, 3 when a file is damaged or missing: each is printed.`,
		Example: "  outfall archive verify --data /var/lib/outfall",
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := newPrinter(a.stdout, o.form, "PART", "FIRST", "LAST", "RECEIVED", "TO", "ENTRIES", "RESULT")
			if err != nil {
				return err
			}
			cluster, byPartition, err := o.open(cmd.Context(), a)
			if err != nil {
				return err
			}
			return o.verify(cmd.Context(), a, p, cluster, byPartition)
		},
	}
	o.flags(cmd)
	return cmd
}

// verify prints a row for each file, each hole between two, and each between the archive and the log of a process that runs.
func (o *archiveOptions) verify(ctx context.Context, a *app, p *printer, cluster *broker.Cluster, byPartition [][]archive.File) error {
	live, err := readRunInfo(o.data.dir)
	if err != nil {
		return err
	}
	var logStart []int64
	if live != nil {
		if logStart, err = cluster.Offsets(ctx, telemetry.TopicJournal, broker.FromStart); err != nil {
			return unreachable(err)
		}
	}
	var count, entries, faults int64
	print := func(row archiveRow) error {
		result := "ok"
		if row.Fault != "" {
			result = row.Fault
			faults++
		}
		return p.row(row, append(row.cells(), fmt.Sprint(row.Entries), result)...)
	}
	for _, files := range byPartition {
		next := files[0].First
		hole := func(to int64) error {
			if next >= to {
				return nil
			}
			return print(archiveRow{Partition: files[0].Partition, First: next, Last: to - 1, Fault: "MISSING: no file holds these offsets"})
		}
		for _, f := range files {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := hole(f.First); err != nil {
				return err
			}
			next = max(next, f.Next)
			row := newArchiveRow(f)
			if row.Entries, err = f.Verify(ctx); errors.Is(err, store.ErrNotFound) {
				continue // removed by kafka.archive_bytes since it was listed
			}
			if errors.Is(err, archive.ErrDamaged) {
				row.Fault = "DAMAGED: " + err.Error()
			} else if err != nil {
				return err
			}
			count++
			entries += row.Entries
			if err := print(row); err != nil {
				return err
			}
		}
		if part := int(files[0].Partition); part < len(logStart) {
			if err := hole(logStart[part]); err != nil {
				return err
			}
		}
	}
	if err := p.flush(); err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "%d files, %d entries, %d faults\n", count, entries, faults)
	if faults > 0 {
		return checkFailed()
	}
	return nil
}
