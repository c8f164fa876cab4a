package fold

import (
	"fmt"
	"slices"

	"outfall/telemetry"
)

// A kind is a telemetry.Statistic as a small number.
type kind uint8

const (
	kindInstant kind = iota
	kindMinute
	kindHour
	kindDay
	kindRolling1
	kindRolling24
)

// A kindSet has bit 1<<k for each kind k in it.
type kindSet uint8

var statistics = [...]telemetry.Statistic{kindInstant: telemetry.StatInstant, kindMinute: telemetry.StatMinute, kindHour: telemetry.StatHour,
	kindDay: telemetry.StatDay, kindRolling1: telemetry.StatRolling1, kindRolling24: telemetry.StatRolling24}

func (k kind) statistic() telemetry.Statistic { return statistics[k] }

// kindOf is the kind of a statistic, which a valid rule has.
func kindOf(s telemetry.Statistic) kind {
	i := slices.Index(statistics[:], s)
	if i < 0 {
		panic(fmt.Sprintf("fold: a rule with the statistic %q", s))
	}
	return kind(i)
}
