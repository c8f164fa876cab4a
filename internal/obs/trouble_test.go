package obs

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestTrouble(t *testing.T) {
	var h Trouble
	if h.Err("points", "InfluxDB") != nil || !h.Note(errors.New("away")) {
		t.Error("the first trouble is not logged")
	}
	if h.Note(errors.New("still away")) {
		t.Error("the second one is logged at once")
	}
	h.ClearAfter(time.Hour)
	if err := h.Err("points", "InfluxDB"); err == nil || !strings.HasSuffix(err.Error(), "still away") {
		t.Errorf("err = %v", err)
	}
	h.ClearAfter(0)
	if h.Err("points", "InfluxDB") != nil {
		t.Error("the trouble outlives its quiet time")
	}
	if !h.Note(errors.New("away again")) {
		t.Error("a new trouble is not logged")
	}
	if _, ok := h.Clear(); !ok {
		t.Error("nothing to clear")
	}
}
