package messages

import (
	"net/url"
	"strings"
)

//nolint:gochecknoglobals // they keep nothing
var (
	pointerEscaper   = strings.NewReplacer("~", "~0", "/", "~1")
	pointerUnescaper = strings.NewReplacer("~1", "/", "~0", "~")
)

// EscapePointer is a name as it stands in a JSON pointer (RFC 6901).
func EscapePointer(name string) string { return pointerEscaper.Replace(name) }

// UnescapePointer is the name that a step of a JSON pointer stands for.
func UnescapePointer(step string) string { return pointerUnescaper.Replace(step) }

// EscapeURI escapes all but what is unreserved in addresses (RFC 3986, 2.3).
func EscapeURI(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }
