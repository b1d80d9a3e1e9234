package connections

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/net/http2"
	"pgregory.net/rapid"
)

// notes is what a sink was told.
type notes struct {
	lines []string
	data  map[uint32][]byte
}

func (n *notes) begin(f frame) {
	n.lines = append(n.lines, fmt.Sprint("begin ", f.kind, f.flags, f.stream, f.length))
}

func (n *notes) payload(f frame, piece []byte) {
	if f.kind == kindData {
		n.data[f.stream] = append(n.data[f.stream], piece...)
	}
}

func (n *notes) end(f frame) { n.lines = append(n.lines, fmt.Sprint("end ", f.kind, f.stream)) }

// In whatever pieces bytes come, the same frames are seen, and of data all but the padding.
func TestFramesInPieces(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var wire bytes.Buffer
		wire.WriteString(preface)
		framer := http2.NewFramer(&wire, nil)
		var want []string
		data := map[uint32][]byte{}
		for range rapid.IntRange(1, 20).Draw(t, "frames") {
			id := rapid.Uint32Range(1, 5).Draw(t, "stream")
			body := rapid.SliceOfN(rapid.Byte(), 0, 400).Draw(t, "body")
			before := wire.Len()
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				must(t, framer.WriteData(id, rapid.Bool().Draw(t, "end"), body))
				data[id] = append(data[id], body...)
			case 1:
				must(t, framer.WriteDataPadded(id, false, body, make([]byte, rapid.IntRange(0, 255).Draw(t, "padding"))))
				data[id] = append(data[id], body...)
			case 2:
				must(t, framer.WriteWindowUpdate(id, 1))
			default:
				must(t, framer.WriteRawFrame(0x55, 0xff, id, body))
			}
			h, err := http2.ReadFrameHeader(bytes.NewReader(wire.Bytes()[before:]))
			must(t, err)
			want = append(want, fmt.Sprint("begin ", byte(h.Type), byte(h.Flags), h.StreamID, h.Length), fmt.Sprint("end ", byte(h.Type), h.StreamID))
		}
		got := notes{data: map[uint32][]byte{}}
		s := frames{preface: len(preface)}
		for wire.Len() > 0 {
			s.feed(wire.Next(rapid.IntRange(1, 300).Draw(t, "piece")), &got)
		}
		if !s.boundary() || s.other || !slices.Equal(got.lines, want) {
			t.Fatalf("got %v, want %v", got.lines, want)
		}
		for id, b := range data {
			if !bytes.Equal(got.data[id], b) {
				t.Fatalf("stream %d: %x, want %x", id, got.data[id], b)
			}
		}
	})
}

// What is no HTTP/2 is left alone.
func TestOther(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"GET /livez HTTP/1.1\r\n\r\n", "PRI * HTTP/1.1\r\n", "x"} {
		s, got := frames{preface: len(preface)}, notes{}
		for _, b := range []byte(text) {
			s.feed([]byte{b}, &got)
		}
		if !s.other || got.lines != nil {
			t.Errorf("%q is taken for HTTP/2: %v", text, got.lines)
		}
	}
}

// Messages end where they end, and as much of one is unfinished as came of it.
func TestMessagesInPieces(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var wire []byte
		ends := map[int]bool{}
		for range rapid.IntRange(1, 10).Draw(t, "messages") {
			size := rapid.IntRange(0, 300).Draw(t, "size")
			wire = append(wire, 0)
			wire = binary.BigEndian.AppendUint32(wire, uint32(size))
			wire = append(wire, make([]byte, size)...)
			ends[len(wire)] = true
		}
		var m messages
		last := 0
		for at := 0; at < len(wire); {
			n := min(len(wire)-at, rapid.IntRange(1, 200).Draw(t, "piece"))
			want := 0
			for i := at + 1; i <= at+n; i++ {
				if ends[i] {
					want++
					last = i
				}
			}
			if got := m.feed(wire[at : at+n]); got != want {
				t.Fatalf("%d messages ended, want %d", got, want)
			}
			at += n
			if got := m.unfinished(); got != int64(at-last) {
				t.Fatalf("%d bytes are unfinished, want %d", got, at-last)
			}
		}
	})
}

// Nothing that comes breaks the reader, or makes it stand still.
func FuzzFrames(f *testing.F) {
	f.Add([]byte(preface+"\x00\x00\x03\x00\x09\x00\x00\x00\x01\xffab"), uint8(3))
	f.Add([]byte(preface+"\x00\x00\x00\x00\x08\x00\x00\x00\x01"), uint8(1))
	f.Fuzz(func(t *testing.T, wire []byte, piece uint8) {
		whole, parts := notes{data: map[uint32][]byte{}}, notes{data: map[uint32][]byte{}}
		a, b := frames{preface: len(preface)}, frames{preface: len(preface)}
		a.feed(wire, &whole)
		for rest := range slices.Chunk(wire, int(piece)+1) {
			b.feed(rest, &parts)
		}
		if a != b || !slices.Equal(whole.lines, parts.lines) {
			t.Errorf("in pieces %v, at once %v", parts.lines, whole.lines)
		}
	})
}

func must(t interface{ Fatal(args ...any) }, err error) {
	if err != nil {
		t.Fatal(err)
	}
}
