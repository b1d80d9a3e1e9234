package definition

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
)

// smallObjects is a list of that many.
func smallObjects(n int) string {
	var b strings.Builder
	b.WriteByte('[')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":"item-%d","price":%d.5,"tags":["a","b"],"stock":{"min":1}}`, i, i)
	}
	return b.String() + "]"
}

// scale are programs that go through all of a list of so many small objects, as programs of users do.
var scale = []struct {
	program string
	objects int
}{
	{"walk(.) | length", 20_000},
	{"walk(if type == \"number\" then . + 1 else . end) | length", 20_000},
	{"INDEX(.id) | length", 20_000},
	{"[paths] | length", 20_000},
	{"[leaf_paths] | length", 20_000},
	{"[paths(type == \"number\")] | length", 20_000},
	{"[..] | length", 20_000},
	{"[tostream] | length", 10_000},
	{"reduce .[] as $x (0; . + $x.price)", 100_000},
	{"map(.price) | add", 100_000},
	{"[.[] | select(.price > 5) | .id] | length", 100_000},
	{"map({id, price: (.price * 2)}) | length", 100_000},
	{"map(\"\\(.id): \\(.price)\") | length", 50_000},
	{"(.[] | .price) |= . + 1 | length", 20_000},
	{"(.[] | select(.price > 100)) |= del(.tags) | length", 20_000},
	{".[].price += 1 | length", 20_000},
	{"[.[] | .stock.min = 2] | length", 20_000},
	{"map(with_entries(.value |= tostring)) | length", 8_000},
	{"group_by(.id) | length", 20_000},
	{"any(.[]; .id == \"x\")", 100_000},
}

// TestScale checks that the budget lets programs through that take a fraction of a second. They go through a tenth of the
// objects, with a tenth of the budget: what they need grows with the objects, and nothing else. The clock stands still, so
// that it doesn't count how busy the machine is.
func TestScale(t *testing.T) {
	t.Parallel()
	for _, c := range scale {
		limits := Limits{}.WithDefaults()
		limits.Steps, limits.Memory = limits.Steps/10, limits.Memory/10
		limits.Now = func() time.Time { return time.Unix(0, 0) }
		e, err := newPrograms(limits).compile(c.program, placeTask, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Eval(value(smallObjects(c.objects/10)), &workflow.Args{}); err != nil {
			t.Errorf("%s: %v", c.program, err)
		}
	}
}

func BenchmarkScale(b *testing.B) {
	for _, c := range scale {
		b.Run(c.program, func(b *testing.B) {
			e, err := newPrograms(Limits{Steps: 1 << 40, Memory: 1 << 50, Time: time.Hour}.WithDefaults()).compile(c.program, placeTask, nil)
			if err != nil {
				b.Fatal(err)
			}
			in := value(smallObjects(c.objects))
			if _, err := in.Any(); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Eval(in, &workflow.Args{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestDeepCalls checks that the interpreter's stacks are bounded, also when no step makes anything.
func TestDeepCalls(t *testing.T) {
	t.Parallel()
	limits := Limits{Time: time.Hour, Steps: 1 << 24}.WithDefaults()
	for _, program := range []string{
		"def f: 1 + f; f", "def f: [f]; f", "def f: f, f; f", "def f: (f | f); f", "def f: try f catch .; f",
		"def f: label $x | f; f", "def f: . as $x | f | $x; f", "def f: reduce f as $x (0; .); f",
	} {
		e, err := newPrograms(limits).compile(program, placeTask, nil)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		_, err = e.Eval(value("1"), &workflow.Args{})
		t.Log(program, time.Since(start), err)
		if err == nil || !strings.Contains(err.Error(), "too much memory") {
			t.Errorf("%s: %v", program, err)
		}
	}
}
