package hj212

import (
	"bytes"
	"fmt"
)

// Editions is a set of editions of the standard.
type Editions uint8

const (
	In2005 Editions = 1 << Version2005
	In2017 Editions = 1 << Version2017
	In2025 Editions = 1 << Version2025
)

// Has reports whether the edition of that version number is in e.
func (e Editions) Has(version uint8) bool { return version <= Version2025 && e&(1<<version) != 0 }

// Shape is how a command's exchange runs (HJ 212-2017 6.2.2 and annex C).
type Shape uint8

const (
	ShapeNone    Shape = iota // not sent in that direction
	ShapeSet                  // request that changes something: request, 9011, 9012
	ShapeGet                  // request with one answer: request, 9011, answer of the same CN, 9012
	ShapeHistory              // request with many answers: request, 9011, uploads of the same CN under QNs of their own, 9012
	ShapeStream               // request of 2005 that starts periodic uploads: request, 9011, uploads until the stop command; no 9012
	ShapeUpload               // data: upload, and 9014 when its Flag wants an answer
	ShapeNotice               // notification: notice, 9013
	ShapeReply                // answer to another command, never answered itself but for a 9012 of 2005 (see AppendDataAck)
)

var shapeNames = [...]string{"none", "set", "get", "history", "stream", "upload", "notice", "reply"}

// String is the shape's name in docs and messages.
func (s Shape) String() string {
	if int(s) < len(shapeNames) {
		return shapeNames[s]
	}
	return "unknown"
}

// Confidence is how well the row of a command is known for the 2025 edition. The rows of 2005 and 2017 were read in the standards.
type Confidence uint8

const (
	NotIn2025 Confidence = iota
	Confirmed            // two sources that do not copy each other
	Single               // one source
	Inferred             // by analogy with 2017
)

var confidenceNames = [...]string{"-", "confirmed", "single", "inferred"}

// String is the label in docs.
func (c Confidence) String() string {
	if int(c) < len(confidenceNames) {
		return confidenceNames[c]
	}
	return "unknown"
}

// A Command is a row of the command table (HJ/T 212-2005 6.4 and annex C, HJ 212-2017 table 9 and annex C). A code that means different
// things in two editions has a row for each. The slices are the table's: do not write to them.
type Command struct {
	CN           string
	Name, NameZh string
	Editions     Editions
	Confidence   Confidence // of the row in 2025
	Shape        Shape      // of what the host sends; see RequestShape
	Up           Shape      // of what the field device sends of its own accord, or as a reply
	Changes      bool       // a request changes what the device does or says: nothing to send without an operator's word
	Request      []Param    // of the CP that the host sends
	Answer       []Param    // of the CP that the field device sends under this CN
	NotSent      string     // why CheckRequest refuses it although the standard has it; empty: it does not
	Note         string     // what the columns cannot say
}

// LookupCommand finds the row of a CN in an edition, one of Version2005, Version2017, Version2025. ok is false for a code that the edition
// does not define: reserved, private, or of another edition.
func LookupCommand(cn string, version uint8) (c Command, ok bool) {
	for i := range catalogue {
		if catalogue[i].CN == cn && catalogue[i].Editions.Has(version) {
			return catalogue[i], true
		}
	}
	return Command{}, false
}

// Commands lists an edition's rows in the order of their codes. The slice is the caller's.
func Commands(version uint8) []Command {
	var list []Command
	for i := range catalogue {
		if catalogue[i].Editions.Has(version) {
			list = append(list, catalogue[i])
		}
	}
	return list
}

// RequestShape is the shape of the exchange that a request with this CP opens: Shape, but a request that can ask for a period of time, and
// does, is answered with history and changes nothing.
func (c Command) RequestShape(cp []byte) Shape {
	if c.Shape == ShapeNone {
		return ShapeNone
	}
	for b := cp; len(b) > 0; {
		var field []byte
		field, b = nextPair(b)
		if key, _, ok := splitPair(field); ok && equalFold(key, "BeginTime") {
			return ShapeHistory
		}
	}
	return c.Shape
}

// CheckRequest reports the first fault of a CP for a request of the host in an edition: a parameter that is unknown, missing, repeated or
// out of range. The error names the parameter, its value (never that of a password or key), and what is allowed. Keys are compared case
// apart, as the standards' own examples spell them in several ways.
func (c Command) CheckRequest(cp []byte, version uint8) error {
	switch {
	case !c.Editions.Has(version):
		return fmt.Errorf("hj212: CN %s (%s) is not a command of %s", c.CN, c.Name, EditionName(version))
	case c.Shape == ShapeNone:
		return fmt.Errorf("hj212: CN %s (%s) is sent by the field device, not by the host", c.CN, c.Name)
	case c.Shape == ShapeReply:
		return fmt.Errorf("hj212: CN %s (%s) is an answer, not a request", c.CN, c.Name)
	case c.NotSent != "":
		return fmt.Errorf("hj212: CN %s (%s) is not sent: %s", c.CN, c.Name, c.NotSent)
	case len(cp) > maxCP:
		return fmt.Errorf("hj212: CN %s: the CP has %d bytes, at most %d", c.CN, len(cp), maxCP)
	case bytes.Contains(cp, []byte("&&")):
		return fmt.Errorf("hj212: CN %s: the CP holds &&, which would end it", c.CN)
	}
	if err := checkParams(c.Request, cp, version); err != nil {
		return fmt.Errorf("hj212: CN %s: %w", c.CN, err)
	}
	return nil
}

// EditionName is the title of the edition of a version number.
func EditionName(version uint8) string {
	switch version {
	case Version2005:
		return "HJ/T 212-2005"
	case Version2017:
		return "HJ 212-2017"
	case Version2025:
		return "HJ 212-2025"
	}
	return fmt.Sprintf("version %d, of no edition", version)
}
