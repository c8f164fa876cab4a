package tcp

import (
	"net/netip"
	"testing"
	"time"
)

func TestDoor(t *testing.T) {
	start := time.Now()
	at := func(d time.Duration) time.Time { return start.Add(d) }
	open := func(change func(*Config)) *door {
		cfg := DefaultConfig()
		cfg.MaxConnectionsPerAddress, cfg.AddressRate, cfg.AddressBurst, cfg.UnlimitedFrom = 2, 0, 1, nil
		change(&cfg)
		return newDoor(&cfg, start)
	}
	enter := func(t *testing.T, d *door, address string, when time.Duration, want refusal) addressKey {
		t.Helper()
		key, why := d.enter(netip.MustParseAddr(address), at(when))
		if why != want {
			t.Errorf("%s at %v: refusal %q, want %q", address, when, why, want)
		}
		return key
	}
	t.Run("number", func(t *testing.T) {
		d := open(func(*Config) {})
		a := enter(t, d, "192.0.2.1", 0, 0)
		enter(t, d, "192.0.2.1", 0, 0)
		enter(t, d, "192.0.2.1", 0, refusedAddress)
		enter(t, d, "192.0.2.2", 0, 0)
		d.leave(a, at(0))
		enter(t, d, "192.0.2.1", 0, 0)
	})
	t.Run("an IPv6 site is a /64", func(t *testing.T) {
		d := open(func(*Config) {})
		enter(t, d, "2001:db8::1", 0, 0)
		enter(t, d, "2001:db8::2", 0, 0)
		enter(t, d, "2001:db8::3", 0, refusedAddress)
		enter(t, d, "2001:db8:0:1::3", 0, 0)
	})
	t.Run("an IPv6 address that begins with zeros", func(t *testing.T) {
		d := open(func(*Config) {})
		for range 5 { // all of them leave, so all of them get in
			d.leave(enter(t, d, "::1", 0, 0), at(0))
		}
		enter(t, d, "::1", 0, 0)
		enter(t, d, "::2", 0, 0)
		enter(t, d, "::3", 0, refusedAddress)
		enter(t, d, "0.0.0.1", 0, 0)
	})
	t.Run("rate", func(t *testing.T) {
		d := open(func(c *Config) { c.MaxConnectionsPerAddress, c.AddressRate, c.AddressBurst = 0, 10, 3 })
		for range 3 {
			d.leave(enter(t, d, "192.0.2.1", 0, 0), at(0))
		}
		enter(t, d, "192.0.2.1", 0, refusedRate)
		enter(t, d, "192.0.2.1", 99*time.Millisecond, refusedRate)
		enter(t, d, "192.0.2.1", 100*time.Millisecond, 0)
		enter(t, d, "192.0.2.1", 101*time.Millisecond, refusedRate)
		enter(t, d, "192.0.2.2", 0, 0)
		for range 3 { // after a pause the whole burst again, and not more
			enter(t, d, "192.0.2.1", time.Minute, 0)
		}
		enter(t, d, "192.0.2.1", time.Minute, refusedRate)
	})
	t.Run("unlimited", func(t *testing.T) {
		d := open(func(c *Config) { c.UnlimitedFrom = []string{"192.0.2.0/24", "2001:db8::1"} })
		for range 5 {
			if key := enter(t, d, "192.0.2.9", 0, 0); key != (addressKey{}) {
				t.Error("counted")
			}
			enter(t, d, "2001:db8::1", 0, 0)
		}
		d.leave(addressKey{}, at(0))
		if d.known() != 0 {
			t.Errorf("%d addresses, want none", d.known())
		}
	})
	t.Run("bounded table", func(t *testing.T) {
		d := open(func(c *Config) { c.AddressRate, c.AddressBurst = 1, 1 })
		address := netip.MustParseAddr("10.0.0.0")
		held := enter(t, d, "192.0.2.1", 0, 0)
		for range 3 * maxResting { // each leaves while its rate is not due, so that it must be remembered
			address = address.Next()
			key, _ := d.enter(address, at(0))
			d.leave(key, at(0))
		}
		if n := d.known(); n > maxResting+1 || n < maxResting/2 {
			t.Errorf("%d addresses are remembered, want at most %d", n, maxResting+1)
		}
		enter(t, d, "192.0.2.1", time.Hour, 0)
		enter(t, d, "192.0.2.1", 2*time.Hour, refusedAddress) // the one with connections was not forgotten
		d.leave(held, at(2*time.Hour))
	})
}

func TestPacer(t *testing.T) {
	start := time.Now()
	p := newPacer(10, start.Add(time.Minute))
	for i := range 10 {
		if d := p.reserve(start); d != 0 {
			t.Fatalf("event %d waits %v, want a second's worth at once", i, d)
		}
	}
	if d := p.reserve(start); d != 100*time.Millisecond {
		t.Errorf("the next one waits %v, want 100ms", d)
	}
	p.giveBack()
	if d := p.reserve(start); d != 100*time.Millisecond {
		t.Errorf("after a place was given back the next one waits %v, want 100ms", d)
	}
	(*pacer)(nil).giveBack()
	if d := p.reserve(start.Add(time.Minute + 1)); d != 0 {
		t.Errorf("after the ramp it waits %v", d)
	}
	if d := (*pacer)(nil).reserve(start); d != 0 {
		t.Errorf("without a limit it waits %v", d)
	}
}
