package tokens

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Prefix begins every token that a node's operators have made, so that scanners for secrets find one that has got out.
const Prefix = "hf_"

// secretBytes is how many random bytes a token has.
const secretBytes = 32

// Metadata is the name under which a token is sent, and Scheme what stands before it.
const (
	Metadata = "authorization"
	Scheme   = "Bearer "
)

// Hash is what is kept of a token.
type Hash [sha256.Size]byte

// New makes a token.
func New() string {
	secret := make([]byte, secretBytes)
	_, _ = rand.Read(secret) // it never fails
	return Prefix + base64.RawURLEncoding.EncodeToString(secret)
}

// HashOf returns what is kept of a token.
func HashOf(token string) Hash { return sha256.Sum256([]byte(token)) }

// String is the hash as files have it.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// ParseHash reads a hash.
func ParseHash(s string) (Hash, error) {
	var h Hash
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != len(h) {
		return h, fmt.Errorf("%q is not the SHA-256 of a token, in %d hexadecimal digits", s, 2*len(h))
	}
	copy(h[:], raw)
	return h, nil
}

// maxToken is the longest token that is taken, in bytes. Those of some issuers list all groups of a person.
const maxToken = 8 << 10

// ErrMalformed says that what was sent as a token is none.
var ErrMalformed = errors.New("the authorization is not of the form: Bearer TOKEN")

// FromHeader returns the token that a header of a call has.
func FromHeader(values []string) (token string, err error) {
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 || len(values[0]) < len(Scheme) || !strings.EqualFold(values[0][:len(Scheme)], Scheme) {
		return "", ErrMalformed
	}
	token = strings.TrimSpace(values[0][len(Scheme):])
	if token == "" || len(token) > maxToken {
		return "", ErrMalformed
	}
	return token, nil
}
