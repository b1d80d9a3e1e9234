package jsonscan

import (
	"bytes"
	"encoding/json"
)

// Scanner is a place in a JSON value.
type Scanner struct {
	// Data is the whole text, At the offset of what comes next.
	Data []byte
	At   int
}

// Peek returns the next byte, 0 at the end.
func (s *Scanner) Peek() byte {
	if s.At < len(s.Data) {
		return s.Data[s.At]
	}
	return 0
}

// Space passes white space.
func (s *Scanner) Space() {
	for s.At < len(s.Data) {
		switch s.Data[s.At] {
		case ' ', '\t', '\r', '\n':
			s.At++
		default:
			return
		}
	}
}

// Begin enters an object or list.
func (s *Scanner) Begin() { s.At++ }

// More tells whether another property or element follows before the end of the object or list, which it passes. It
// stands before what follows then. Where the text ends too early it says that there is more, so that the caller fails.
func (s *Scanner) More(end byte) bool {
	s.Space()
	if s.Peek() == ',' {
		s.At++
		s.Space()
	}
	if s.Peek() == end {
		s.At++
		return false
	}
	return true
}

// Name passes the name of a property, and stands before its value then. It returns the name with its quotes; false if
// there is none.
func (s *Scanner) Name() (quoted []byte, ok bool) {
	start := s.At
	if s.Peek() != '"' || !s.text() {
		return nil, false
	}
	quoted = s.Data[start:s.At]
	if s.Space(); s.Peek() != ':' {
		return nil, false
	}
	s.At++
	s.Space()
	return quoted, true
}

// Skip passes a value; false if there is none.
func (s *Scanner) Skip() bool {
	switch s.Peek() {
	case '"':
		return s.text()
	case '{', '[':
		depth := 0
		for s.At < len(s.Data) {
			switch s.Data[s.At] {
			case '"':
				if !s.text() {
					return false
				}
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					s.At++
					return true
				}
			}
			s.At++
		}
		return false
	}
	start := s.At
	for s.At < len(s.Data) {
		switch s.Data[s.At] {
		case ',', ']', '}', ' ', '\t', '\r', '\n':
			return s.At > start
		}
		s.At++
	}
	return s.At > start
}

// text passes a string. It looks for the quote that ends it, which may be escaped, then for escapes before that.
func (s *Scanner) text() bool {
	at, end := s.At+1, -1
	for at < len(s.Data) {
		if end < at {
			i := bytes.IndexByte(s.Data[at:], '"')
			if i < 0 {
				break
			}
			end = at + i
		}
		escape := bytes.IndexByte(s.Data[at:end], '\\')
		if escape < 0 {
			s.At = end + 1
			return true
		}
		at += escape + 2
	}
	s.At = len(s.Data)
	return false
}

// Unquote returns the text of a string without its quotes; false if it isn't one.
func Unquote(quoted []byte) (string, bool) {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1]), true
	}
	var decoded string
	err := json.Unmarshal(quoted, &decoded)
	return decoded, err == nil
}

// IsName tells whether a quoted string says the name.
func IsName(quoted []byte, name string) bool {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1:len(quoted)-1]) == name
	}
	decoded, ok := Unquote(quoted)
	return ok && decoded == name
}
