package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sync/errgroup"

	"outfall/internal/obs"
	"outfall/internal/store"
	"outfall/stream"
)

// serveMain is our contestant: the stream worker of "outfall serve --role stream", without anything else.
func serveMain(args []string) error {
	if len(args) != 4 {
		return errors.New("serve: want BROKERS PREFIX SNAPSHOT-DIRECTORY EOS")
	}
	log, err := obs.Logger(os.Stderr, "warn")
	if err != nil {
		return err
	}
	cfg := workerConfig(args[1], args[2], args[3])
	snapshots, err := store.Open(cfg.Snapshots)
	if err != nil {
		return err
	}
	cluster := clusterAt(args[0], args[1])
	barrier := cluster.NewBarrier()
	w, err := stream.New(cfg, cluster, barrier, snapshots, log, obs.Registry("bench"))
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return barrier.Run(ctx) })
	g.Go(func() error { return w.Run(ctx) })
	if err := g.Wait(); err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
