package registryfile

import (
	"fmt"
	"strconv"
	"strings"

	"outfall/telemetry"
)

// An optional column need not be there. An empty field is the value that most devices have.
type optional struct {
	name   string
	field  string // as telemetry.Device.Validate calls it
	format func(d *telemetry.Device) string
	// parse sets the field of d; it returns what is wrong with text, without a password in it, or nothing. What Validate finds as well it
	// leaves to that.
	parse func(d *telemetry.Device, text string) (fault string)
}

var optionals = [...]optional{
	{"pw_next", "pwNext", func(d *telemetry.Device) string { return d.PWNext }, func(d *telemetry.Device, text string) string {
		d.PWNext = text
		return ""
	}},
	{"networks", "networks", func(d *telemetry.Device) string { return strings.Join(d.Networks, " ") }, func(d *telemetry.Device, text string) string {
		d.Networks = nil
		if list := strings.Fields(text); len(list) > 0 {
			d.Networks = list
		}
		return ""
	}},
	{"cert_name", "certName", func(d *telemetry.Device) string { return d.CertName }, func(d *telemetry.Device, text string) string {
		if tooLong(text) {
			return longText
		}
		d.CertName = text
		return ""
	}},
	{"edition", "edition", func(d *telemetry.Device) string { return d.Edition }, func(d *telemetry.Device, text string) string {
		d.Edition = text
		return ""
	}},
	{"crc", "crc", func(d *telemetry.Device) string { return d.CRC }, func(d *telemetry.Device, text string) string {
		d.CRC = text
		return ""
	}},
	{"period_end", "periodEnd", func(d *telemetry.Device) string { return formatYes(d.PeriodEnd) }, func(d *telemetry.Device, text string) string {
		return parseYes(&d.PeriodEnd, text)
	}},
	{"scales", "scales", func(d *telemetry.Device) string { return formatScales(d.Scales) }, parseScales},
	{"over_time_s", "overTime", func(d *telemetry.Device) string { return formatWhole(d.OverTime) }, func(d *telemetry.Device, text string) string {
		return parseWhole(&d.OverTime, text)
	}},
	{"re_count", "reCount", func(d *telemetry.Device) string { return formatWhole(d.ReCount) }, func(d *telemetry.Device, text string) string {
		return parseWhole(&d.ReCount, text)
	}},
	{"set_up", "setUp", func(d *telemetry.Device) string { return formatYes(d.SetUp) }, func(d *telemetry.Device, text string) string {
		return parseYes(&d.SetUp, text)
	}},
	{"standard", "standard", func(d *telemetry.Device) string { return d.Standard }, func(d *telemetry.Device, text string) string {
		d.Standard = text
		return ""
	}},
	{"class", "class", func(d *telemetry.Device) string { return d.Class }, func(d *telemetry.Device, text string) string {
		d.Class = text
		return ""
	}},
	{"built", "built", func(d *telemetry.Device) string { return d.Built.String() }, func(d *telemetry.Device, text string) string {
		if d.Built.UnmarshalText([]byte(text)) != nil {
			return fmt.Sprintf("%q is not a day like 2006-01-01", text)
		}
		return ""
	}},
	{"judged", "judged", func(d *telemetry.Device) string { return string(d.Judged) }, func(d *telemetry.Device, text string) string {
		d.Judged = telemetry.Statistic(text)
		return ""
	}},
	{"permits", "permits", func(d *telemetry.Device) string { return formatPermits(d.Permits) }, parsePermits},
	{"stack", "stack", func(d *telemetry.Device) string { return d.Stack.String() }, func(d *telemetry.Device, text string) string {
		s, err := telemetry.ParseStack(text)
		if err != nil {
			return err.Error()
		}
		d.Stack = s
		return ""
	}},
	{"flow_weighted", "flowWeighted", func(d *telemetry.Device) string { return formatYes(d.FlowWeighted) }, func(d *telemetry.Device, text string) string {
		return parseYes(&d.FlowWeighted, text)
	}},
}

func formatYes(yes bool) string {
	if yes {
		return "yes"
	}
	return ""
}

func parseYes(to *bool, text string) string {
	switch text {
	case "yes":
		*to = true
	case "", "no":
		*to = false
	default:
		return fmt.Sprintf("%q is neither yes nor no, nor empty for no", text)
	}
	return ""
}

// formatWhole leaves 0, the gateway's setting, empty.
func formatWhole(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func parseWhole(to *int, text string) string {
	if text == "" {
		*to = 0
		return ""
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return fmt.Sprintf("%q is not a whole number", text)
	}
	*to = n
	return ""
}

func formatScales(scales []telemetry.Scale) string {
	parts := make([]string, len(scales))
	for i, s := range scales {
		parts[i] = s.Factor + ":" + strconv.Itoa(s.Exp)
	}
	return strings.Join(parts, " ")
}

func parseScales(d *telemetry.Device, text string) string {
	d.Scales = nil
	for _, part := range strings.Fields(text) {
		factor, exp, ok := strings.Cut(part, ":")
		n, err := strconv.Atoi(exp)
		if !ok || err != nil {
			return fmt.Sprintf("%q is not a factor and a power of ten, as in a34004:-3", part)
		}
		d.Scales = append(d.Scales, telemetry.Scale{Factor: factor, Exp: n})
	}
	return ""
}
