package messages_test

import (
	"bytes"
	"maps"
	"testing"

	"github.com/holdfast-run/holdfast/messages"
)

// TestResources: resources come back as they were, with the document, whatever that is; what was changed is refused.
func TestResources(t *testing.T) {
	t.Parallel()
	for _, document := range []string{"", "a: 1\n", `{"a": 1}`, "a: 1\n--- # resources\n", "a: |\n  x\n  --- # resources\n"} {
		if document == "a: 1\n--- # resources\n" {
			if _, _, err := messages.SplitResources([]byte(document)); err == nil {
				t.Errorf("%q: resources that are none are taken", document)
			}
			continue
		}
		first := map[string][]byte{"https://a": []byte("x: \"\u00e4\"\n"), "file:b": {}, "binary": []byte("\n\x05\xff\x00\u00e4")}
		whole, err := messages.WithResources([]byte(document), first)
		if err != nil {
			t.Fatal(err)
		}
		whole, err = messages.WithResources(whole, map[string][]byte{"https://a": []byte("y"), "c": []byte("--- # resources\n")})
		if err != nil {
			t.Fatal(err)
		}
		split, resources, err := messages.SplitResources(whole)
		want := map[string]string{"https://a": "y", "file:b": "", "c": "--- # resources\n", "binary": "\n\x05\xff\x00\u00e4"}
		got := make(map[string]string)
		for name, content := range resources {
			got[name] = string(content)
		}
		if err != nil || string(split) != document || !maps.Equal(got, want) {
			t.Errorf("%q: %q, %v, %v", document, split, got, err)
		}
		if _, _, err := messages.SplitResources(bytes.Replace(whole, []byte(`"y"`), []byte(`"z"`), 1)); err == nil {
			t.Errorf("%q: a resource was changed, and is taken", document)
		}
	}
	if got, err := messages.WithResources([]byte("a"), nil); err != nil || string(got) != "a" {
		t.Errorf("%q, %v", got, err)
	}
}
