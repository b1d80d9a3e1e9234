package messages_test

import (
	"testing"

	"github.com/holdfast-run/holdfast/messages"
)

func TestIsVersion(t *testing.T) {
	t.Parallel()
	for _, version := range []string{
		"0.0.0", "1.0.0", "10.20.30", "1.0.0-rc.1", "1.0.0-0a", "1.0.0--", "1.0.0+build.05", "1.0.0-x-y.z+a-b",
		"99999999999999999999.0.0",
	} {
		if !messages.IsVersion(version) {
			t.Errorf("%q is a version, and was not taken", version)
		}
	}
	for _, text := range []string{
		"", "1", "1.0", "v1.0.0", "1.0.0.0", "01.0.0", "1.0.0-", "1.0.0+", "1.0.0-01", "1.0.0-a..b", "1.0.0+a..b", "1.0.0-rc_1",
		"1.0.0 ", " 1.0.0", "1.0.0\n", "1.0+build", "1-rc.1", "latest", "1.x.0", "1.0.0-ä",
	} {
		if messages.IsVersion(text) {
			t.Errorf("%q was taken for a version", text)
		}
	}
}

func TestCompareVersions(t *testing.T) {
	t.Parallel()
	ordered := []string{"0.9.0", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-rc.2", "1.0.0-rc.10", "1.0.0", "1.2.0", "1.10.0"}
	for i, a := range ordered {
		for j, b := range ordered {
			if got := messages.CompareVersions(a, b); got < 0 != (i < j) || got > 0 != (i > j) {
				t.Errorf("%s and %s compare as %d", a, b, got)
			}
		}
	}
	if got := messages.CompareVersions("1.0.0+a", "1.0.0+b"); got != 0 {
		t.Errorf("builds of one version compare as %d", got)
	}
	if messages.IsRelease("1.0.0-rc.1") || !messages.IsRelease("1.0.0") || !messages.IsRelease("1.0.0+b-c") {
		t.Error("a release is what has no hyphen before its plus")
	}
}
