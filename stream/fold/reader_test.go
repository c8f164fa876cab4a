package fold

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// A form that comes in pieces, cut anywhere, gives the same state as in one piece; one that is cut short, or goes on, gives none.
func TestReaderTakesPieces(t *testing.T) {
	f := newFleet(t, 0, 40)
	f.warm(76, 30)
	form := f.s.AppendTo(nil)
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		var read Reader
		scratch := make([]byte, 0, len(form))
		for rest := form; len(rest) > 0; {
			n := min(len(rest), 1+r.IntN(1<<uint(1+r.IntN(18))))
			scratch = append(scratch[:0], rest[:n]...)
			read.Add(scratch)
			clear(scratch) // it is the caller's again
			rest = rest[n:]
		}
		st, err := read.State()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(st.AppendTo(nil), form) {
			t.Fatal("another state")
		}
		if len(read.rest) > 3*readAhead {
			t.Errorf("%d bytes wait at the end", len(read.rest))
		}
	}
	for name, bad := range map[string][]byte{"cut": form[:len(form)-1], "half": form[:len(form)/2], "empty": nil, "longer": append(bytes.Clone(form), 0)} {
		var read Reader
		for _, half := range [][]byte{bad[:len(bad)/2], bad[len(bad)/2:]} {
			read.Add(half)
		}
		if st, err := read.State(); err == nil {
			t.Errorf("%s: %d devices", name, st.Stats().Devices)
		}
		if _, err := Read(bad); err == nil {
			t.Errorf("%s in one piece: no error", name)
		}
	}
}

// A device that takes more than the reader looks ahead is read when it is whole.
func TestReaderTakesLargeDevices(t *testing.T) {
	f := newFleet(t, 0, 3)
	f.warm(0, 5)
	for _, d := range f.s.list {
		d.reg.OutletName = string(bytes.Repeat([]byte("x"), 3*readAhead))
	}
	form := f.s.AppendTo(nil)
	var read Reader
	for rest := form; len(rest) > 0; {
		n := min(len(rest), 7000)
		read.Add(rest[:n])
		rest = rest[n:]
	}
	st, err := read.State()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(st.AppendTo(nil), form) {
		t.Error("another state")
	}
}
