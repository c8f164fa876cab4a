package telemetry

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Stack says how the gas of an outlet is measured and what its concentrations are corrected to (HJ 212-2017 annex D.2). With one, the fold
// makes a second series of every concentration in mg/m3, ug/m3 or ng/m3: dry, at standard state, corrected to RefO2 (折算浓度); its name is that of the
// factor with "-Zs" behind it, as HJ 212 calls it.
type Stack struct {
	// RefO2 is the reference oxygen content (基准含氧量) in percent, below 21; 0: the standard asks for no correction.
	RefO2 Fixed `json:"refO2,omitempty"`
	// MaxO2 is the oxygen content in percent from which nothing is corrected, because the form explodes near 21 %; above RefO2, at most 20.5.
	// 0: 19. Sinter machines, corrected to 16 or 18 %, need 20.
	MaxO2 Fixed `json:"maxO2,omitempty"`
	// Wet: concentrations and oxygen are those of the wet gas, and a01014 says how much water it has.
	Wet bool `json:"wet,omitempty"`
	// Working: concentrations are those at the temperature (a01012) and pressure (a01013, static) in the stack.
	Working bool `json:"working,omitempty"`
	// WorkingFlow: the flow (a00000) is the wet one at working conditions.
	WorkingFlow bool `json:"workingFlow,omitempty"`
	// Pressure is that of the air at the outlet in kPa, 50..110; 0: 101.325.
	Pressure Fixed `json:"pressure,omitempty"`
	// PPM are the factors that come as volume shares in ppm, at most 8.
	PPM []string `json:"ppm,omitempty"`
}

// DefaultMaxO2 is MaxO2 where the registry names none, in percent. It is a proposal, no clause.
const DefaultMaxO2 = 19 * FixedOne

// O2Limit is MaxO2, or its default.
func (s *Stack) O2Limit() Fixed {
	if s.MaxO2 != 0 {
		return s.MaxO2
	}
	return DefaultMaxO2
}

// AirPressure is Pressure, or its default.
func (s *Stack) AirPressure() Fixed {
	if s.Pressure != 0 {
		return s.Pressure
	}
	return 101_325_000
}

// AsSent reports whether concentrations come dry, at standard state, and as mass.
func (s *Stack) AsSent(factor string) bool {
	return !s.Wet && !s.Working && !slices.Contains(s.PPM, factor)
}

func (s *Stack) validate(bad func(field, format string, a ...any)) {
	switch {
	case s.RefO2 < 0 || s.RefO2 >= 21*FixedOne:
		bad("stack", "reference oxygen %s %% is not 0 (no correction) or below 21", s.RefO2)
	case s.MaxO2 != 0 && (s.MaxO2 <= s.RefO2 || s.MaxO2 > 20*FixedOne+FixedOne/2):
		bad("stack", "greatest oxygen %s %% is not above the reference oxygen and up to 20.5", s.MaxO2)
	case s.MaxO2 == 0 && s.RefO2 >= DefaultMaxO2:
		bad("stack", "greatest oxygen is 19 %% when none is given: name one above the reference oxygen, up to 20.5")
	}
	if s.Pressure != 0 && (s.Pressure < 50*FixedOne || s.Pressure > 110*FixedOne) {
		bad("stack", "air pressure %s kPa is not 50..110", s.Pressure)
	}
	if len(s.PPM) > 8 {
		bad("stack", "ppm of %d factors, at most 8", len(s.PPM))
	}
	for _, f := range s.PPM {
		if MolarMass(f) == 0 {
			bad("stack", "ppm of %q: no factor that analysers measure as a volume share", f)
		}
	}
}

// MolarMass is the molar mass, in tenths of g/mol, of a factor in mg/m3 that analysers measure as a volume share, rounded as HJ 212-2017 D.2 (20)
// and analysers do; 0 for every other. NOx counts as NO2 (D.2 (21)).
func MolarMass(factor string) int {
	switch factor {
	case "a21026": // SO2
		return 640
	case "a21002", "a21004": // NOx, NO2
		return 460
	case "a21003": // NO
		return 300
	case "a21005": // CO
		return 280
	case "a21018": // fluorides, as HF
		return 200
	case "a21024": // HCl
		return 365
	case "a21028": // H2S
		return 340
	}
	return 0
}

// String is the form of a stack in files: its parts, separated by spaces, as ParseStack reads them; ref_o2 is always there. It is empty for nil.
func (s *Stack) String() string {
	if s == nil {
		return ""
	}
	parts := []string{"ref_o2:" + s.RefO2.String()}
	if s.MaxO2 != 0 {
		parts = append(parts, "max_o2:"+s.MaxO2.String())
	}
	for _, p := range [...]struct {
		set  bool
		name string
	}{{s.Wet, "wet"}, {s.Working, "working"}, {s.WorkingFlow, "working_flow"}} {
		if p.set {
			parts = append(parts, p.name)
		}
	}
	if s.Pressure != 0 {
		parts = append(parts, "air_kpa:"+s.Pressure.String())
	}
	if len(s.PPM) > 0 {
		parts = append(parts, "ppm:"+strings.Join(s.PPM, "+"))
	}
	return strings.Join(parts, " ")
}

// ParseStack reads the form of String; nil for an empty text. Ranges are Device.Validate's.
func ParseStack(text string) (*Stack, error) {
	if text == "" {
		return nil, nil
	}
	s := &Stack{}
	numbers := map[string]*Fixed{"ref_o2": &s.RefO2, "max_o2": &s.MaxO2, "air_kpa": &s.Pressure}
	switches := map[string]*bool{"wet": &s.Wet, "working": &s.Working, "working_flow": &s.WorkingFlow}
	seen := map[string]bool{}
	for _, part := range strings.Fields(text) {
		name, value, valued := strings.Cut(part, ":")
		number, on := numbers[name], switches[name]
		switch {
		case seen[name]:
			return nil, fmt.Errorf("%s is there twice: keep one", name)
		case number != nil && valued:
			f, ok := ParseFixed(value)
			if !ok {
				return nil, fmt.Errorf("%q is no number", part)
			}
			*number = f
		case on != nil && !valued:
			*on = true
		case name == "ppm" && value != "":
			s.PPM = strings.Split(value, "+")
		default:
			return nil, fmt.Errorf("%q is none of ref_o2:6 max_o2:20 wet working working_flow air_kpa:86.5 ppm:a21026+a21002", part)
		}
		seen[name] = true
	}
	if !seen["ref_o2"] {
		return nil, errors.New("names no ref_o2, the reference oxygen in percent: 0 where the standard asks for no correction")
	}
	return s, nil
}
