package fold

import (
	"strings"
	"testing"
	"time"

	"outfall/telemetry"
)

func (b *bed) second(peer, other string) {
	ev := telemetry.Session{MN: mn, Event: "second", Peer: peer, Conn: 7, Cause: "replaced", Other: other}
	b.apply(telemetry.KindSession, mn, telemetry.AppendJSON(nil, &ev))
}

func TestSecondSessionsAreFoundOnceAnHour(t *testing.T) {
	b := newBed(t)
	b.take(0)
	for range 5 {
		b.second("10.0.0.2:5000", "10.0.0.1:4000")
		b.wait(20 * time.Second)
	}
	got := b.findings()
	if len(got) != 1 || got[0].Kind != telemetry.FindingSecondSession || got[0].Count != 1 {
		t.Fatalf("findings %+v, want one second_session", got)
	}
	for _, want := range []string{"10.0.0.2:5000", "10.0.0.1:4000", "replaced"} {
		if !strings.Contains(got[0].Detail, want) {
			t.Errorf("detail %q does not name %s", got[0].Detail, want)
		}
	}
	b.now = b.now.Add(time.Hour)
	b.tick()
	b.take(0)
	b.second("10.0.0.3:6000", "10.0.0.2:5000")
	if got = b.findings(); len(got) != 1 || got[0].Count != 5 {
		t.Errorf("findings %+v, want one of count 5: four were not reported", got)
	}
	b.apply(telemetry.KindSession, mn, telemetry.AppendJSON(nil, &telemetry.Session{MN: mn, Event: "close", Peer: "10.0.0.3:6000", Cause: "replaced"}))
	b.apply(telemetry.KindSession, mn, []byte("{"))
	b.wantKinds()
}

func TestCommandsThatFailAreFound(t *testing.T) {
	b := newBed(t)
	b.take(0)
	b.apply(telemetry.KindCommand, mn, telemetry.AppendJSON(nil, &telemetry.Command{ID: "c1", MN: mn, CN: "1012", Operator: "wang"}))
	outcome := func(o telemetry.Outcome) {
		o.ID, o.MN, o.CN, o.QN = "c1", mn, "1012", qn1
		b.apply(telemetry.KindOutcome, mn, telemetry.AppendJSON(nil, &o))
	}
	outcome(telemetry.Outcome{Step: telemetry.StepSending, Try: 1})
	outcome(telemetry.Outcome{Step: telemetry.StepAccepted, Code: 1})
	outcome(telemetry.Outcome{Step: telemetry.StepDone, Code: 1})
	b.apply(telemetry.KindOutcome, mn, []byte("nonsense"))
	b.wantKinds()
	outcome(telemetry.Outcome{Step: telemetry.StepRefused, Code: 3})
	outcome(telemetry.Outcome{Step: telemetry.StepFailed, Code: 100})
	outcome(telemetry.Outcome{Step: telemetry.StepFailed, Detail: "no answer after 3 tries"})
	outcome(telemetry.Outcome{Step: telemetry.StepExpired})
	want := []string{"command c1 refused, QnRtn=3", "command c1 failed, ExeRtn=100", "command c1 failed: no answer after 3 tries", "command c1 expired"}
	got := b.findings()
	if len(got) != len(want) {
		t.Fatalf("findings %+v, want %d", got, len(want))
	}
	for i, f := range got {
		if f.Kind != telemetry.FindingCommandFailed || f.CN != "1012" || f.QN != qn1 || f.Detail != want[i] {
			t.Errorf("finding %+v, want command_failed of 1012: %q", f, want[i])
		}
	}
}
