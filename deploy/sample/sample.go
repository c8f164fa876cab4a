// Package sample holds a registry and a rule set to begin with: 50 fictional outlets in Guizhou, 26 of municipal wastewater
// plants (W01..W26) and 24 of coal-fired power units (G01..G24), and rules with the limits that such outlets have.
//
// Most data loggers speak HJ 212-2017; W13 and G12 have the 14-digit MN of HJ/T 212-2005. A few report every 5 or 10 minutes. W26
// goes offline after a minute of silence.
package sample

import _ "embed"

// Registry is registry.csv, which package registryfile reads. Do not change its bytes.
//
//go:embed registry.csv
var Registry []byte

// Rules is rules.yaml, which package rulefile reads. Do not change its bytes.
//
//go:embed rules.yaml
var Rules []byte
