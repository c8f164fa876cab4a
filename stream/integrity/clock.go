package integrity

import (
	"fmt"

	"outfall/telemetry"
)

// clock (时钟异常): the device's clock. A record that is fresh by its own time is received more than the threshold, 5 minutes, before or after that
// time says: a clock that is ahead sends the future, one that is behind makes all of its data late. Or its real-time data step back in time.
// Proposed. A time more than ten minutes ahead is refused by the clock guard besides, as the finding "future".
//
// Guards: data that are sent again after an outage carry old times honestly: behind is only who is behind in every real-time frame of an hour, at least
// six of them, by about the same offset, within one minute. Backward steps count in real-time frames only, and need two in an hour: one is
// a frame that overtook another.
var clockDefault = threshold{gas: whole(5), water: whole(5), source: proposed}

// A clockWatch sums up the real-time frames since the newest hour. Offsets are seconds that the device is behind its receipt.
type clockWatch struct {
	frames      uint16
	back        uint16
	least, most int32
	newest      int64 // greatest time of a real-time frame, ms
}

// Realtime notes the time of a real-time frame (CN 2011) and of its receipt, ms.
func (w *Watch) Realtime(at, received int64) {
	c := &w.device.clock
	behind := int32(max(-1<<30, min(1<<30, (received-at)/1000)))
	if c.frames == 0 || behind < c.least {
		c.least = behind
	}
	if c.frames == 0 || behind > c.most {
		c.most = behind
	}
	c.frames = min(c.frames+1, 60_000)
	if at < c.newest {
		c.back = min(c.back+1, 60_000)
	}
	c.newest = max(c.newest, at)
}

const (
	clockFrames = 6
	clockBand   = 60
	clockBack   = 2
)

func (c *scan) clockOffset(d *deviceWatch) {
	k := d.clock
	d.clock = clockWatch{newest: k.newest}
	limit := c.limitOf(clockOffset)
	v, how := verdict{quiet: 2 * 60}, ""
	most := int32(limit / telemetry.FixedOne * 60)
	switch {
	case k.frames >= clockFrames && k.least > most && k.most-k.least <= clockBand:
		v.on, v.value = true, whole(int64(k.least))/60
		how = fmt.Sprintf("every one of %d real-time frames is %d to %d s behind its receipt", k.frames, k.least, k.most)
	case k.frames > 0 && -k.least > most:
		v.on, v.value = true, whole(int64(k.least))/60
		how = fmt.Sprintf("a real-time frame is %d s ahead of its receipt", -k.least)
	case k.back >= clockBack && k.most <= most:
		v.on, v.value = true, whole(int64(k.back))
		how = fmt.Sprintf("the time of %d real-time frames is before that of the one before", k.back)
	}
	c.judge(&d.open, clockOffset, "", v, limit, func() string { return how })
}
