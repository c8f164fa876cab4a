package ingest

import (
	"bytes"

	"outfall/ingest/hj212"
)

// framer cuts the frames of a device; nil stands for one that the registry does not name.
func (in *Intake) framer(d *Device) hj212.Framer {
	if d == nil {
		return hj212.Framer{Tolerant: in.cfg.TolerantTail, MaxData: in.cfg.MaxFrame}
	}
	return hj212.Framer{Tolerant: d.TolerantTail, CRC: d.dialect, MaxData: in.cfg.MaxFrame}
}

// next cuts the next frame: as the connection's first device frames, or as the standard says while there is none. Where that finds no frame,
// the device whose MN stands in the bytes decides how they are cut, for otherwise a device with a dialect of its own could not introduce
// itself, alone or on a dispatcher's connection. That costs one search for "MN=" and one more look at the same bytes.
func (s *Session) next(buf []byte, eof bool, msg *hj212.Message) (hj212.Frame, int, error) {
	first := hj212.Framer{MaxData: s.in.cfg.MaxFrame}
	if s.first != nil {
		first = s.in.framer(s.own)
	}
	frame, size, err := first.Next(buf, eof)
	if err == nil && size > 0 {
		return frame, size, nil
	}
	span := buf[:min(len(buf), first.MaxBuffer())]
	if err != nil {
		span = buf[:size]
	}
	mn := findMN(span)
	if mn == nil {
		return frame, size, err
	}
	other := s.in.framer(s.in.devices.Lookup(mn))
	if other == first {
		return frame, size, err
	}
	blank := len(buf) - len(bytes.TrimLeft(buf, " \t\r\n")) // behind a tolerant frame; a strict framer would refuse them
	own, ownSize, ownErr := other.Next(buf[blank:], eof)
	if ownErr != nil || own.Raw == nil || msg.ParseHeader(own.Data) != nil || !bytes.Equal(msg.MN, mn) {
		return frame, size, err
	}
	return own, blank + ownSize, nil
}

// verify checks the CRC of a frame of d by d's own dialect where it may have been cut by another: that of the connection's first device, or the
// standard's while there is none. d is nil for one that the registry does not name: its frames need a CRC, no matter which.
func (s *Session) verify(frame hj212.Frame, d *Device) error {
	cut := hj212.DialectHJ
	if s.own != nil {
		cut = s.own.dialect
	}
	switch {
	case d == nil && cut != hj212.DialectNone:
		return nil
	case d != nil && (d.dialect == cut || d.dialect == hj212.DialectNone):
		return nil
	}
	framer := s.in.framer(d)
	framer.Tolerant = true // the tail was judged already
	again, _, err := framer.Next(frame.Raw, true)
	if err == nil && len(again.Data) != len(frame.Data) {
		err = &hj212.ParseError{Reason: hj212.ReasonLength}
	}
	return err
}

// findMN finds the value of the first field "MN" in bytes that begin as a frame does; nil if there is none. Nothing vouches for it.
func findMN(span []byte) []byte {
	span = bytes.TrimLeft(span, " \t\r\n")
	if !bytes.HasPrefix(span, []byte("##")) {
		return nil
	}
	i := bytes.Index(span, []byte("MN="))
	if i < 0 {
		return nil
	}
	mn := span[i+len("MN="):]
	if end := bytes.IndexAny(mn, ";,&"); end >= 0 {
		return bytes.TrimSpace(mn[:end])
	}
	return nil
}
