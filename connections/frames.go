package connections

import "encoding/binary"

// Kinds of frames of HTTP/2 (RFC 9113, section 6), and flags of them.
const (
	kindData, kindHeaders, kindReset, kindSettings, kindGoAway, kindWindow = 0, 1, 3, 4, 7, 8

	flagEnd, flagPadded = 0x1, 0x8
)

const (
	preface     = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	frameHeader = 9
)

// frame is what stands before the payload of a frame.
type frame struct {
	length, stream uint32
	kind, flags    byte
}

func (f frame) ends() bool {
	return f.flags&flagEnd != 0 && (f.kind == kindData || f.kind == kindHeaders)
}

// frames reads along what goes in one direction of a connection, in pieces of any length.
type frames struct {
	// preface is how much of the preface is still to come. Servers send none.
	preface int
	// other says that this is not HTTP/2.
	other bool

	header [frameHeader]byte
	have   int // of the header
	frame  frame
	left   uint32 // of the payload
	pad    uint32 // how much of what is left is padding; known once the first byte of a padded frame was read
	padded bool   // that byte is still to come
}

// boundary tells whether the last frame is whole.
func (s *frames) boundary() bool { return s.have == 0 && s.left == 0 }

// sink is told of frames. Payload is called for each piece of the payload, without padding, between begin and end.
type sink interface {
	begin(f frame)
	payload(f frame, piece []byte)
	end(f frame)
}

// feed reads the next piece.
func (s *frames) feed(b []byte, to sink) {
	for len(b) > 0 && !s.other {
		switch {
		case s.preface > 0:
			n := min(s.preface, len(b))
			s.other = string(b[:n]) != preface[len(preface)-s.preface:][:n]
			s.preface -= n
			b = b[n:]
		case s.left > 0:
			b = s.inPayload(b, to)
		default:
			n := copy(s.header[s.have:], b)
			s.have += n
			b = b[n:]
			if s.have == frameHeader {
				s.have = 0
				s.inHeader(to)
			}
		}
	}
}

func (s *frames) inHeader(to sink) {
	h := &s.header
	s.frame = frame{
		length: uint32(h[0])<<16 | uint32(h[1])<<8 | uint32(h[2]), kind: h[3], flags: h[4],
		stream: binary.BigEndian.Uint32(h[5:]) & (1<<31 - 1),
	}
	s.left, s.pad = s.frame.length, 0
	s.padded = s.frame.kind == kindData && s.frame.flags&flagPadded != 0
	to.begin(s.frame)
	if s.left == 0 {
		to.end(s.frame)
	}
}

// inPayload reads a piece of a payload, and returns what comes after that.
func (s *frames) inPayload(b []byte, to sink) []byte {
	if s.padded {
		s.padded = false
		s.left--
		s.pad = min(uint32(b[0]), s.left) // more is a mistake, which the server finds
		b = b[1:]
	}
	n := min(s.left, uint32(min(len(b), 1<<24)))
	piece := b[:n]
	if content := s.left - min(s.pad, s.left); content < n {
		piece = b[:content]
	}
	if len(piece) > 0 {
		to.payload(s.frame, piece)
	}
	s.left -= n
	if s.left == 0 {
		to.end(s.frame)
	}
	return b[n:]
}

// messages reads along the messages of gRPC in one direction of a stream.
type messages struct {
	have uint8  // bytes of the five that stand before a message
	size uint32 // of the message, as far as that is known
	left uint32 // of the message
}

const messageHeader = 5

// feed reads the next piece, and returns how many messages ended in it.
func (m *messages) feed(b []byte) (ended int) {
	for len(b) > 0 {
		if m.have < messageHeader {
			if m.have > 0 {
				m.size = m.size<<8 | uint32(b[0])
			}
			m.have++
			b = b[1:]
			if m.have < messageHeader {
				continue
			}
			m.left = m.size
		} else {
			n := min(m.left, uint32(min(len(b), 1<<24)))
			m.left -= n
			b = b[n:]
		}
		if m.left == 0 {
			*m = messages{}
			ended++
		}
	}
	return ended
}

// unfinished is how many bytes of a message were read that is not whole.
func (m *messages) unfinished() int64 {
	if m.have < messageHeader {
		return int64(m.have)
	}
	return messageHeader + int64(m.size-m.left)
}
