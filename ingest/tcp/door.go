package tcp

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// A refusal says why a connection was closed before it had a session. It is a metric label.
type refusal uint8

const (
	refusedLimit     refusal = iota + 1 // max_connections, or the limit of open files
	refusedAddress                      // max_connections_per_address
	refusedRate                         // address_rate
	refusedProxy                        // a load balancer sent no PROXY header, a broken one, or not in time
	refusedBusy                         // too many connections of load balancers wait for their header
	refusedTLS                          // tls.max_connections
	refusedHandshake                    // the handshake failed or was not finished in time
	refusedFault                        // the system or an event loop did not take it, mostly for want of open files
	refusalEnd
)

var refusalNames = [refusalEnd]string{"", "max_connections", "address_connections", "address_rate", "proxy_header", "proxy_busy",
	"tls_connections", "tls_handshake", "fault"}

// String is the label; it is empty for a value that is no refusal.
func (r refusal) String() string {
	if r >= refusalEnd {
		return ""
	}
	return refusalNames[r]
}

// maxResting bounds the addresses that are remembered without a connection, only for their rate.
const maxResting = 1 << 16

// An addressKey is an IPv4 address in IPv6 form, or the first half of an IPv6 address, for a site has a whole /64, with a one at the end. The
// zero key is nobody's: without the one it would be that of ::1.
type addressKey [16]byte

func keyOf(a netip.Addr) addressKey {
	if a.Is4() || a.Is4In6() {
		return a.As16()
	}
	key := addressKey(a.As16())
	clear(key[8:])
	key[15] = 1
	return key
}

// An address is what the door knows of one addressKey.
type address struct {
	// next is when the address's next connection is due at its rate, since the door's epoch; one may come by the burst earlier.
	next time.Duration
	live int32
}

// A door limits the connections of each address, in number and rate. Its methods are for any goroutine.
type door struct {
	epoch     time.Time
	unlimited []netip.Prefix
	maxLive   int32         // of an address; 0: no limit
	interval  time.Duration // between connections of an address; 0: no limit
	burst     time.Duration // so much earlier than due one may come

	mu        sync.Mutex // guards the two below; a leaf
	addresses map[addressKey]address
	resting   int // so many of addresses have no connection
}

// newDoor takes a valid configuration.
func newDoor(cfg *Config, epoch time.Time) *door {
	d := &door{epoch: epoch, maxLive: int32(cfg.MaxConnectionsPerAddress), addresses: map[addressKey]address{}}
	d.unlimited, _ = parseNetworks(cfg.UnlimitedFrom)
	if cfg.AddressRate > 0 {
		d.interval = time.Second / time.Duration(cfg.AddressRate)
		d.burst = d.interval * time.Duration(cfg.AddressBurst-1)
	}
	return d
}

// contains reports whether a, unmapped, is in one of the networks.
func contains(networks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(a) })
}

// enter counts a connection from a, unmapped, or refuses it. leave gets the key when the connection has ended; it is the zero key when
// nothing was counted.
func (d *door) enter(a netip.Addr, now time.Time) (addressKey, refusal) {
	if d.maxLive == 0 && d.interval == 0 || contains(d.unlimited, a) {
		return addressKey{}, 0
	}
	key, since := keyOf(a), now.Sub(d.epoch)
	d.mu.Lock()
	defer d.mu.Unlock()
	state, known := d.addresses[key]
	switch {
	case d.maxLive > 0 && state.live >= d.maxLive:
		return addressKey{}, refusedAddress
	case d.interval > 0 && state.next-since > d.burst:
		return addressKey{}, refusedRate
	}
	if known && state.live == 0 {
		d.resting--
	}
	state.live++
	state.next = max(state.next, since) + d.interval
	d.addresses[key] = state
	return key, 0
}

// leave takes back an enter.
func (d *door) leave(key addressKey, now time.Time) {
	if key == (addressKey{}) {
		return
	}
	since := now.Sub(d.epoch)
	d.mu.Lock()
	defer d.mu.Unlock()
	state := d.addresses[key]
	if state.live--; state.live > 0 {
		d.addresses[key] = state
		return
	}
	if state.next <= since {
		delete(d.addresses, key)
		return
	}
	d.addresses[key] = state
	if d.resting++; d.resting > maxResting {
		d.forget(since)
	}
}

// forget drops addresses without a connection until half the room is free: those first whose rate is due again. It is called with mu held.
func (d *door) forget(since time.Duration) {
	for _, due := range []bool{true, false} {
		for key, state := range d.addresses {
			if d.resting <= maxResting/2 {
				return
			}
			if state.live == 0 && (!due || state.next <= since) {
				delete(d.addresses, key)
				d.resting--
			}
		}
	}
}

// known is the number of addresses in the table.
func (d *door) known() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.addresses)
}

// A pacer lets events through at a rate, a second's worth at once after a pause. Its methods are for any goroutine; nil lets all through.
type pacer struct {
	interval time.Duration
	burst    time.Duration
	until    time.Time // no limit from then on; zero: for ever

	mu   sync.Mutex // guards next; a leaf
	next time.Time  // when the next event is due
}

func newPacer(perSecond int, until time.Time) *pacer {
	return &pacer{interval: time.Second / time.Duration(perSecond), burst: time.Second, until: until}
}

// reserve takes the next place and returns how long it is until then.
func (p *pacer) reserve(now time.Time) time.Duration {
	if p == nil || !p.until.IsZero() && now.After(p.until) {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if earliest := now.Add(-p.burst); p.next.Before(earliest) {
		p.next = earliest
	}
	p.next = p.next.Add(p.interval)
	return max(0, p.next.Sub(now))
}

// giveBack returns a place that was taken in vain.
func (p *pacer) giveBack() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = p.next.Add(-p.interval)
}

// wait takes the next place and returns when it is due, or when ctx ends.
func (p *pacer) wait(ctx context.Context) {
	pause := p.reserve(time.Now())
	if pause == 0 {
		return
	}
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
