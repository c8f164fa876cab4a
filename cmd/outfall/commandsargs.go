package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"outfall/ingest/hj212"
	"outfall/rules/rulefile"
	"outfall/telemetry"
)

// commandWords are words for the commands of HJ 212 annex C that operators use most. Every other goes by its CN.
var commandWords = [...]struct{ name, cn, preset, params string }{
	{"clock-get", "1011", "", "[PolId=w01018]"},
	{"clock-set", "1012", "SystemTime=now", "[SystemTime=now] [PolId=w01018]"},
	{"timeout-set", "1000", "", "OverTime=10 ReCount=3"},
	{"realtime-interval-get", "1061", "", ""},
	{"realtime-interval-set", "1062", "", "RtdInterval=30"},
	{"minute-interval-get", "1063", "", ""},
	{"minute-interval-set", "1064", "", "MinInterval=10"},
	{"password-set", "1072", "", ""},
	{"realtime-start", "2011", "", ""},
	{"realtime-stop", "2012", "", ""},
	{"state-start", "2021", "", ""},
	{"state-stop", "2022", "", ""},
	{"recall-minutes", "2051", "", "--from TIME --to TIME"},
	{"recall-hours", "2061", "", "--from TIME --to TIME"},
	{"recall-days", "2031", "", "--from TIME --to TIME"},
	{"recall-run-time", "2041", "", "--from TIME --to TIME"},
	{"calibrate", "3011", "", "PolId=w01018"},
	{"sample", "3012", "", "PolId=w01018"},
	{"clean", "3013", "", "PolId=w01018"},
	{"comparison-sample", "3014", "", "PolId=w01018"},
	{"keep-sample", "3015", "", ""},
	{"sample-period-set", "3016", "", "PolId=w01018 CstartTime=000000 CTime=2"},
	{"sample-period-get", "3017", "", "PolId=w01018"},
	{"sample-time-get", "3018", "", "PolId=w01018"},
	{"serial-get", "3019", "", "PolId=w01018"},
	{"info-get", "3020", "", "InfoId=i12001 [PolId=w01018] [--from TIME --to TIME]"},
	{"info-set", "3021", "", "PolId=w01018 InfoId=i13004 i13004-Info=168.0"},
}

// commandList is the table of names for help.
func commandList() string {
	var b strings.Builder
	for _, c := range commandWords {
		fmt.Fprintf(&b, "  %-22s %s  %s\n", c.name, c.cn, c.params)
	}
	return b.String()
}

// commandCN is the CN that a word stands for, and the parameter that it brings.
func commandCN(word string) (cn, preset string, err error) {
	if len(word) == 4 && strings.Trim(word, "0123456789") == "" {
		return word, "", nil
	}
	var names []string
	for _, c := range commandWords {
		if c.name == word {
			return c.cn, c.preset, nil
		}
		names = append(names, c.name)
	}
	hint := ""
	if best := rulefile.Nearest(names, word); best != "" {
		hint = fmt.Sprintf("; did you mean %q?", best)
	}
	return "", "", usagef("%q is neither a CN of four digits nor the name of a command%s", word, hint)
}

// commandCP makes the CP of a request: the command's preset unless it is given, the parameters in the order given, the period last. Times
// may be given as wall clock of UTC+8, or as the wire has them.
func commandCP(preset string, params []string, from, to string) (string, error) {
	var parts []string
	given := func(key string) bool {
		return slices.ContainsFunc(params, func(p string) bool { return strings.HasPrefix(p, key+"=") })
	}
	if key, _, _ := strings.Cut(preset, "="); preset != "" && !given(key) {
		parts = append(parts, preset)
	}
	for _, p := range params {
		key, value, ok := strings.Cut(p, "=")
		if !ok || key == "" {
			return "", usagef("%q is not a parameter such as PolId=w01018", p)
		}
		if strings.ContainsAny(p, ";&") {
			return "", usagef("parameter %s: holds a separator", key)
		}
		if key == "SystemTime" && value == "now" {
			parts = append(parts, p)
			continue
		}
		if key == "BeginTime" || key == "EndTime" || key == "SystemTime" {
			wire, err := wireTime(key, value)
			if err != nil {
				return "", err
			}
			p = key + "=" + wire
		}
		parts = append(parts, p)
	}
	if (from == "") != (to == "") {
		return "", usagef("--from and --to go together")
	}
	if from != "" {
		begin, err := wireTime("--from", from)
		if err != nil {
			return "", err
		}
		end, err := wireTime("--to", to)
		if err != nil {
			return "", err
		}
		parts = append(parts, "BeginTime="+begin, "EndTime="+end)
	}
	return strings.Join(parts, ";"), nil
}

// wireTime is a time of the command line as YYYYMMDDhhmmss of UTC+8.
func wireTime(name, text string) (string, error) {
	if t, ok := hj212.ParseTime([]byte(text)); ok && len(text) == 14 {
		return string(hj212.AppendTime(nil, t)), nil
	}
	t, err := parseInstant(name, text)
	if err != nil {
		return "", err
	}
	return string(hj212.AppendTime(nil, t)), nil
}

// checkCommand reports whether a device can be asked for c, and whether that changes it. The edition is the registry's; where that leaves it to
// the device's frames, the likeliest edition that has the command, and the gateway checks again by what the device speaks.
func checkCommand(c *telemetry.Command, d *telemetry.Device) (changes bool, err error) {
	if c.CN == "1072" && c.CP != "" {
		return true, errors.New("the new password is not given here: it is the registry's next one")
	}
	if c.CN == "1072" && d.PWNext == "" {
		return true, errors.New(`the registry has no next password of the device: set one with "outfall registry set-password --next"`)
	}
	versions := deviceVersions(d)
	for _, version := range versions {
		if row, ok := hj212.LookupCommand(c.CN, version); ok {
			return row.Changes && row.RequestShape([]byte(c.CP)) != hj212.ShapeHistory, row.CheckRequest([]byte(checkedCP(c, d, version)), version)
		}
	}
	return true, fmt.Errorf("CN %s is no command of %s", c.CN, hj212.EditionName(versions[0]))
}

// checkedCP is the CP of c with what the gateway fills in.
func checkedCP(c *telemetry.Command, d *telemetry.Device, version uint8) string {
	switch {
	case c.CN == "1072" && version == hj212.Version2005:
		return "PW=" + d.PWNext
	case c.CN == "1072":
		return "NewPW=" + d.PWNext
	}
	return strings.Replace(c.CP, "SystemTime=now", "SystemTime="+string(hj212.AppendTime(nil, time.Unix(0, 0))), 1)
}

// deviceVersions are the editions that a device may speak, the likeliest first.
func deviceVersions(d *telemetry.Device) []uint8 {
	switch d.Edition {
	case "2005":
		return []uint8{hj212.Version2005}
	case "2017":
		return []uint8{hj212.Version2017}
	case "2025", "surface-water":
		return []uint8{hj212.Version2025}
	}
	if len(d.MN) == 14 {
		return []uint8{hj212.Version2005, hj212.Version2017, hj212.Version2025}
	}
	return []uint8{hj212.Version2017, hj212.Version2005, hj212.Version2025}
}
