package workflow

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Value is a JSON value: bytes, decoded when an expression first reads it. Decoding is kept, so a Value belongs to one
// instance; it is not safe for concurrent use. Nobody changes what it holds.
type Value struct {
	raw     []byte
	decoded any
	done    bool
}

// NewValue makes a value of JSON that is known to be valid.
func NewValue(raw []byte) *Value { return &Value{raw: raw} }

// nothing is null. It is decoded already, so that all instances may share it.
var nothing = NewDecoded([]byte("null"), nil)

// NewDecoded makes a value of JSON and what it decodes to: nil, bool, json.Number, int, float64, *big.Int, string, []any
// and map[string]any.
func NewDecoded(raw []byte, decoded any) *Value {
	return &Value{raw: raw, decoded: decoded, done: true}
}

// decodedFactor is how much more memory JSON takes when it is decoded, about.
const decodedFactor = 8

// size is about what the value takes in memory.
func (v *Value) size() int {
	switch {
	case v == nil:
		return 0
	case v.decoded != nil:
		return (1 + decodedFactor) * len(v.raw)
	}
	return len(v.raw)
}

// JSON returns the value's bytes; null for a nil value.
func (v *Value) JSON() []byte {
	if v == nil || len(v.raw) == 0 {
		return []byte("null")
	}
	return v.raw
}

// Any returns the decoded value. Numbers are json.Number.
func (v *Value) Any() (any, error) {
	if v == nil {
		return nil, nil //nolint:nilnil // null is a value
	}
	if !v.done {
		d := json.NewDecoder(bytes.NewReader(v.JSON()))
		d.UseNumber()
		if err := d.Decode(&v.decoded); err != nil {
			return nil, fmt.Errorf("decode value: %w", err)
		}
		v.done = true
	}
	return v.decoded, nil
}
