package integrity

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"outfall/telemetry"
)

// The page says of every detector what its thresholds are.
func TestDetectorsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/integrity.md")
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range telemetry.Detectors() {
		found := false
		for line := range strings.Lines(string(page)) {
			found = found || strings.HasPrefix(line, fmt.Sprintf("| `%s` | ", d)) && strings.Contains(line, fmt.Sprintf(" | %s | %s | %s", defaults[i].gas, defaults[i].water, defaults[i].source))
		}
		if !found {
			t.Errorf("no row of %s with %s, %s, %s", d, defaults[i].gas, defaults[i].water, defaults[i].source)
		}
	}
}
