package definition_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/actors/definition"
)

// TestFootprint compares what definitions take in memory with what they are reckoned to take. It does not run beside others, as it
// measures the heap.
//
//nolint:paralleltest // see above
func TestFootprint(t *testing.T) {
	const head = "document: {dsl: 1.0.3, namespace: test, name: one, version: 1.0.0}\n"
	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	set := func(what string) string { return head + "do: [{a: {set: {b: " + what + "}}}]\n" }
	for name, document := range map[string]string{
		"small":   set("1"),
		"tasks":   head + "do:\n" + many(900, "- a%d: {set: {b: 1}}\n"),
		"calls":   head + "do:\n" + many(900, "- a%d: {call: a.b, with: {x: '${.y}', z: '${.a.b + 1}'}}\n"),
		"waits":   head + "do:\n" + many(900, "- a%d: {wait: PT1S}\n"),
		"text":    set("'" + strings.Repeat("x", 1_000_000) + "'"),
		"numbers": set("[" + strings.Repeat("1,", 30_000) + "1]"),
		"objects": set("[" + strings.Repeat("{a: 1},", 10_000) + "1]"),
		"lists":   set("[" + strings.Repeat("[],", 10_000) + "1]"),
		"jq":      set("{" + many(300, "k%d: '${.a + [.b[] | select(.x > 1) | .y] | if .q then 1 else %[1]d end}',") + "}"),
		"long jq": set("{" + many(300, "k%d: '${["+strings.Repeat(".a,", 60)+"%[1]d]}',") + "}"),
		"functions": head + "use: {functions: {f: {do: [" + many(30, "{a%d: {call: a.b, with: {x: '${.y + %[1]d}'}}},") + "]}}}\n" +
			"do:\n" + many(30, "- c%d: {call: f}\n"),
	} {
		definition.Compile([]byte(document), definition.Limits{}) // makes what is made once for all definitions
		before := heap()
		def, mistakes := definition.Compile([]byte(document), definition.Limits{})
		if def == nil {
			t.Errorf("%s: %v", name, mistakes)
			continue
		}
		took := heap() - before
		runtime.KeepAlive(document)
		reckoned := definition.Footprint(def, len(document))
		t.Logf("%-9s %7d bytes, %4d tasks take %8d, and are reckoned to take %8d", name, len(document), len(def.Tasks), took, reckoned)
		if took > 2*reckoned {
			t.Errorf("%s takes %d bytes, more than twice the %d that it is reckoned to take", name, took, reckoned)
		}
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
