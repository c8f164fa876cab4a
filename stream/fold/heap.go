package fold

// A dueHeap orders devices by when they are to be looked at, the earliest first: never later than their next deadline, but it may be
// earlier. Outputs never depend on the order among equals: see State.tick.
type dueHeap []dueDevice

type dueDevice struct {
	at int64 // log clock, ms
	d  *device
}

func (h *dueHeap) push(d *device, at int64) {
	*h = append(*h, dueDevice{at, d})
	h.up(len(*h) - 1)
}

// pop takes out the earliest.
func (h *dueHeap) pop() *device {
	old := *h
	d := old[0].d
	last := len(old) - 1
	old[0] = old[last]
	old[last] = dueDevice{}
	*h = old[:last]
	if last > 0 {
		h.down(0)
	}
	return d
}

// hasten moves a device forward.
func (h dueHeap) hasten(d *device, at int64) {
	if i := d.heapIndex; at < h[i].at {
		h[i].at = at
		h.up(i)
	}
}

func (h dueHeap) up(i int) {
	e := h[i]
	for i > 0 {
		parent := (i - 1) / 2
		if h[parent].at <= e.at {
			break
		}
		h.set(i, h[parent])
		i = parent
	}
	h.set(i, e)
}

func (h dueHeap) down(i int) {
	e := h[i]
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if right := child + 1; right < len(h) && h[right].at < h[child].at {
			child = right
		}
		if e.at <= h[child].at {
			break
		}
		h.set(i, h[child])
		i = child
	}
	h.set(i, e)
}

func (h dueHeap) set(i int, e dueDevice) {
	h[i] = e
	e.d.heapIndex = i
}
