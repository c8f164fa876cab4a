package hj212

import (
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"
)

// Charset is how a device writes Chinese.
type Charset uint8

const (
	UTF8      Charset = iota // the standard's own (HJ 212-2017 B.10); also plain ASCII
	GB18030                  // national, and GBK and GB2312 with it
	NoCharset                // neither
)

var charsetNames = [...]string{"utf-8", "gb18030", "none"}

// String is the charset's name in messages.
func (c Charset) String() string {
	if int(c) < len(charsetNames) {
		return charsetNames[c]
	}
	return "unknown"
}

// Text decodes the text of a log entry or a name: as UTF-8, and what is not UTF-8 as GB18030. A UTF-8 text that was cut within its last
// character, as a device does that counts bytes, stays UTF-8 and loses that piece. Of bytes that are neither, each that UTF-8 cannot
// read becomes U+FFFD. Control characters are kept: quote the text for a terminal.
//
// A short text in GB18030 can be UTF-8 by accident; nothing on the wire tells, so UTF-8 wins.
func Text(b []byte) (text string, charset Charset) {
	if utf8.Valid(b) {
		return string(b), UTF8
	}
	if whole := cutRune(b); len(whole) > 0 && utf8.Valid(whole) && !isASCII(whole) {
		return string(whole), UTF8
	}
	if s, err := simplifiedchinese.GB18030.NewDecoder().Bytes(b); err == nil && !hasReplacement(s) {
		return string(s), GB18030
	}
	return string([]rune(string(b))), NoCharset
}

// cutRune drops the incomplete character that b may end with.
func cutRune(b []byte) []byte {
	for i := len(b) - 1; i >= 0 && i > len(b)-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return b[:i]
			}
			break
		}
	}
	return b
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// hasReplacement reports a U+FFFD, which the decoder puts where bytes are no character.
func hasReplacement(s []byte) bool {
	for len(s) > 0 {
		r, n := utf8.DecodeRune(s)
		if r == utf8.RuneError {
			return true
		}
		s = s[n:]
	}
	return false
}
