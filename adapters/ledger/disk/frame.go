package disk

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/adapters/ledger"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// A record on disk is a head and a body. The head is three numbers of 4 bytes: the length of the body, its checksum, and the
// checksum of both. So a length that was changed is not taken for a record that was cut off.
const (
	headBytes = 12
	maxBody   = 256 << 20
)

// The first byte of a body says what it is: one of these, or a ledger.RecordKind.
const (
	kindOpening = 0
	kindMark    = 255 // all before it is durable
)

// opening is what the first record holds after its kind, followed by the ledger's id, a space, and the adapter's name.
const opening = "holdfast ledger 1 "

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// frame appends a record: its kind, and the rest of its body as body appends it.
func frame(to []byte, kind byte, body func([]byte) ([]byte, error)) ([]byte, error) {
	start := len(to)
	to = append(to, make([]byte, headBytes)...)
	to, err := body(append(to, kind))
	if err != nil {
		return to[:start], err
	}
	head, rest := to[start:start+headBytes], to[start+headBytes:]
	if len(rest) > maxBody {
		return to[:start], fmt.Errorf("a record has %d bytes, more than %d", len(rest), maxBody)
	}
	binary.LittleEndian.PutUint32(head, uint32(len(rest))) //nolint:gosec // compared above
	binary.LittleEndian.PutUint32(head[4:], crc32.Checksum(rest, castagnoli))
	binary.LittleEndian.PutUint32(head[8:], crc32.Checksum(head[:8], castagnoli))
	return to, nil
}

func frameOpening(id, adapter string) ([]byte, error) {
	return frame(nil, kindOpening, func(b []byte) ([]byte, error) { return append(b, opening+id+" "+adapter...), nil })
}

func frameRecord(to []byte, r ledger.Record) ([]byte, error) {
	return frame(to, byte(r.Kind), func(b []byte) ([]byte, error) {
		return proto.MarshalOptions{}.MarshalAppend(b, r.Result)
	})
}

const markBytes = headBytes + 1 + 8

// frameMark makes the mark that begins at an offset, and holds it: so nothing else that a log holds is taken for a mark.
func frameMark(at int64) []byte {
	mark, _ := frame(nil, kindMark, func(b []byte) ([]byte, error) {
		return binary.LittleEndian.AppendUint64(b, uint64(at)), nil //nolint:gosec // not negative
	})
	return mark
}

// marked tells whether there is a mark behind an offset.
func marked(log io.ReaderAt, at int64) (bool, error) {
	r := bufio.NewReaderSize(io.NewSectionReader(log, at, math.MaxInt64-at), 1<<16)
	for ; ; at++ {
		switch b, err := r.Peek(markBytes); {
		case errors.Is(err, io.EOF):
			return false, nil
		case err != nil:
			return false, err //nolint:wrapcheck // the caller knows the file
		case b[headBytes] == kindMark && bytes.Equal(b, frameMark(at)):
			return true, nil
		}
		_, _ = r.Discard(1) // which is there
	}
}

// parse makes a record of a body.
func parse(body []byte) (ledger.Record, error) {
	r := ledger.Record{Kind: ledger.RecordKind(body[0]), Result: &adapterv1.Result{}}
	if r.Kind < ledger.Begun || r.Kind > ledger.Forgotten {
		return r, fmt.Errorf("a record is of the unknown kind %d: is it of a newer version?", body[0])
	}
	if err := proto.Unmarshal(body[1:], r.Result); err != nil {
		return r, fmt.Errorf("a record can't be read: %w", err)
	}
	return r, nil
}

// What may be wrong with a record.
var (
	errCutOff = errors.New("a record is cut off") // by the end of the file
	errHead   = errors.New("the head of a record is damaged")
	errBody   = errors.New("a record does not have its checksum")
)

// scanner reads bodies one after the other.
type scanner struct {
	from io.Reader
	at   int64 // where the next record begins
	body []byte
}

// next returns the next body, valid until the next call: io.EOF at the end, and one of the errors above if it is not whole.
func (s *scanner) next() ([]byte, error) {
	var head [headBytes]byte
	switch n, err := io.ReadFull(s.from, head[:]); {
	case n == 0 && errors.Is(err, io.EOF):
		return nil, io.EOF
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errCutOff
	case err != nil:
		return nil, err //nolint:wrapcheck // the caller knows the file
	}
	size := binary.LittleEndian.Uint32(head[:])
	if crc32.Checksum(head[:8], castagnoli) != binary.LittleEndian.Uint32(head[8:]) || size > maxBody || size == 0 {
		return nil, errHead
	}
	s.body = slices.Grow(s.body[:0], int(size))[:size]
	switch _, err := io.ReadFull(s.from, s.body); {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errCutOff
	case err != nil:
		return nil, err //nolint:wrapcheck // as above
	}
	if crc32.Checksum(s.body, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
		return nil, errBody
	}
	s.at += headBytes + int64(size)
	return s.body, nil
}
