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
type kind protowire.Number

const (
	envelope kind = iota
	answer
	question
	evidence
	holdings
	instruction
	kinds
)

var kindNames = [kinds]string{"envelope", "answer", "question", "evidence", "holdings", "instruction"}

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
	size := proto.Size(m)
	if size > most {
		return letter{}, fmt.Errorf("%w: it has %d bytes, and may have %d", errLong, size, most)
	}
	raw := make([]byte, 0, size+maxTag)
	raw = protowire.AppendTag(raw, protowire.Number(k)+1, protowire.BytesType)
	raw = protowire.AppendVarint(raw, uint64(size)) //nolint:gosec // it is not negative
	at := len(raw)
	raw, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(raw, m) // what has the same content may be sent by others meanwhile
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

// unpack reads a letter that came: a holdfast.remoting.v1.Letter, without the detour over its type.
func unpack(raw []byte) (k kind, m proto.Message, err error) {
	err = walk(raw, func(number protowire.Number, value []byte) error {
		switch next := kind(number) - 1; {
		case number < 1 || next >= kinds:
			return nil // of a later version
		case m == nil || next != k:
			k, m = next, newContent(next)
		}
		return proto.UnmarshalOptions{Merge: true}.Unmarshal(value, m)
	})
	e, _ := m.(*nodev1.Envelope)
	switch {
	case err != nil || e.GetPartition() >= messages.Partitions:
		return 0, nil, errMalformed
	case m == nil:
		return 0, nil, errUnknown
	case e != nil && e.GetMessage() == nil:
		return envelope, e, errUnknown
	}
	return k, m, nil
}

func newContent(k kind) proto.Message {
	switch k {
	case answer:
		return new(nodev1.Answer)
	case question:
		return new(remotingv1.Question)
	case evidence:
		return new(remotingv1.Evidence)
	case holdings:
		return new(remotingv1.Holdings)
	case instruction:
		return new(remotingv1.Instruction)
	default:
		return new(nodev1.Envelope)
	}
}

// failed is the answer to an ask that got no other.
func failed(ask uint64, reason nodev1.Reason, text string) *nodev1.Answer {
	return &nodev1.Answer{Ask: ask, Failure: &nodev1.Failure{Reason: reason, Text: text}}
}
