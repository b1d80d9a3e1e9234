package audit

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages/auditv1"
)

// Hash is the SHA-256 of the bytes of an entry.
type Hash [sha256.Size]byte

// Chain is the end of a chain, to which entries are added. One that has no entries has a name alone.
type Chain struct {
	Name string
	// Sequence and Hash are those of the last entry; At is when it was made, in nanoseconds since 1970.
	Sequence uint64
	Hash     Hash
	At       int64
}

// Next adds an entry, of which the kind is given, and returns what is to be stored. It is made now, but not before the last one.
func (c *Chain) Next(e *auditv1.Entry, now int64) ([]byte, error) {
	e.Chain, e.Sequence, e.At = c.Name, c.Sequence+1, max(now, c.At)
	e.Previous = nil
	if c.Sequence > 0 {
		e.Previous = c.Hash[:]
	}
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode entry %d of chain %s: %w", e.GetSequence(), c.Name, err)
	}
	c.Sequence, c.Hash, c.At = e.GetSequence(), sha256.Sum256(encoded), e.GetAt()
	return append(c.Hash[:], encoded...), nil
}

// After returns the end of a chain whose last entry is stored so.
func After(stored []byte) (Chain, error) {
	e, hash, err := Read(stored)
	if err != nil {
		return Chain{}, err
	}
	return Chain{Name: e.GetChain(), Sequence: e.GetSequence(), Hash: hash, At: e.GetAt()}, nil
}

// ErrChanged: what is stored is not what was written.
var ErrChanged = errors.New("it was changed")

// Read reads an entry as it is stored. It fails with ErrChanged if its bytes have another hash than they had.
func Read(stored []byte) (*auditv1.Entry, Hash, error) {
	if len(stored) < sha256.Size {
		return nil, Hash{}, fmt.Errorf("%w: it has %d bytes", ErrChanged, len(stored))
	}
	hash, encoded := Hash(stored), stored[sha256.Size:]
	if sha256.Sum256(encoded) != hash {
		return nil, Hash{}, fmt.Errorf("%w: its bytes have another hash than they had", ErrChanged)
	}
	e := new(auditv1.Entry)
	if err := proto.Unmarshal(encoded, e); err != nil {
		return nil, Hash{}, fmt.Errorf("decode an entry: %w", err)
	}
	return e, hash, nil
}

// Place is that of an entry among all chains, by their names. The zero value is before all.
type Place struct {
	Chain    string
	Sequence uint64
}
