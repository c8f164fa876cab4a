package telemetry

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// A Device is one data logger (数采仪) of the registry: who may connect, and what is expected of it. Its canonical JSON is the value
// of the registry topic and of the journal's registry entries.
type Device struct {
	MN         string `json:"mn"`         // 1..64 printable ASCII characters, case sensitive (HJ 212-2017 table 4: 24)
	PW         string `json:"pw"`         // password of the frames' PW field; never logged. Empty: not checked
	Outlet     string `json:"outlet"`     // 排放口: a short id, unique in the province
	OutletName string `json:"outletName"` // for people
	Enterprise string `json:"enterprise"`
	Region     string `json:"region"` // province/city/county, as the alerts are routed
	// Medium is "water" or "gas".
	Medium string `json:"medium"`
	// MinuteInterval is the reporting interval of CN 2051 in minutes (MinInterval, HJ 212-2017 table 4), a divisor of 60 up to 30.
	MinuteInterval int `json:"minuteInterval"`
	// RealtimeInterval is the reporting interval of CN 2011 in seconds (RtdInterval: 30..3600); 0: no real-time data expected.
	RealtimeInterval int `json:"realtimeInterval"`
	// OfflineAfter is how many seconds without any frame make the device offline, 60..86400.
	OfflineAfter int `json:"offlineAfter"`
	// TolerantTail accepts frames that end in LF, CR or nothing instead of CR LF.
	TolerantTail bool `json:"tolerantTail"`
	// PWNext is a second password that is accepted beside PW while the device is being moved to it; empty: none. Never logged.
	PWNext string `json:"pwNext,omitempty"`
	// Networks are the CIDR prefixes that the device may connect from, at most 16; empty: any address.
	Networks []string `json:"networks,omitempty"`
	// CertName is the DNS name or common name of the client certificate that the device must show on the TLS listener; empty: none asked.
	CertName string `json:"certName,omitempty"`
	// Edition is the standard that the device follows where Flag does not tell it: "2005", "2017", "2025", or "surface-water" (HJ 1404,
	// which shares version bits with 2025); empty: by Flag, MN and QN.
	Edition string `json:"edition,omitempty"`
	// CRC is the check that the device computes: "modbus", "modbus-swapped", "ccitt" or "none"; empty: that of the standard (annex A).
	CRC string `json:"crc,omitempty"`
	// PeriodEnd says that the DataTime of 2051, 2061 and 2031 is the end of the period instead of its start. 2005 leaves it open.
	PeriodEnd bool `json:"periodEnd,omitempty"`
	// Scales correct factors that the device sends in another unit than the factor table's, at most 64.
	Scales []Scale `json:"scales,omitempty"`
	// OverTime is the answer timeout of downlink requests in seconds, 1..3600, and ReCount how often one is sent again, 1..99
	// (HJ 212-2017 table 1); 0: the gateway's setting. Imports stop at the 99 that a device can be told, see registryfile; older records may
	// have more, and their devices are still waited for as long.
	OverTime int `json:"overTime,omitempty"`
	ReCount  int `json:"reCount,omitempty"`
	// SetUp asks for the clock check and the interval set-up of HJ 212-2017 6.7 when the device connects.
	SetUp bool `json:"setUp,omitempty"`
	// Standard and Class are what the outlet is judged by, "GB 18918-2002" and "一级A"; rules select by them, and those of the built-in
	// library apply to outlets that name theirs. Empty: none.
	Standard string `json:"standard,omitempty"`
	Class    string `json:"class,omitempty"`
	// Built is when the outlet was built or approved, where limits go by that.
	Built Date `json:"built,omitempty"`
	// Judged is the mean, hour or day, by which rules with a standard say exceed at this outlet; their other means then warn. Empty: as
	// the rules say.
	Judged Statistic `json:"judged,omitempty"`
	// Permits are the limits of the discharge permit, at most MaxPermits.
	Permits []Permit `json:"permits,omitempty"`
	// Stack says how the gas of the outlet is measured and what it is corrected to; nil: concentrations are taken as they are sent.
	Stack *Stack `json:"stack,omitempty"`
	// FlowWeighted asks for means of water that are weighted by the flow (w00000): mass over volume, HJ 212-2017 D.1 forms (12) to (14). Without it
	// they are plain means, forms (15) to (17).
	FlowWeighted bool `json:"flowWeighted,omitempty"`
	// Removed takes the device out of the registry; its history stays.
	Removed bool `json:"removed,omitempty"`
}

