package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"outfall/ingest"
	"outfall/telemetry"
)

func newDeviceShow(a *app) *cobra.Command {
	var form string
	var admin []string
	var data dataOptions
	cmd := &cobra.Command{
		Use:   "show MN",
		Short: "Show one device's live sessions in full",
		Long: `Show what the registry and the gateways know of one device: for each live session its peer, edition and CRC dialect, frames, refused
frames by reason, and how far the device's clock is off.

The clock is the QN and the DataTime of the last real-time frame (2011) against its receipt; "+" is ahead.

` + adminHelp,
		Example: "  outfall device show 520181A00170C67EF96ED8C5",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			mn := args[0]
			if !telemetry.ValidMN(mn) {
				return usagef("%q cannot be an MN", mn)
			}
			p, err := newPrinter(a.stdout, form)
			if err != nil {
				return err
			}
			access, err := data.open(cmd.Context(), a)
			if err != nil {
				return err
			}
			defer access.close()
			states, err := deviceStates(cmd.Context(), access, admin, mn)
			if err != nil {
				return err
			}
			if len(states) == 0 {
				return fmt.Errorf("%s is neither in the registry nor connected; \"outfall registry quarantine\" lists unknown devices that tried", mn)
			}
			if err := showState(p, &states[0]); err != nil {
				return err
			}
			return p.flush()
		},
	}
	adminFlag(cmd, &admin)
	outputFlag(cmd, &form)
	data.flags(cmd)
	return cmd
}

// showState prints a device as a list of its properties.
func showState(p *printer, s *deviceState) error {
	if p.jsonl {
		return p.row(s)
	}
	var fail error
	line := func(name, format string, a ...any) {
		if err := p.row(nil, name, fmt.Sprintf(format, a...)); fail == nil {
			fail = err
		}
	}
	line("MN", "%s", s.MN)
	if s.Known {
		line("outlet", "%s, %s", strings.TrimSpace(s.Outlet+" "+s.OutletName), s.Enterprise)
	} else {
		line("outlet", "none: not in the registry")
	}
	if s.LastFrame != nil {
		line("last frame", "%s", localTime(*s.LastFrame))
	}
	if len(s.Sessions) == 0 {
		line("state", "offline")
	}
	for i := range s.Sessions {
		showSession(&s.Sessions[i], line)
	}
	return fail
}

func showSession(v *ingest.LiveSession, line func(name, format string, a ...any)) {
	line("session", "%s, live since %s", connText(v), localTime(v.Since))
	how := []string{"plain TCP"}
	if v.TLS {
		how[0] = "TLS"
	}
	if v.Via != "" {
		how = append(how, "by way of "+v.Via)
	}
	if v.Devices > 1 {
		how = append(how, fmt.Sprintf("%d devices on this connection", v.Devices))
	}
	line("  peer", "%s, %s", v.Peer, strings.Join(how, ", "))
	line("  speaks", "%s, CRC %s", v.Edition, v.CRC)
	line("  frames", "%d, the last at %s with CN %s", v.Frames, frameTime(v), orDash(v.LastCN))
	line("  rejects", "%s", rejectsText(v.Rejects))
	if v.QNOffsetMS != nil {
		line("  clock by QN", "%+.3f s", float64(*v.QNOffsetMS)/1000)
	}
	if v.DataTimeOffsetMS != nil {
		line("  clock by DataTime", "%+.3f s", float64(*v.DataTimeOffsetMS)/1000)
	}
	line("  under way", "%d bytes", v.UnackedBytes)
	if v.Command != "" {
		line("  command", "%s", v.Command)
	}
}
