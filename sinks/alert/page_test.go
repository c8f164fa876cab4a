package alert

import (
	"os"
	"regexp"
	"testing"

	"outfall/telemetry"
)

// The messages of docs/alerts.md are what the program renders.
func TestAlertsPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	alarm := SampleMessage(FormAlarm, "c", sampleTime)
	fallback := alarm
	fallback.From, fallback.Why = "province", "130101 send too fast, exceed 20 times per minute"
	digest := alarm
	warning, cleared := alarm.Events[0], alarm.Events[0]
	warning.Level, warning.Region, warning.Enterprise, warning.OutletName, warning.Outlet = telemetry.LevelWarning, "贵州省/贵阳市/清镇市", "某某水泥有限公司", "窑尾", "DA001"
	warning.Factor, warning.Value, warning.Limit, warning.TimesOver, warning.Unit = "a21002", 92_500_000, 100*telemetry.FixedOne, 0, "mg/m³"
	cleared.State, cleared.Factor, cleared.Statistic, cleared.Value, cleared.Limit, cleared.Unit = telemetry.AlarmCleared, "w01001", telemetry.StatInstant, 7_100_000, 9*telemetry.FixedOne, ""
	cleared.WindowStart = sampleTime.Add(-35e9)
	cleared.WindowEnd, cleared.TimesOver = cleared.WindowStart, 0
	digest.Form, digest.Events = FormDigest, []Event{alarm.Events[0], warning, cleared}
	messages := map[string]Message{"alarm": alarm, "digest": digest, "fallback": fallback}
	blocks := regexp.MustCompile("(?s)```text ([a-z]+) ([a-z]+)\n(.*?)\n```").FindAllSubmatch(page, -1)
	if len(blocks) != len(messages) {
		t.Errorf("%d messages on the page, want %d", len(blocks), len(messages))
	}
	for _, b := range blocks {
		_, body, _, err := Preview(Channel{Name: "c", Type: string(b[1])}, messages[string(b[2])])
		if err != nil || body != string(b[3]) {
			t.Errorf("%s %s: %v\n got %s\npage %s", b[1], b[2], err, body, b[3])
		}
	}
}
