package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/bench/machine"
)

func main() {
	var err error
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		err = serveMain(os.Args[2:])
	} else {
		err = benchMain(os.Args[1:])
	}
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "streams:", err)
		os.Exit(1)
	}
}

// A bench is a run of this program.
type bench struct {
	devices int // of the fleet
	rate    int // frames/s of the load
	rounds  int
	core    int // of the contestant

	dir     string // removed at the end
	brokers string
	admin   *kadm.Client
	pid     int // of the broker

	self, goka, java string // our program, goka's, and the class path of Kafka Streams
}

func benchMain(args []string) (err error) {
	fs := flag.NewFlagSet("streams", flag.ContinueOnError)
	quick := fs.Bool("quick", false, "a fifth of the devices and of the rate, one round: rough figures")
	rounds := fs.Int("rounds", 0, "measurements of each contestant (default 3, 1 with -quick)")
	devices := fs.Int("devices", 0, "devices of the fleet (default 10000, 2000 with -quick); the rate is half of it a second")
	only := fs.String("only", "", "measure only these, comma separated: "+names())
	if err := fs.Parse(args); err != nil {
		return err
	}
	b := &bench{devices: 10_000, rounds: 3}
	if *quick {
		b.devices, b.rounds = 2_000, 1
	}
	b.devices, b.rounds = cmp.Or(*devices, b.devices), cmp.Or(*rounds, b.rounds)
	b.rate = b.devices / 2
	if b.devices < 10 || b.devices > 100_000 {
		return fmt.Errorf("-devices: %d is not in 10..100000", b.devices)
	}
	if b.rounds < 1 || b.rounds > 100 {
		return fmt.Errorf("-rounds: %d is not in 1..100", b.rounds)
	}
	all := contestants()
	if *only != "" {
		wanted := strings.Split(*only, ",")
		all = slices.DeleteFunc(all, func(c contestant) bool { return !slices.Contains(wanted, c.name) })
		if len(all) != len(wanted) {
			return fmt.Errorf("-only: %q is not of %s", *only, names())
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "streams"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if err := b.build(); err != nil {
		return err
	}
	var rest int
	if rest, b.core, err = machine.Cores(); err != nil {
		return err
	}
	if err := stayOn(rest); err != nil {
		return err
	}
	runtime.GOMAXPROCS(1)
	stopBroker, err := b.startBroker()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopBroker()) }()
	return b.all(ctx, all)
}

// startBroker starts Kafka, which inherits this program's core.
func (b *bench) startBroker() (stop func() error, err error) {
	kafka, err := machine.StartKafka(filepath.Join(b.dir, "kafka"))
	if err != nil {
		return nil, err
	}
	b.brokers, b.pid = kafka.Brokers, kafka.PID
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.brokers))
	if err != nil {
		return nil, errors.Join(err, kafka.Stop())
	}
	b.admin = kadm.NewClient(cl)
	return func() error { cl.Close(); return kafka.Stop() }, nil
}

// all lets the contestants take turns and prints the tables. A contestant that fails in a round, for example by not coming back after a kill,
// does not end the run: the error says so at the end.
func (b *bench) all(ctx context.Context, cs []contestant) error {
	r := report{bench: b, contestants: cs, figures: map[string][]*figures{}}
	defer r.print(os.Stdout) // also of an interrupted run, as far as it got
	var failed error
	for round := range b.rounds {
		for i := range cs {
			c := &cs[(i+round)%len(cs)] // no contestant always follows the same one
			f, err := b.one(ctx, c, fmt.Sprintf("b%d-%s.", round, c.name))
			if err != nil {
				err = fmt.Errorf("%s, round %d: %w", c.name, round+1, err)
				fmt.Fprintln(os.Stderr, "streams:", err)
				failed = errors.Join(failed, err)
			}
			if ctx.Err() != nil {
				return failed
			}
			r.figures[c.name] = append(r.figures[c.name], f)
		}
	}
	return failed
}
