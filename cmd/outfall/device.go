package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/ingest"
	"outfall/internal/broker"
	"outfall/telemetry"
)

func newDevice(a *app) *cobra.Command {
	return parent("device", "Look at devices and what they send", "List devices with their live sessions, decode HJ 212 byte streams, and follow what one device sends.",
		newDeviceLs(a), newDeviceShow(a), newDeviceDecode(a), newDeviceTail(a), newDeviceSend(a), newDeviceCommands(a))
}

// A deviceState is one device with its live sessions.
type deviceState struct {
	MN         string               `json:"mn"`
	Known      bool                 `json:"known"` // the registry names it
	Outlet     string               `json:"outlet"`
	OutletName string               `json:"outlet_name"`
	Enterprise string               `json:"enterprise"`
	LastFrame  *time.Time           `json:"last_frame,omitempty"` // of any connection, as far as the stream stage has come
	Sessions   []ingest.LiveSession `json:"sessions"`             // empty: offline
}

func newDeviceLs(a *app) *cobra.Command {
	var admin []string
	var offline bool
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List devices and their live sessions",
		Long: `List the devices of the registry, and those that are connected without being in it, with their live sessions as the gateways have
them at this moment. With --offline only devices that no gateway has a session of, with their last frame.

` + adminHelp,
		Example: "  outfall device ls\n  outfall device ls --offline --admin 10.0.0.1:9280 --admin 10.0.0.2:9280 --config outfall.yaml",
	}
	cmd.Flags().BoolVar(&offline, "offline", false, "only devices without a live session")
	adminFlag(cmd, &admin)
	return lister(a, cmd, func(form string) (*printer, error) {
		return newPrinter(a.stdout, form, "MN", "OUTLET", "STATE", "PEER", "CONN", "SINCE", "LAST FRAME", "CN", "FRAMES", "REJECTS", "CLOCK")
	}, func(ctx context.Context, access *dataAccess, p *printer) error {
		states, err := deviceStates(ctx, access, admin, "")
		if err != nil {
			return err
		}
		for i := range states {
			if s := &states[i]; !offline || len(s.Sessions) == 0 {
				if err := printState(p, s); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// deviceStates joins registry, live sessions and last frames, by MN; of one device unless mn is empty.
func deviceStates(ctx context.Context, access *dataAccess, admin []string, mn string) ([]deviceState, error) {
	live, err := liveSessions(ctx, access, admin, mn)
	if err != nil {
		return nil, err
	}
	registry, err := readRegistry(ctx, access.cluster)
	if err != nil {
		return nil, err
	}
	last, err := lastFrames(ctx, access.cluster)
	if err != nil {
		return nil, err
	}
	states := map[string]*deviceState{}
	add := func(id string) *deviceState {
		s := states[id]
		if s == nil {
			s = &deviceState{MN: id, Sessions: []ingest.LiveSession{}}
			if at, ok := last[id]; ok {
				s.LastFrame = &at
			}
			states[id] = s
		}
		return s
	}
	for id, d := range registry {
		if mn == "" || id == mn {
			s := add(id)
			s.Known, s.Outlet, s.OutletName, s.Enterprise = true, d.Outlet, d.OutletName, d.Enterprise
		}
	}
	for _, session := range live {
		s := add(session.MN)
		s.Sessions = append(s.Sessions, session)
		if at := session.LastFrame; at != nil && (s.LastFrame == nil || at.After(*s.LastFrame)) {
			s.LastFrame = at // the stream stage is behind the gateway
		}
	}
	all := make([]deviceState, 0, len(states))
	for _, id := range slices.Sorted(maps.Keys(states)) {
		slices.SortFunc(states[id].Sessions, func(x, y ingest.LiveSession) int {
			return cmp.Or(strings.Compare(x.Gateway, y.Gateway), cmp.Compare(x.Conn, y.Conn))
		})
		all = append(all, *states[id])
	}
	return all, nil
}

// lastFrames is when each device's last frame was received, as the stream stage has it.
func lastFrames(ctx context.Context, cluster *broker.Cluster) (map[string]time.Time, error) {
	seen, last := positions{}, map[string]time.Time{}
	err := cluster.ReadAll(ctx, telemetry.TopicStatus, func(rec *kgo.Record) error {
		st, fresh, err := decodeOutput[telemetry.Status](seen, rec)
		if err == nil && fresh && st.LastFrame.UnixMilli() > 0 { // 0: the stream stage has seen none
			last[st.MN] = st.LastFrame
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read status: %w", err)
	}
	return last, nil
}

// printState prints a device: in the table one row for each session, or one for a device without any.
func printState(p *printer, s *deviceState) error {
	outlet := orDash(s.Outlet)
	if p.jsonl {
		return p.row(s)
	}
	if len(s.Sessions) == 0 {
		last := "-"
		if s.LastFrame != nil {
			last = localTime(*s.LastFrame)
		}
		return p.row(s, s.MN, outlet, "offline", "-", "-", "-", last, "-", "-", "-", "-")
	}
	for i := range s.Sessions {
		v := &s.Sessions[i]
		if err := p.row(s, s.MN, outlet, "live", v.Peer, connText(v), localTime(v.Since), frameTime(v), orDash(v.LastCN), fmt.Sprint(v.Frames),
			rejectsText(v.Rejects), clockText(v)); err != nil {
			return err
		}
	}
	return nil
}

func connText(v *ingest.LiveSession) string { return fmt.Sprintf("%s/%d", v.Gateway, v.Conn) }

func frameTime(v *ingest.LiveSession) string {
	if v.LastFrame == nil {
		return "-"
	}
	return localTime(*v.LastFrame)
}

// rejectsText lists refused frames by reason.
func rejectsText(by map[string]uint32) string {
	if len(by) == 0 {
		return "0"
	}
	parts := make([]string, 0, len(by))
	for _, reason := range slices.Sorted(maps.Keys(by)) {
		parts = append(parts, fmt.Sprintf("%s %d", reason, by[reason]))
	}
	return strings.Join(parts, ", ")
}

// clockText is how far the device's clock is ahead, by the QN of its last 2011, or else by its DataTime.
func clockText(v *ingest.LiveSession) string {
	ms := v.QNOffsetMS
	if ms == nil {
		ms = v.DataTimeOffsetMS
	}
	if ms == nil {
		return "-"
	}
	return fmt.Sprintf("%+.1f s", float64(*ms)/1000)
}
