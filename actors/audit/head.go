package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/holdfast-run/holdfast/messages/auditv1"
)

// Head tells how far a chain has come: what its last entry is. Whoever keeps one can tell later whether anything before was changed.
type Head struct {
	Chain    string
	Sequence uint64
	Hash     Hash
	// At is when it was told, in nanoseconds since 1970.
	At int64
	// Key is that of the signer's public key, and Signature is by it; empty: nobody has signed it.
	Key, Signature []byte
}

// HeadOf returns the head of a chain, unsigned.
func HeadOf(c Chain, at int64) Head {
	return Head{Chain: c.Name, Sequence: c.Sequence, Hash: c.Hash, At: at}
}

// KeyOf is by what a public key is told from others: its SHA-256.
func KeyOf(key ed25519.PublicKey) []byte {
	sum := sha256.Sum256(key)
	return sum[:]
}

// Sign signs a head.
func (h *Head) Sign(key ed25519.PrivateKey) {
	public, _ := key.Public().(ed25519.PublicKey) // Always is one.
	h.Key, h.Signature = KeyOf(public), ed25519.Sign(key, h.signed())
}

// signed are the bytes of a head that a signature is of.
func (h *Head) signed() []byte {
	b := []byte("holdfast audit head 1\n")
	b = binary.BigEndian.AppendUint32(b, uint32(len(h.Chain))) //nolint:gosec // the name of a node is short
	b = append(b, h.Chain...)
	b = binary.BigEndian.AppendUint64(b, h.Sequence)
	b = append(b, h.Hash[:]...)
	return binary.BigEndian.AppendUint64(b, uint64(h.At)) //nolint:gosec // as it is
}

var (
	errUnsigned = errors.New("it is not signed")
	errOtherKey = errors.New("it is signed by a key that was not given")
	errForged   = errors.New("its signature is not by the key that it names")
)

// Check makes sure that a head was signed by one of some keys.
func (h *Head) Check(keys []ed25519.PublicKey) error {
	if len(h.Signature) == 0 {
		return errUnsigned
	}
	for _, k := range keys {
		if bytes.Equal(KeyOf(k), h.Key) {
			if ed25519.Verify(k, h.signed(), h.Signature) {
				return nil
			}
			return errForged
		}
	}
	return errOtherKey
}

// signedBy returns the head that an entry of the kind Signed signs: that of the chain before it.
func signedBy(e *auditv1.Entry) Head {
	h := Head{
		Chain: e.GetChain(), Sequence: e.GetSequence() - 1, At: e.GetAt(), Key: e.GetSigned().GetKey(), Signature: e.GetSigned().GetSignature(),
	}
	copy(h.Hash[:], e.GetPrevious())
	return h
}

// headText is a head as it is written for people and programs, in one line of JSON.
type headText struct {
	Chain     string    `json:"chain"`
	Sequence  uint64    `json:"sequence"`
	Hash      string    `json:"hash"`
	At        time.Time `json:"at"`
	Key       string    `json:"key,omitempty"`
	Signature []byte    `json:"signature,omitempty"`
}

// Text returns a head in its text form, from which ParseHeads reads it.
func (h *Head) Text() string {
	text, err := json.Marshal(headText{
		Chain: h.Chain, Sequence: h.Sequence, Hash: hex.EncodeToString(h.Hash[:]), At: time.Unix(0, h.At).UTC(),
		Key: hex.EncodeToString(h.Key), Signature: h.Signature,
	})
	if err != nil {
		panic(fmt.Sprintf("encode a head: %v", err))
	}
	return string(text)
}

// ParseHeads reads the text forms of heads, one behind the other.
func ParseHeads(text []byte) ([]Head, error) {
	var heads []Head
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		var t headText
		if err := d.Decode(&t); errors.Is(err, io.EOF) {
			return heads, nil
		} else if err != nil {
			return nil, fmt.Errorf("head %d: %w", len(heads)+1, err)
		}
		hash, err := hex.DecodeString(t.Hash)
		key, keyErr := hex.DecodeString(t.Key)
		if err = errors.Join(err, keyErr); err != nil || len(hash) != sha256.Size || t.Chain == "" || t.Sequence == 0 {
			return nil, fmt.Errorf("head %d is none: it must have a chain, a sequence and a hash of %d bytes: %w",
				len(heads)+1, sha256.Size, errors.Join(err, errNoHead))
		}
		heads = append(heads, Head{
			Chain: t.Chain, Sequence: t.Sequence, Hash: Hash(hash), At: t.At.UnixNano(), Key: key, Signature: t.Signature,
		})
	}
}

var errNoHead = errors.New("not a head")
