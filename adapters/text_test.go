package adapters

import (
	"encoding/json"
	"strings"
	"testing"
)

type spoiledText struct{ text string }

func (s spoiledText) MarshalText() ([]byte, error) { return []byte(s.text), nil }

type embedded struct{ Name string }

type spoiled struct {
	embedded

	Plain  string            `json:"plain"`
	Any    any               `json:"any,omitempty"`
	List   []*spoiled        `json:"list,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	Bytes  []byte            `json:"bytes,omitempty"`
	Raw    json.RawMessage   `json:"raw,omitempty"`
	Own    *spoiledText      `json:"own,omitempty"`
	Never  string            `json:"-"`
}

// The encoder would put U+FFFD in place of what is not UTF-8, and nobody would know.
func TestOutputThatIsNotUTF8(t *testing.T) {
	t.Parallel()
	const bad = "a\xffb"
	for want, out := range map[string]any{
		"UTF-8: \"a\\xffb\"":                       bad,
		"UTF-8 at /plain: ":                        spoiled{Plain: bad},
		"UTF-8 at /Name: ":                         &spoiled{embedded: embedded{bad}},
		"UTF-8 at /any/x/1: ":                      spoiled{Any: map[string]any{"x": []string{"", bad}}},
		"UTF-8 at /list/0/plain: ":                 spoiled{List: []*spoiled{{Plain: bad}}},
		"UTF-8 at /labels: ":                       spoiled{Labels: map[string]string{bad: ""}},
		"UTF-8 at /own: ":                          spoiled{Own: &spoiledText{bad}},
		"UTF-8 at /x: \"" + strings.Repeat("a", 9): map[string]string{"x": strings.Repeat("a", 1000) + bad},
	} {
		if output, err := encode(out); err == nil || !strings.Contains(err.Error(), "the output has text that is not valid "+want) {
			t.Errorf("%s: encoded as %s, %v", want, output, err)
		}
	}
	fine := &spoiled{
		embedded: embedded{"\ufffd"}, Plain: `\ufffd`, Any: []any{1, nil, "\ufffd"}, Bytes: []byte(bad), Raw: json.RawMessage(`"\ufffd"`),
		Never: bad, Own: &spoiledText{"x"},
	}
	if output, err := encode(fine); err != nil || !strings.Contains(string(output), `"raw":"\ufffd"`) {
		t.Errorf("%s, %v", output, err)
	}
}
