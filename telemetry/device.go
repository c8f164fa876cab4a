package telemetry

import (
	"errors"
	"fmt"
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
	// Removed takes the device out of the registry; its history stays.
	Removed bool `json:"removed,omitempty"`
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
	for i := 0; i < len(d.PW); i++ {
		if c := d.PW[i]; c <= ' ' || c >= 0x7f || c == ';' || c == ',' || c == '=' || c == '&' {
			bad("pw", "holds a character that no frame can carry")
			break
		}
	}
	if len(d.PW) > 64 {
		bad("pw", "is longer than 64 characters")
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
	return errors.Join(errs...)
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
