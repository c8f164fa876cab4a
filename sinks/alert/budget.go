package alert

import "time"

// usedShare is how much of a vendor's limit is used: four fifths. The rest is for clocks that differ and requests that bunch up on their way.
const usedShare = 0.8

// A bucket lets at most burst + rate·t messages go in any time t. With half of the budget for each, no period sees more than the budget.
type bucket struct {
	burst  float64
	rate   float64 // tokens a second
	tokens float64
	at     time.Time // of tokens
}

// newBucket is for limit messages in period, of which four fifths are used.
func newBucket(limit int, period time.Duration) *bucket {
	budget := usedShare * float64(limit)
	b := &bucket{burst: max(1, budget/2)}
	b.rate = (budget - b.burst) / period.Seconds()
	b.tokens = b.burst
	return b
}

// available is how many messages may go at now.
func (b *bucket) available(now time.Time) int {
	b.fill(now)
	return int(b.tokens + 1e-9)
}

func (b *bucket) fill(now time.Time) {
	if now.After(b.at) {
		if !b.at.IsZero() {
			b.tokens = min(b.burst, b.tokens+b.rate*now.Sub(b.at).Seconds())
		}
		b.at = now
	}
}

// take is for a message that goes at now, or went: a message of the past may take more than there is.
func (b *bucket) take(now time.Time) {
	b.fill(now)
	b.tokens--
}

// next is when a message may go.
func (b *bucket) next(now time.Time) time.Time {
	b.fill(now)
	if b.tokens >= 1 {
		return now
	}
	return now.Add(time.Duration((1 - b.tokens) / b.rate * float64(time.Second))).Add(time.Millisecond)
}

// A budget is every limit of a channel; nil: it has none.
type budget []*bucket

// budgetOf is the budget of a channel by its type and PerMinute.
func budgetOf(ch Channel) budget {
	minute, second := 0, 0
	switch ch.Type {
	case TypeDingTalk, TypeWeCom:
		minute = 20
	case TypeFeishu:
		minute, second = 100, 5
	case TypeSMTP:
		minute = 60
	}
	if ch.PerMinute != 0 {
		minute = ch.PerMinute
	}
	var b budget
	if minute > 0 {
		b = append(b, newBucket(minute, time.Minute))
	}
	if second > 0 && ch.PerMinute >= 0 {
		b = append(b, newBucket(second, time.Second))
	}
	return b
}

// available is how many messages the scarcest limit lets go at now.
func (b budget) available(now time.Time) int {
	n := int(^uint(0) >> 1)
	for _, one := range b {
		n = min(n, one.available(now))
	}
	return n
}

// low reports whether n messages would take more than leaves a reserve of a quarter of the burst of the longest limit.
func (b budget) low(now time.Time, n int) bool {
	if len(b) == 0 {
		return false
	}
	return float64(n) > float64(b[0].available(now))-b[0].burst/4
}

func (b budget) take(now time.Time) {
	for _, one := range b {
		one.take(now)
	}
}

func (b budget) next(now time.Time) time.Time {
	at := now
	for _, one := range b {
		if t := one.next(now); t.After(at) {
			at = t
		}
	}
	return at
}
