package remoting

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/remotingv1"
)

// kind is what a letter holds; its value plus 1 is its number in holdfast.remoting.v1.Letter.
type kind int

const (
	envelope kind = iota
	answer
	question
	evidence
	kinds
)

var kindNames = [kinds]string{"envelope", "answer", "question", "evidence"}

// letter is a message that is to be sent.
type letter struct {
	// raw is an encoded holdfast.remoting.v1.Letter.
	raw  []byte
	kind kind
	// ask is the number of the ask of this node that it is, or of the question; 0: nobody here waits for an answer.
	ask uint64
}

// errLong: a message is longer than the nodes have agreed on.
var errLong = errors.New("message is too long for other nodes")

// pack encodes a message that is at most so many bytes long.
func pack(k kind, m proto.Message, most int) (letter, error) {
	options := proto.MarshalOptions{}
	size := options.Size(m)
	if size > most {
		return letter{}, fmt.Errorf("%w: it has %d bytes, and may have %d", errLong, size, most)
	}
	raw := make([]byte, 0, size+maxTag)
	raw = protowire.AppendTag(raw, protowire.Number(k)+1, protowire.BytesType)
	raw = protowire.AppendVarint(raw, uint64(size)) //nolint:gosec // it is not negative
	at := len(raw)
	raw, err := options.MarshalAppend(raw, m)
	switch {
	case err != nil:
		return letter{}, fmt.Errorf("encode a message: %w", err)
	case len(raw)-at != size:
		return letter{}, errors.New("message was changed while it was encoded")
	}
	return letter{raw: raw, kind: k}, nil
}

// maxTag is how long the tag and the length of a field may be, in bytes.
const maxTag = 2 * 10

// Why a letter is not delivered.
var (
	errMalformed = errors.New("message can't be read")
	errUnknown   = errors.New("message is of a kind that this version does not know")
)

// unpack reads a letter that came.
func unpack(raw []byte) (kind, proto.Message, error) {
	l := new(remotingv1.Letter)
	if err := proto.Unmarshal(raw, l); err != nil {
		return 0, nil, errMalformed
	}
	switch c := l.GetContent().(type) {
	case *remotingv1.Letter_Envelope:
		switch e := c.Envelope; {
		case e.GetPartition() >= messages.Partitions:
			return 0, nil, errMalformed
		case e.GetMessage() == nil:
			return envelope, e, errUnknown
		}
		return envelope, c.Envelope, nil
	case *remotingv1.Letter_Answer:
		return answer, c.Answer, nil
	case *remotingv1.Letter_Question:
		return question, c.Question, nil
	case *remotingv1.Letter_Evidence:
		return evidence, c.Evidence, nil
	}
	return 0, nil, errUnknown
}

// failed is the answer to an ask that got no other.
func failed(ask uint64, reason nodev1.Reason, text string) *nodev1.Answer {
	return &nodev1.Answer{Ask: ask, Failure: &nodev1.Failure{Reason: reason, Text: text}}
}
