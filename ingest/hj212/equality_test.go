package hj212

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
)

// A checker holds the equalities of the codec, each defined here once: the fuzz targets and TestRandom bring the inputs. A check is a
// function of its input alone; what the checker holds is scratch, whose contents no check depends on.
type checker struct {
	m, again     Message
	plain        reference
	whole, parts []event
	text, third  []byte
	frames       uint64 // delivered by cut, for the one who asks whether its inputs are any good
}

// framerOf is the framer that seed stands for: each form of tail, each dialect, and mostly a small limit, so that it is met.
func framerOf(seed uint64) Framer {
	f := Framer{Tolerant: seed&1 == 1, CRC: Dialect(seed >> 1 % numDialects)}
	if seed>>8&3 > 0 {
		f.MaxData = 1 + int(seed>>16%300)
	}
	return f
}

// cut: where TCP cuts the stream must not change what is decoded, and strict framing accounts for each byte.
func (c *checker) cut(stream []byte, seed uint64) error {
	f := framerOf(seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	far := 1 + len(stream)
	step := [16]int{1, 7, 64, far, 64, 64, 64, far, far, far, far, far, far, far, far, far}[seed>>10&15] // the first four are all kinds
	c.whole = appendEvents(c.whole[:0], f, stream, nil)
	c.parts = appendEvents(c.parts[:0], f, stream, func() int { return 1 + rnd.IntN(step) })
	if total := sum(c.whole); !f.Tolerant && total != len(stream) {
		return fmt.Errorf("%+v: %d of %d bytes accounted for: %s", f, total, len(stream), show(c.whole))
	}
	for i := range c.whole {
		if c.whole[i].reason == 0 {
			c.frames++
		}
		if f.Tolerant && i < len(c.parts) {
			c.whole[i].size, c.parts[i].size = 0, 0
		}
	}
	if !slices.Equal(c.whole, c.parts) {
		return fmt.Errorf("%+v, steps up to %d:\n cut   %s\n whole %s", f, step, show(c.parts), show(c.whole))
	}
	return nil
}

// short: the short way of Next gives what the general one gives, at each place of the stream where a frame may begin.
func (c *checker) short(stream []byte, seed uint64) error {
	return shortIsGeneral(framerOf(seed), stream)
}

func shortIsGeneral(f Framer, stream []byte) error {
	for at := range stream {
		if stream[at] != '#' {
			continue
		}
		for _, eof := range []bool{false, true} {
			fr, size, err := f.Next(stream[at:], eof)
			want, wantSize, wantErr := f.any(stream[at:], eof)
			if size != wantSize || !sameBytes(fr.Raw, want.Raw) || !sameBytes(fr.Data, want.Data) || fr.Quality() != want.Quality() ||
				(err != nil || wantErr != nil) && !reflect.DeepEqual(err, wantErr) {
				return fmt.Errorf("%+v eof=%t from byte %d:\n got  %q %q %v %d %v\n want %q %q %v %d %v", f, eof, at,
					fr.Raw, fr.Data, fr.Quality().Names(), size, err, want.Raw, want.Data, want.Quality().Names(), wantSize, wantErr)
			}
		}
	}
	return nil
}

// appendParse: writing what was read gives the segment byte for byte, and writing its fields alone gives a segment that says the same
// and is written the same again.
func (c *checker) appendParse(data []byte, _ uint64) error {
	if c.m.Parse(data) != nil {
		return nil
	}
	if c.text = AppendSegment(c.text[:0], &c.m); !bytes.Equal(c.text, data) {
		return fmt.Errorf("is written as %q", c.text)
	}
	sent := c.m.Text
	c.m.Text = nil
	c.text = AppendSegment(c.text[:0], &c.m)
	c.m.Text = sent
	if err := c.again.Parse(c.text); len(c.text) > 0 {
		if err != nil {
			return fmt.Errorf("written as %q is refused: %w", c.text, err)
		}
		if !sameFields(&c.m, &c.again) {
			return fmt.Errorf("written as %q says something else", c.text)
		}
	}
	c.again.Text = nil
	if c.third = AppendSegment(c.third[:0], &c.again); !bytes.Equal(c.third, c.text) {
		return fmt.Errorf("is written as %q and then as %q", c.text, c.third)
	}
	return nil
}

// parse: the fast Parse, into a Message that was used before, gives the Message of the reference.
func (c *checker) parse(data []byte, _ uint64) error {
	if err := c.m.Parse(dirty); err != nil {
		return err
	}
	err, want := c.m.Parse(data), c.plain.parse(data)
	if (err != nil || want != nil) && !reflect.DeepEqual(err, want) {
		return fmt.Errorf("error %v, want %v", err, want)
	}
	if plain := (*Message)(&c.plain); !sameMessage(&c.m, plain) {
		return fmt.Errorf("\n got  %s %v %+v\n want %s %v %+v", groups(&c.m), c.m.Quality.Names(), visible(&c.m), groups(plain), plain.Quality.Names(), visible(plain))
	}
	return nil
}

// ofCP is the Quality that takes a look into the CP.
const ofCP = BareField | UnknownSuffix | RepeatedFactor | FactorlessFlag | LaterRecord

// header: ParseHeader, into a Message that was used before, gives the verdict of Parse and its Message without what is in the CP, which Param
// finds there all the same; and what is answered is the same.
func (c *checker) header(data []byte, _ uint64) error {
	if err := c.again.Parse(dirty); err != nil {
		return err
	}
	full, m := &c.m, &c.again
	want, err := full.Parse(data), m.ParseHeader(data)
	if (err != nil || want != nil) && !reflect.DeepEqual(err, want) {
		return fmt.Errorf("error %v, that of Parse %v", err, want)
	}
	if m.DataTime != nil || len(m.Pairs)+len(m.Groups) > 0 || !sameFields(m, full) || !sameBytes(m.Text, full.Text) ||
		m.Quality&^full.Quality != 0 || full.Quality&^m.Quality&^ofCP != 0 {
		return fmt.Errorf("\n header %v %+v\n whole  %v %+v", m.Quality.Names(), visible(m), full.Quality.Names(), visible(full))
	}
	for i := range full.Pairs {
		key := string(full.Pairs[i].Key)
		first := slices.IndexFunc(full.Pairs, func(p Pair) bool { return p.Value != nil && equalFold(p.Key, key) })
		if v, ok := m.Param(key); ok != (first >= 0) || ok && !sameBytes(v, full.Pairs[first].Value) {
			return fmt.Errorf("Param(%q) = %q %t, not what Pairs have", key, v, ok)
		}
	}
	if v, _ := m.Param("DataTime"); !sameBytes(v, full.DataTime) {
		return fmt.Errorf("Param gives the DataTime %q, Parse %q", v, full.DataTime)
	}
	for _, appendAck := range []func([]byte, *Message, Dialect) []byte{AppendDataAck, AppendNoticeAck} {
		c.text, c.third = appendAck(c.text[:0], m, DialectHJ), appendAck(c.third[:0], full, DialectHJ)
		if !bytes.Equal(c.text, c.third) {
			return fmt.Errorf("acknowledged with %q, after Parse with %q", c.text, c.third)
		}
	}
	return nil
}

// sameMessage compares all that visible shows.
func sameMessage(a, b *Message) bool {
	if !sameFields(a, b) || !sameBytes(a.Text, b.Text) || !sameBytes(a.DataTime, b.DataTime) || a.Quality != b.Quality ||
		len(a.Pairs) != len(b.Pairs) || len(a.Groups) != len(b.Groups) {
		return false
	}
	for i := range a.Pairs {
		if p, q := &a.Pairs[i], &b.Pairs[i]; !sameBytes(p.Key, q.Key) || !sameBytes(p.Value, q.Value) {
			return false
		}
	}
	for i := range a.Groups {
		g, h := &a.Groups[i], &b.Groups[i]
		if !sameBytes(g.Code, h.Code) || !sameBytes(g.DataTime, h.DataTime) || !sameBytes(g.Flag, h.Flag) || !sameBytes(g.SampleTime, h.SampleTime) {
			return false
		}
		for k := range g.Values {
			if v, w := &g.Values[k], &h.Values[k]; !sameBytes(v.Text, w.Text) || v.Num != w.Num || v.Numeric != w.Numeric {
				return false
			}
		}
	}
	return true
}

// sameBytes tells an absent text from an empty one.
func sameBytes(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

// crc: folding gives what annex A's rounds give, and each dialect's table what its definition gives.
func (c *checker) crc(data []byte, _ uint64) error {
	annexA, modbus := slowCRC(data), slowModbus(data)
	for d, want := range [numDialects]uint16{
		DialectHJ: annexA, DialectNone: annexA, DialectModbus: modbus, DialectModbusSwapped: modbus<<8 | modbus>>8, DialectCCITT: slowCCITT(data),
	} {
		if got := Dialect(d).Sum(data); got != want {
			return fmt.Errorf("%v of %x: %04X, want %04X", Dialect(d), data, got, want)
		}
	}
	return nil
}

// decimal: ParseDecimal is the reference.
func (c *checker) decimal(text []byte, _ uint64) error {
	got, ok := ParseDecimal(text)
	if want, wantOK := referenceDecimal(text); got != want || ok != wantOK {
		return fmt.Errorf("%v %t, the reference %v %t", got, ok, want, wantOK)
	}
	return nil
}

// time: the same instants as package time's calendar.
func (c *checker) time(text []byte, _ uint64) error {
	got, ok := ParseTime(text)
	if want, wantOK := referenceTime(text); got != want || ok != wantOK || ok != isTime(text) {
		return fmt.Errorf("%v %t, want %v %t", got, ok, want, wantOK)
	}
	return nil
}
