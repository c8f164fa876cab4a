package ingest

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"outfall/ingest/hj212"
	"outfall/telemetry"
)

// clockNow in the CP of a 1012 stands for the gateway's clock, see telemetry.Command.
const clockNow = "SystemTime=now"

// defaultPW is the password of every example of the standards; it goes to devices whose PW the registry does not check.
const defaultPW = "123456"

// An asker makes requests for one device by its row in the registry.
type asker struct {
	cfg    *DownlinkConfig
	device *Device // nil: the registry does not name it
}

// terms are how a command's exchange runs.
type terms struct {
	shape    hj212.Shape
	from, to time.Time // ShapeHistory: the DataTime asked for, both included
	overTime time.Duration
	execTime time.Duration
	reCount  int
}

// edition is the version that a device is asked in: the one that the registry says, else that of what it sent last.
func (a asker) edition(seen uint8) uint8 {
	if a.device != nil && a.device.versioned {
		return a.device.version
	}
	if seen > hj212.Version2025 {
		return hj212.Version2017
	}
	return seen
}

// terms are those of c, or why the device cannot be asked for it.
func (a asker) terms(c *telemetry.Command, seen uint8) (terms, error) {
	if a.device == nil {
		return terms{}, fmt.Errorf("the registry does not name %s", c.MN)
	}
	version := a.edition(seen)
	row, ok := hj212.LookupCommand(c.CN, version)
	if !ok {
		return terms{}, fmt.Errorf("CN %s is no command of %s, which the device speaks", c.CN, hj212.EditionName(version))
	}
	cp, err := a.fill(c, version, c.Created)
	if err != nil {
		return terms{}, err
	}
	if err := row.CheckRequest(cp, version); err != nil {
		return terms{}, err
	}
	t := a.pace()
	t.shape = row.RequestShape(cp)
	t.from, t.to = rangeOf(cp)
	return t, nil
}

// pace is the device's own patience where the registry says it.
func (a asker) pace() terms {
	t := terms{overTime: a.cfg.OverTime, execTime: a.cfg.ExecTime, reCount: a.cfg.ReCount}
	if d := a.device; d != nil {
		if d.OverTime > 0 {
			t.overTime = time.Duration(d.OverTime) * time.Second
		}
		if d.ReCount > 0 {
			t.reCount = d.ReCount
		}
	}
	t.execTime = max(t.execTime, t.overTime)
	return t
}

// patience is longer than any gateway stays silent about a command that it has sent.
func (a asker) patience() time.Duration {
	t := a.pace()
	return t.overTime*time.Duration(t.reCount+2) + t.execTime + noteEvery + time.Minute
}

// fill is the CP of c with what a Command does not hold: the new password of a 1072, the clock of a 1012.
func (a asker) fill(c *telemetry.Command, version uint8, now time.Time) ([]byte, error) {
	switch c.CN {
	case "1072":
		if c.CP != "" {
			return nil, errors.New("a command holds no password: the new one is the registry's")
		}
		if a.device.PWNext == "" {
			return nil, errors.New("the registry has no next password of the device")
		}
		key := "NewPW="
		if version == hj212.Version2005 {
			key = "PW="
		}
		return []byte(key + a.device.PWNext), nil
	case "1012":
		if before, after, ok := strings.Cut(c.CP, clockNow); ok {
			return append(hj212.AppendTime([]byte(before+"SystemTime="), now), after...), nil
		}
	}
	return []byte(c.CP), nil
}

// request is the frame of c under a QN, with PWNext as the password or with PW.
func (a asker) request(c *telemetry.Command, qn string, seen uint8, pwNext bool, now time.Time) ([]byte, error) {
	if a.device == nil {
		return nil, fmt.Errorf("the registry does not name %s any more", c.MN)
	}
	version := a.edition(seen)
	cp, err := a.fill(c, version, now)
	if err != nil {
		return nil, err
	}
	r := hj212.Request{QN: qn, ST: a.systemCode(), CN: c.CN, PW: a.device.PW, MN: c.MN, Version: version, WantAck: true, CP: cp, Dialect: a.device.dialect}
	if pwNext && a.device.PWNext != "" {
		r.PW = a.device.PWNext
	}
	if r.PW == "" {
		r.PW = defaultPW
	}
	return hj212.AppendRequest(nil, r), nil
}

// systemCode is the ST of requests, which is the device's own (HJ 212-2017 table 5).
func (a asker) systemCode() string {
	switch {
	case a.device.Edition == editionSurfaceWater:
		return "21"
	case a.device.Medium == "gas":
		return "31"
	}
	return "32"
}
