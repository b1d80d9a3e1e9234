package lease_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/holdfast-run/holdfast/cluster/lease"
	"github.com/holdfast-run/holdfast/messages"
)

// TestTranscripts drives a lease with the lines of each file, and compares what it says to each. A line is a time in milliseconds, and
// what happens then. Every block named new begins with a node called self, of the default settings: a TTL of 3 s, so that peers are
// asked at 2250 ms of age, dispatching stops at 2625, the lease is over at 2750, and the evidence of peers is fresh for 1125.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			t.Parallel()
			e := &env{}
			datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
				t.Helper()
				if d.Cmd == "new" {
					l, err := lease.New("self", lease.Settings{})
					if err != nil {
						t.Fatal(err)
					}
					e = &env{lease: l}
				}
				var out strings.Builder
				for line := range strings.Lines(d.Input) {
					line = strings.TrimSuffix(line, "\n")
					out.WriteString(line + "\n" + e.run(t, line))
				}
				return out.String()
			})
		})
	}
}

var began = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func at(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }

func since(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return fmt.Sprint(t.Sub(began).Milliseconds())
}

// env is a transcript under way.
type env struct{ lease *lease.Lease }

// run runs one line:
//
//	TIME renewed SENT                       Consul has confirmed a refresh
//	TIME passing|critical|missing SENT      what a read has shown
//	TIME topology NODE …
//	TIME answered NUMBER NODE=DATED …       DATED may be never: no evidence; a node that is not named has not answered
//	TIME tick
//	TIME asked                              what a peer is told that asks
//	TIME may                                what the node may do
//	TIME next
func (e *env) run(t *testing.T, line string) string {
	t.Helper()
	var ms, number int
	words := strings.Fields(line)
	scan := func(s string, into *int) {
		if _, err := fmt.Sscan(s, into); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	scan(words[0], &ms)
	now := at(ms)
	if len(words) > 2 && words[1] != "topology" {
		scan(words[2], &number)
	}
	var in lease.Input
	switch words[1] {
	case "renewed":
		in = lease.Renewed{Sent: at(number)}
	case "passing":
		in = lease.Read{Sent: at(number), Shows: lease.Passing}
	case "critical":
		in = lease.Read{Sent: at(number), Shows: lease.Critical}
	case "missing":
		in = lease.Read{Sent: at(number), Shows: lease.Missing}
	case "topology":
		var members []messages.Incarnation
		for _, w := range words[2:] {
			members = append(members, messages.Incarnation(w))
		}
		in = lease.Topology{Members: members}
	case "answered":
		a := lease.Answered{Number: uint64(number)}
		for _, w := range words[3:] {
			node, dated, _ := strings.Cut(w, "=")
			said := lease.Testimony{Node: messages.Incarnation(node), Answered: true}
			if dated != "never" {
				var ms int
				scan(dated, &ms)
				said.Seen, said.Dated = true, at(ms)
			}
			a.Said = append(a.Said, said)
		}
		in = a
	case "tick":
		in = lease.Tick{}
	case "asked":
		dated, _, hurry := e.lease.Testify(now)
		return fmt.Sprintf("    evidence: %s, hurry: %v\n", since(dated), hurry)
	case "may":
		return fmt.Sprintf("    dispatch: %v, renew: %v, remove: %v\n", e.lease.MayDispatch(now), e.lease.MayRenew(now), e.lease.MayRemove(now))
	case "next":
		next, _ := e.lease.Next()
		return "    " + since(next) + "\n"
	default:
		t.Fatalf("%s: there is no such line", line)
	}
	before := e.lease.State()
	var out strings.Builder
	outputs := e.lease.Step(in, now)
	if after := e.lease.State(); after != before {
		fmt.Fprintf(&out, "    %v -> %v\n", before, after)
	}
	for _, o := range outputs {
		out.WriteString("    " + show(o) + "\n")
	}
	return out.String()
}

func show(o lease.Output) string {
	switch o := o.(type) {
	case lease.Ask:
		return fmt.Sprintf("ask %d of %v within %v", o.Number, o.Peers, o.Within)
	case lease.Exit:
		return fmt.Sprintf("exit by %s: %v", since(o.By), o.Reason)
	default:
		return strings.TrimPrefix(fmt.Sprintf("%T", o), "lease.")
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	if err := (lease.Settings{}).Validate(); err != nil {
		t.Fatal(err)
	}
	for _, ttl := range []time.Duration{time.Second, 10 * time.Second, time.Minute} {
		if err := (lease.Settings{TTL: ttl}).Validate(); err != nil {
			t.Errorf("a TTL of %v: %v", ttl, err)
		}
	}
	const s = time.Second
	tests := map[string]struct {
		set  lease.Settings
		want []string
	}{
		"all":                  {lease.Settings{TTL: -1, Margin: -1, Inquiry: -1, Guard: -1, Lull: -1}, []string{"TTL", "Margin", "Inquiry", "Guard", "Lull"}},
		"a short TTL":          {lease.Settings{TTL: s - 1}, []string{"TTL"}},
		"a long TTL":           {lease.Settings{TTL: time.Minute + 1}, []string{"TTL"}},
		"a long margin":        {lease.Settings{Margin: 876 * time.Millisecond}, []string{"Margin"}},
		"a long lull":          {lease.Settings{Lull: 1251 * time.Millisecond}, []string{"Margin"}},
		"a short lull":         {lease.Settings{Lull: s * 3 / 4}, []string{"Lull"}},
		"a long inquiry":       {lease.Settings{Inquiry: 375 * time.Millisecond}, []string{"Inquiry"}},
		"no time for clocks":   {lease.Settings{Guard: 149 * time.Millisecond}, []string{"Guard"}},
		"no time for stopping": {lease.Settings{Guard: 375 * time.Millisecond}, []string{"Guard"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := lease.New("self", tt.set)
			if err == nil {
				t.Fatal("it is taken")
			}
			lines := strings.Split(err.Error(), "\n")
			if !slices.EqualFunc(lines, tt.want, func(line, field string) bool { return strings.HasPrefix(line, "lease: "+field+" is ") }) {
				t.Errorf("got %q, want mistakes of %v", lines, tt.want)
			}
		})
	}
}
