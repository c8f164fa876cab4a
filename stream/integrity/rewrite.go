package integrity

import "fmt"

// rewrite (数据改写): values that came again for a time that was recorded, with other content. The threshold is how many values of an hour, 1: any
// difference. Proposed. Each is a finding "conflict" besides, with both values; neither changes what was recorded.
//
// Guards: the same content again is a duplicate, not this. A correction that is sent again within ten days is allowed by the transmission rules: the
// detail says that it may be one.
var rewriteDefault = threshold{gas: whole(1), water: whole(1), source: proposed}

// Conflict notes a value that came again for a recorded time, with other content.
func (w *Watch) Conflict() { w.device.rewrite = min(w.device.rewrite+1, 1<<20) }

func (c *scan) rewritten(d *deviceWatch) {
	n, limit := whole(int64(d.rewrite)), c.limitOf(rewrite)
	count := d.rewrite
	d.rewrite = 0
	c.judge(&d.open, rewrite, "", verdict{on: n >= limit && count > 0, value: n, quiet: 24 * 60}, limit, func() string {
		return fmt.Sprintf("%d values came again with other content; corrections, or history written anew", count)
	})
}
