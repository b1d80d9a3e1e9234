package pebble

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/holdfast-run/holdfast/persistence"
)

// A journal of another format, or of a higher feature level, is refused with advice, and is not damage.
func TestFormats(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		version int
		want    string
	}{
		"before": {format - 1, "give an empty directory"},
		"newer":  {format + 1, "use a newer version"},
	} {
		fs := vfs.NewMem()
		mustClose(t, mustOpen(t, testConfig(fs)))
		text := fmt.Sprintf("holdfast journal %d\nstate open\n", test.version)
		text += fmt.Sprintf("check %016x\n", xxhash.Sum64String(text))
		if err := writeFile(fs, fs.PathJoin(testDir, sealName), []byte(text)); err != nil {
			t.Fatal(err)
		}
		j, err := Open(testConfig(fs))
		if err == nil {
			mustClose(t, j)
			t.Fatalf("%s: it opens", name)
		}
		if text := err.Error(); !strings.Contains(text, test.want) || !strings.Contains(text, testDir) || errors.Is(err, persistence.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
		if errors.Is(err, persistence.ErrFeatureLevel) != (test.version > format) {
			t.Errorf("%s: %v", name, err)
		}
	}
	fs := vfs.NewMem()
	j := mustOpen(t, testConfig(fs))
	if err := j.db.Set([]byte{kindLevel}, appendNumber(nil, persistence.NewestLevel+1), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	mustClose(t, j)
	if _, err := Open(testConfig(fs)); !errors.Is(err, persistence.ErrFeatureLevel) {
		t.Errorf("a higher feature level: %v", err)
	}
}
