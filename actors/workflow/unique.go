package workflow

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// Unique makes ids within one decision of an order. They follow from the order, from how many events it had, and from how many ids were
// made before: no other decision that counts makes the same, and the same decision makes the same again.
type Unique struct {
	m    *machine
	made uint64
}

// UUID returns the next id, a UUID of version 8 (RFC 9562).
func (u *Unique) UUID() string {
	u.made++
	b := binary.BigEndian.AppendUint64(nil, uint64(u.m.s.version))
	b = binary.BigEndian.AppendUint64(b, u.made)
	sum := sha256.Sum256(append(b, u.m.s.ID()...))
	id := sum[:16]
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	text := hex.EncodeToString(id)
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}