// A Scale is one factor's unit correction: a value counts as value·10^Exp in the unit of the factor table.
type Scale struct {
	Factor string `json:"factor"` // code as sent
	Exp    int    `json:"exp"`    // -9..9, not 0; ug/m3 sent for mg/m3: -3
}

// Validate reports every fault of d at once; each begins with the JSON name of its field.
func (d *Device) Validate() error {
	var errs []error
	bad := func(field, format string, a ...any) {
		errs = append(errs, fmt.Errorf("%s: "+format, append([]any{field}, a...)...))
	}
	if !ValidMN(d.MN) {
		bad("mn", "%q is not 1..64 printable characters without ';', ',', '=' and '&'", d.MN)
	}
	if !wirePassword(d.PW) {
		bad("pw", "holds a character that no frame can carry, or more than 64 of them")
	}
	if d.Outlet == "" {
		bad("outlet", "is empty")
	}
	if d.Medium != "water" && d.Medium != "gas" {
		bad("medium", "%q is neither water nor gas", d.Medium)
	}
	if n := d.MinuteInterval; n < 1 || n > 30 || 60%n != 0 {
		bad("minuteInterval", "%d is not one of 1,2,3,4,5,6,10,12,15,20,30 minutes", n)
	}
	if n := d.RealtimeInterval; n != 0 && (n < 5 || n > 3600) {
		bad("realtimeInterval", "%d is not 0 or 5..3600 seconds", n)
	}
	if n := d.OfflineAfter; n < 60 || n > 86400 {
		bad("offlineAfter", "%d is not 60..86400 seconds", n)
	}
	switch {
	case d.Stack != nil && d.Medium == "water":
		bad("stack", "is for gas, not for water")
	case d.Stack != nil:
		d.Stack.validate(bad)
	}
	if d.FlowWeighted && d.Medium == "gas" {
		bad("flowWeighted", "is for water, not for gas")
	}
	d.validateLine(bad)
	d.validateLaw(bad)
	return errors.Join(errs...)
}

// validateLine checks how the device speaks and who may speak for it.
func (d *Device) validateLine(bad func(field, format string, a ...any)) {
	if !wirePassword(d.PWNext) {
		bad("pwNext", "holds a character that no frame can carry, or more than 64 of them")
	}
	if len(d.Networks) > 16 {
		bad("networks", "are %d, at most 16", len(d.Networks))
	}
	for _, n := range d.Networks {
		if _, err := netip.ParsePrefix(n); err != nil {
			bad("networks", "%q is not an address prefix such as 10.1.0.0/16", n)
		}
	}
	if !slices.Contains([]string{"", "2005", "2017", "2025", "surface-water"}, d.Edition) {
		bad("edition", "%q is none of 2005, 2017, 2025, surface-water", d.Edition)
	}
	if !slices.Contains([]string{"", "modbus", "modbus-swapped", "ccitt", "none"}, d.CRC) {
		bad("crc", "%q is none of modbus, modbus-swapped, ccitt, none", d.CRC)
	}
	if len(d.Scales) > 64 {
		bad("scales", "are %d, at most 64", len(d.Scales))
	}
	for _, s := range d.Scales {
		if s.Factor == "" || s.Exp == 0 || s.Exp < -9 || s.Exp > 9 {
			bad("scales", "%q with exponent %d is not a factor and -9..9 without 0", s.Factor, s.Exp)
		}
	}
	if n := d.OverTime; n < 0 || n > 3600 {
		bad("overTime", "%d is not 0..3600 seconds", n)
	}
	if n := d.ReCount; n < 0 || n > 99 {
		bad("reCount", "%d is not 0..99", n)
	}
}

// wirePassword reports whether s can stand in a frame's PW field; empty can.
func wirePassword(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == ';' || c == ',' || c == '=' || c == '&' {
			return false
		}
	}
	return len(s) <= 64
}

// ValidMN reports whether s can be a device id: opaque, 1..64 printable ASCII characters, none of them a separator.
func ValidMN(s string) bool {
	if len(s) == 0 || len(s) > 64 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == ';' || c == ',' || c == '=' || c == '&' {
			return false
		}
	}
	return true
}

// China is UTC+8, the wall clock of every DataTime and QN (no summer time). It is a fixed zone so that no machine's time zone
// data can change a result.
var China = time.FixedZone("UTC+8", 8*3600)
