package stage

import (
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	t.Parallel()
	const after = " S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 9 0 100"
	for _, name := range []string{"(holdfast)", "(a b)", "(odd ) 1 2 (name)"} {
		got, err := parseStat([]byte("4711 " + name + after))
		if err != nil || got != 2*time.Second {
			t.Errorf("%s: %v, not 2s: %v", name, got, err)
		}
	}
	for _, bad := range []string{"", "1 holdfast S", "1 (holdfast) S 1 2", "1 (x) S 1 2 3 4 5 6 7 8 9 10 a b 0 0"} {
		if got, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q is read as %v", bad, got)
		}
	}
}

func TestParseStatus(t *testing.T) {
	t.Parallel()
	b := []byte("Name:\tVmRSS:\nVmHWM:\t    2048 kB\nVmRSS:\t 1024 kB\nVmBad:\tmany kB\n")
	for name, want := range map[string]int64{"VmRSS:": 1 << 20, "VmHWM:": 2 << 20} {
		if got, err := parseStatus(b, name); err != nil || got != want {
			t.Errorf("%s is %d, not %d: %v", name, got, want, err)
		}
	}
	for _, name := range []string{"VmSwap:", "VmBad:", "Vm"} {
		if got, err := parseStatus(b, name); err == nil {
			t.Errorf("%s is read as %d", name, got)
		}
	}
}

// TestOwnUsage burns CPU until it shows.
func TestOwnUsage(t *testing.T) {
	t.Parallel()
	first, err := OwnUsage()
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		now, err := OwnUsage()
		if err != nil {
			t.Fatal(err)
		}
		if now.CPU > first.CPU {
			return
		}
	}
	t.Errorf("after 20 s of work the CPU time is still %v", first.CPU)
}
