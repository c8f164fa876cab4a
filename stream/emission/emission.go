// Package emission turns what an analyser measures in a stack into what a limit speaks of: dry concentrations at standard state, corrected
// to a reference oxygen content (折算), and masses (HJ 212-2017 annex D.2; its forms are cited by number). It is pure: integers only, every
// result rounded once, half to even (GB/T 8170).
//
// Concentrations are in mg/m3, oxygen and humidity in percent, temperatures in °C, pressures in kPa, flows in m3/s: the units of HJ
// 212-2017 annex B. Every function reports ok = false where its form has no meaning, or no result within the range of telemetry.Fixed.
package emission

import "outfall/telemetry"

const (
	one     = telemetry.FixedOne
	percent = 100 * one

	airO2   = 21 * one             // percent of oxygen in air, as form (28) has it
	normalK = 273 * one            // 0 °C in kelvin, as forms (18) and (31) have it
	normalP = 101_325 * one / 1000 // kPa
)

// Corrected is the concentration at the reference oxygen content ref (折算浓度): dry·(21-ref)/(21-o2), form (28); also GB 13271-2014 5.2,
// GB 4915-2013 4.1.4, GB 31571-2015 5.1.5, GB 37822-2019 10.3.3. Oxygen of 21 % or more has no correction, and neither has a reference that
// is not below 21 %. Oxygen-enriched combustion (GB 18484-2020 3.20) is not covered.
func Corrected(dry, o2, ref telemetry.Fixed) (telemetry.Fixed, bool) {
	if o2 < 0 || o2 >= airO2 || ref < 0 || ref >= airO2 {
		return 0, false
	}
	return dry.MulDiv(uint64(airO2-ref), uint64(airO2-o2))
}

// Dry is a wet concentration, or wet oxygen content, without the water: wet/(1-humidity), form (19).
func Dry(wet, humidity telemetry.Fixed) (telemetry.Fixed, bool) {
	if humidity < 0 || humidity >= percent {
		return 0, false
	}
	return wet.MulDiv(uint64(percent), uint64(percent-humidity))
}

// Standard is a concentration at working conditions brought to 0 °C and 101.325 kPa, form (18). pressure is absolute: that of the air and
// the static one of the stack together.
func Standard(c, temperature, pressure telemetry.Fixed) (telemetry.Fixed, bool) {
	if !credible(temperature, pressure) {
		return 0, false
	}
	return c.MulDiv(uint64(normalP)*uint64(normalK+temperature), uint64(pressure)*uint64(normalK))
}

// StandardFlow is a wet flow at working conditions as the dry one at standard state, form (31).
func StandardFlow(q, temperature, pressure, humidity telemetry.Fixed) (telemetry.Fixed, bool) {
	if !credible(temperature, pressure) || humidity < 0 || humidity >= percent {
		return 0, false
	}
	// Kelvins, kPa and percent to a thousandth: their products then fit 64 bits, and analysers do not send more.
	const thousandth = one / 1000
	num := uint64(normalK/thousandth) * uint64(pressure/thousandth) * uint64((percent-humidity)/thousandth)
	den := uint64((normalK+temperature)/thousandth) * uint64(normalP/thousandth) * uint64(percent/thousandth)
	return q.MulDiv(num, den)
}

// credible bounds what a stack can be, so that no product leaves 64 bits: above -100 °C and up to 2,000 °C, above 10 and up to 1,000 kPa.
func credible(temperature, pressure telemetry.Fixed) bool {
	return temperature > -100*one && temperature <= 2000*one && pressure > 10*one && pressure <= 1000*one
}

// FromPPM is a volume share of ppm as a mass concentration: molar/22.4·ppm, form (20). molar is in tenths of g/mol, see telemetry.MolarMass.
func FromPPM(ppm telemetry.Fixed, molar int) (telemetry.Fixed, bool) {
	return ppm.MulDiv(uint64(molar), 224)
}

// Mass is what a dry concentration in a dry flow carries in so many seconds, in kg: c·q·s·1e-6, form (33), whose concentration is the measured
// dry one and never the corrected one. seconds is 0..1e8.
func Mass(c, q telemetry.Fixed, seconds int64) (telemetry.Fixed, bool) {
	if q < 0 || seconds < 0 || uint64(q) > 1<<63/uint64(max(seconds, 1)) {
		return 0, false
	}
	return c.MulDiv(uint64(q)*uint64(seconds), uint64(one)*1_000_000)
}
