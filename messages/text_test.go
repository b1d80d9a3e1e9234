package messages_test

import (
	"testing"

	"github.com/holdfast-run/holdfast/messages"
)

func TestClip(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text       string
		most       int
		cut, clips string
	}{
		{"", 0, "", ""},
		{"abc", 3, "abc", "abc"},
		{"abcd", 3, "abc", "abc…"},
		{"aé", 2, "a", "a…"},
		{"aé", 3, "aé", "aé"},
		{"€", 0, "", "…"},
	}
	for _, test := range tests {
		if got := messages.Cut(test.text, test.most); got != test.cut {
			t.Errorf("cut of %q to %d is %q", test.text, test.most, got)
		}
		if got := messages.Clip(test.text, test.most); got != test.clips {
			t.Errorf("clip of %q to %d is %q", test.text, test.most, got)
		}
	}
	if got := messages.Clip("a\xffb", 9); got != "a\uFFFDb" {
		t.Errorf("clip of what is no text is %q", got)
	}
}
