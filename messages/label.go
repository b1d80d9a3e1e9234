package messages

import "strings"

// The lengths of the longest name and value of a label, in bytes.
const (
	MaxLabelName  = 63
	MaxLabelValue = 256
)

// IsLabelName tells whether a label can be called so: by 1 to MaxLabelName bytes, without = and NUL.
func IsLabelName(name string) bool {
	return name != "" && len(name) <= MaxLabelName && !strings.ContainsAny(name, "=\x00")
}
