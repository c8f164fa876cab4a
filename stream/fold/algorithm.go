package fold

import (
	"encoding/json"
	"errors"
	"fmt"

	"outfall/telemetry"
)

// Algorithms is the newest arithmetic that this package has. It has all from 1 on, so that every range replays by the one of its day:
//
//	1  what a journal without a version entry is folded by
//	2  a real-time value (CN 2011) that is no number is recorded for its time as a number is: what comes later for that time is a
//	   duplicate or a conflict. By 1 it is a point always, and in a database takes the place of the one that was there.
//	   Detectors watch the devices (findings "anomaly"), a day's rates of transmission are published, gaps say their cause.
const Algorithms = 2

// ErrAlgorithm is a switch to an arithmetic that this package lacks: entries behind it cannot be folded.
var ErrAlgorithm = errors.New("unknown algorithm")

// CheckVersion reports whether the value of a version entry can be followed. The error wraps ErrAlgorithm when it names an algorithm that
// is missing here; any other means that the value is no version.
func CheckVersion(value []byte) error {
	_, err := parseVersion(value)
	return err
}

func parseVersion(value []byte) (algorithm int, err error) {
	var v telemetry.Version
	if err := json.Unmarshal(value, &v); err != nil {
		return 0, fmt.Errorf("version: %w", err)
	}
	if v.Algorithm < 1 {
		return 0, fmt.Errorf("version: algorithm %d is not 1 or more", v.Algorithm)
	}
	if v.Algorithm > Algorithms {
		return 0, fmt.Errorf("%w %d, this program has 1..%d: go on with the newer program that was in use", ErrAlgorithm, v.Algorithm, Algorithms)
	}
	return v.Algorithm, nil
}
