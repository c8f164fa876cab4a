package telemetry

import (
	_ "embed"
	"encoding/csv"
	"fmt"
	"strings"
	"sync"
)

// A Factor is one monitoring factor (监测因子), a row of HJ 212-2017 annex B or one seen in practice.
type Factor struct {
	Code       string // "w01018"
	Legacy     string // HJ/T 212-2005 code, "011"; empty: none
	NameZH     string
	NameEN     string
	Unit       string // of values on the wire, by annex B; loggers in the field deviate
	Medium     string
	Confidence string // confirmed, single, ... of the row's source
}

//go:embed factors.csv
var factorsCSV string

type factorTable struct {
	all    []Factor
	byCode map[string]int
	legacy map[string]int
}

var factors = sync.OnceValue(func() *factorTable {
	rows, err := csv.NewReader(strings.NewReader(factorsCSV)).ReadAll()
	if err != nil {
		panic(fmt.Sprintf("telemetry: factors.csv: %v", err))
	}
	t := &factorTable{byCode: map[string]int{}, legacy: map[string]int{}}
	for _, r := range rows[1:] {
		f := Factor{Code: r[0], Legacy: r[1], NameZH: r[2], NameEN: r[3], Unit: r[4], Medium: r[5], Confidence: r[7]}
		if f.Code == "" {
			f.Code = f.Legacy // a 2005 code without a successor is its own name
		}
		if _, dup := t.byCode[f.Code]; dup {
			continue
		}
		t.byCode[f.Code] = len(t.all)
		if f.Legacy != "" && !legacyUnitChanged[f.Legacy] {
			if _, dup := t.legacy[f.Legacy]; !dup {
				t.legacy[f.Legacy] = len(t.all)
			}
		}
		t.all = append(t.all, f)
	}
	return t
})

// legacyUnitChanged lists the 2005 codes whose successor has another unit (mg/L became ug/L, MPa became kPa, mg/m3 became ng/m3).
// They stay under their own name: turning 020 into w20111 without the factor 1000 would make a false or a missed exceedance.
var legacyUnitChanged = map[string]bool{
	"020": true, "021": true, "022": true, "024": true, "026": true, "027": true, "034": true, "035": true, "041": true, // water metals
	"S04": true, "S08": true, // pressures
	"10": true, // ammonia in air
}

// Factors lists the factor table in the order of annex B. The slice is the caller's.
func Factors() []Factor { return append([]Factor(nil), factors().all...) }

// LookupFactor finds a factor by the code on the wire. A 2005 code resolves to its 2017 successor where the unit stayed the same.
// ok is false for a code outside the table; such data are kept under their own code.
func LookupFactor(code string) (f Factor, ok bool) {
	t := factors()
	if i, ok := t.byCode[code]; ok {
		return t.all[i], true
	}
	if i, ok := t.legacy[code]; ok {
		return t.all[i], true
	}
	return Factor{}, false
}
