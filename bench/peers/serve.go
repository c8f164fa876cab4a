package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"runtime/pprof"
	"sync"

	"outfall/internal/broker"
)

// serverProcs is GOMAXPROCS of the Go servers on their one core: with a second P the runtime notices sooner that a loop which was
// blocked in epoll_wait has work.
const serverProcs = 2

// serveMain is a child: it serves one variant until its standard input ends. The line "gc" there makes it give unused memory back.
func serveMain(args []string) error {
	fs := flag.NewFlagSet("serve", flag.ContinueOnError)
	conns := fs.Int("conns", 0, "devices that may connect")
	dir := fs.String("dir", "", "folder of the embedded broker")
	profile := fs.String("profile", "", "write a CPU profile here")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wg sync.WaitGroup
	failed := make(chan error, 1)
	addr, run, err := newServer(fs.Arg(0), *conns, *dir)
	if err != nil {
		return err
	}
	wg.Go(func() { failed <- run(ctx) })
	fmt.Println("ready", addr)
	asked := make(chan error, 1)
	go func() { asked <- listenToParent(os.Stdin) }()
	select {
	case err = <-failed:
		return fmt.Errorf("%s ended by itself: %w", fs.Arg(0), err)
	case err = <-asked:
	}
	cancel()
	wg.Wait()
	return errors.Join(err, <-failed)
}

func listenToParent(in io.Reader) error {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if lines.Text() == "gc" {
			debug.FreeOSMemory()
			fmt.Println("done")
		}
	}
	return lines.Err()
}

// newServer makes a Go server; run serves until its context ends.
func newServer(name string, conns int, dir string) (addr string, run func(context.Context) error, err error) {
	switch name {
	case "broker":
		return newBroker(dir)
	case serverGateway, serverKafka, serverEmbedded:
		return newGateway(name, conns, dir)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	addr = ln.Addr().String()
	switch name {
	case serverNet:
		return addr, func(ctx context.Context) error { return serveNet(ctx, ln) }, nil
	case serverGnet:
		return addr, func(ctx context.Context) error { return serveGnet(ctx, ln, &framing{}) }, nil
	case serverInline:
		return addr, func(ctx context.Context) error { return serveGnet(ctx, ln, &decoding{}) }, nil
	case serverPerRecord:
		return addr, func(ctx context.Context) error { return serveGnet(ctx, ln, &decoding{journal: &standIn{}}) }, nil
	}
	return "", nil, errors.Join(fmt.Errorf("no server %q", name), ln.Close())
}

// newBroker is the embedded broker alone, on dir; its address is its socket.
func newBroker(dir string) (addr string, run func(context.Context) error, err error) {
	b, err := broker.StartEmbedded(dir, broker.DefaultConfig())
	if err != nil {
		return "", nil, err
	}
	return b.Socket(), func(ctx context.Context) error {
		<-ctx.Done()
		return b.Close()
	}, nil
}
