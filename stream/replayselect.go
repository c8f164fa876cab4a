package stream

import (
	"strings"

	"outfall/stream/fold"
	"outfall/telemetry"
)

// A selection says whose outputs of one partition count. A device's region is the one that the registry had for it when the output was
// made: that of the day, not of today.
type selection struct {
	mns    map[string]bool // nil: all
	region string          // prefix; empty: all
	// byMN lists, in the journal's order, from which offset on a device is in the region or not.
	byMN map[string][]membership
}

type membership struct {
	from int64 // journal offset
	in   bool
}

// newSelection begins with the registry as st has it.
func newSelection(opts *ReplayOptions, st *fold.State) *selection {
	s := &selection{region: opts.Region, byMN: map[string][]membership{}}
	if len(opts.MNs) > 0 {
		s.mns = map[string]bool{}
		for _, mn := range opts.MNs {
			s.mns[mn] = true
		}
	}
	if s.region != "" {
		st.EachDevice(func(d *telemetry.Device) {
			s.byMN[d.MN] = []membership{{from: 0, in: strings.HasPrefix(d.Region, s.region)}}
		})
	}
	return s
}

// note takes over what the fold has made of a registry entry; the outputs of the entry itself are of the new region.
func (s *selection) note(e *telemetry.Entry, st *fold.State) {
	if s.region == "" || e.Kind != telemetry.KindRegistry {
		return
	}
	d, ok := st.Device(e.MN)
	list := s.byMN[e.MN]
	in := ok && strings.HasPrefix(d.Region, s.region)
	if len(list) == 0 || list[len(list)-1].in != in {
		s.byMN[e.MN] = append(list, membership{e.Offset, in})
	}
}

// now reports whether outputs of mn that st is making count.
func (s *selection) now(mn string, st *fold.State) bool {
	if s.mns != nil && !s.mns[mn] {
		return false
	}
	if s.region == "" {
		return true
	}
	d, _ := st.Device(mn)
	return strings.HasPrefix(d.Region, s.region)
}

// has reports whether an output of mn counts that was made of the entry at an offset that has been folded.
func (s *selection) has(mn string, source int64) bool {
	if s.mns != nil && !s.mns[mn] {
		return false
	}
	if s.region == "" {
		return true
	}
	in := false
	for _, m := range s.byMN[mn] {
		if m.from <= source {
			in = m.in
		}
	}
	return in
}
