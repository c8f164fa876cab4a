package main

import (
	"context"
	"errors"
	"fmt"

	"outfall/internal/broker"
	"outfall/telemetry"
)

// A markImport is what an import of marks did.
type markImport struct {
	Written int `json:"written"`
	Had     int `json:"had"` // ids that the journal has already
}

// write writes the marks of a file that the journal does not have, all or none.
func (f *markFile) write(ctx context.Context, cluster *broker.Cluster, p *printer) error {
	fresh, had, err := f.check(ctx, cluster)
	if err != nil {
		return err
	}
	if err := writeMarks(ctx, cluster, fresh); err != nil {
		return err
	}
	res := markImport{len(fresh), had}
	if err := p.row(res, fmt.Sprintf("%d marks written, %d were there already", res.Written, res.Had)); err != nil {
		return err
	}
	return p.flush()
}

// check looks at the marks of a file beside the registry, the journal and each other: a device must be known, an id new, and what is replaced
// must hold until then.
func (f *markFile) check(ctx context.Context, cluster *broker.Cluster) (fresh []telemetry.Mark, had int, err error) {
	registry, err := readRegistry(ctx, cluster)
	if err != nil {
		return nil, 0, err
	}
	rows, err := readMarks(ctx, cluster, "")
	if err != nil {
		return nil, 0, err
	}
	known := map[string]bool{} // device and id of every mark; false: it does not hold any more
	for _, r := range rows {
		known[r.MN+" "+r.ID] = !r.Revoked && r.By == ""
	}
	seen := map[string]int{}
	for i := range f.marks {
		m, line, at := &f.marks[i], f.lines[i], f.at[i]
		key, old := m.MN+" "+m.ID, m.MN+" "+m.Replaces
		holds, there := known[old]
		_, twice := seen[key]
		_, before := known[key]
		_, registered := registry[m.MN]
		switch {
		case !registered:
			f.bad(line, at["mn"], "the registry has no device %s", m.MN)
		case twice:
			f.bad(line, max(at["id"], 1), "the id %s is in line %d as well", m.ID, seen[key])
		case before:
			had++
		case m.Replaces != "" && !there:
			f.bad(line, at["replaces"], "device %s has no mark %s", m.MN, m.Replaces)
		case m.Replaces != "" && !holds:
			f.bad(line, at["replaces"], "mark %s is replaced or revoked already", m.Replaces)
		default:
			fresh = append(fresh, *m)
			known[key] = true
			if m.Replaces != "" {
				known[old] = false
			}
		}
		seen[key] = line
	}
	if len(f.errs) > 0 {
		return nil, 0, &codedError{exitUsage, errors.Join(f.errs...)}
	}
	return fresh, had, nil
}
