package topology_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/holdfast-run/holdfast/cluster/topology"
	"github.com/holdfast-run/holdfast/messages"
)

// TestTranscripts drives the topology of node a with the commands of each file, and compares what it says. The TTL is 3 s, the margin
// 1 s. A line may begin with +, and the time to let pass before it. An answer was sent now and received now, but for sent=, received= (how
// long ago) and fell; its nodes are passing but for what follows the colon.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		t.Helper()
		t.Parallel()
		top, err := topology.New(topology.Config{Self: "a/5", TTL: 3 * time.Second, Margin: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Unix(1000, 0)
		now := start
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			t.Helper()
			var out strings.Builder
			for line := range strings.Lines(d.Input) {
				words := strings.Fields(line)
				if strings.HasPrefix(words[0], "+") {
					now = now.Add(duration(t, words[0][1:]))
					words = words[1:]
				}
				fmt.Fprintf(&out, "%v: %s\n", now.Sub(start), command(t, top, words, now, start))
			}
			return out.String()
		})
	})
}

func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// command runs one line: a verb, and what it is about.
func command(t *testing.T, top *topology.Topology, words []string, now, start time.Time) string {
	t.Helper()
	switch words[0] {
	case "answer":
		return changed(top.Step(answer(t, words[1:], now), now))
	case "failed":
		return changed(top.Step(topology.Failed{}, now))
	case "up", "down":
		return changed(top.Step(topology.Link{Incarnation: messages.Incarnation(words[1]), Up: words[0] == "up"}, now))
	case "found":
		return changed(top.Step(topology.Found{Incarnation: messages.Incarnation(words[1])}, now))
	case "freeze", "thaw":
		return changed(top.Step(topology.Frozen{Frozen: words[0] == "freeze"}, now))
	case "gone":
		var said []string
		for _, word := range words[1:] {
			said = append(said, fmt.Sprintf("%s %v", word, top.Gone(messages.Incarnation(word))))
		}
		return strings.Join(said, ", ")
	case "members":
		var said []string
		for _, m := range top.Members() {
			said = append(said, fmt.Sprintf("%s×%d", m.Incarnation, m.Announcement.Weight))
		}
		return fmt.Sprintf("version %d: %s", top.Version(), strings.Join(said, " "))
	case "due":
		if due := top.Due(); !due.IsZero() {
			return due.Sub(start).String()
		}
		return "never"
	case "nodes":
		var said []string
		for _, n := range top.Nodes() {
			said = append(said, fmt.Sprintf("%s %v, member %v, gone %v since %v (%s)",
				n.Incarnation, n.State, n.Member, n.Gone, n.Since.Sub(start), n.Reason))
		}
		return strings.Join(said, "\n  ")
	}
	t.Fatalf("unknown: %v", words)
	return ""
}

func answer(t *testing.T, words []string, now time.Time) topology.Answer {
	t.Helper()
	a := topology.Answer{Sent: now, Received: now, MayRemove: true}
	for _, word := range words {
		if ago, ok := strings.CutPrefix(word, "sent="); ok {
			a.Sent = now.Add(-duration(t, ago))
			continue
		}
		if ago, ok := strings.CutPrefix(word, "received="); ok {
			a.Received = now.Add(-duration(t, ago))
			continue
		}
		if word == "fell" {
			a.Fell = true
			continue
		}
		if word == "kept" {
			a.MayRemove = false
			continue
		}
		name, how, _ := strings.Cut(word, ":")
		in := topology.Instance{
			Incarnation: messages.Incarnation(name), State: topology.Passing,
			Announcement: topology.Announcement{Weight: 2, Shards: []int{0}},
		}
		for flag := range strings.SplitSeq(how, ",") {
			switch flag {
			case "":
			case "critical":
				in.State = topology.Critical
			case "warning":
				in.State = topology.Warning
			case "leaving":
				in.Leaving = true
			case "light":
				in.Announcement.Weight = 1
			case "more":
				in.Announcement.Shards = []int{0, 1}
			default:
				t.Fatalf("unknown: %s", flag)
			}
		}
		a.Instances = append(a.Instances, in)
	}
	return a
}

func changed(changes []topology.Change) string {
	if len(changes) == 0 {
		return "-"
	}
	var said []string
	for _, c := range changes {
		said = append(said, fmt.Sprintf("%s: %s", c.Incarnation, c.Reason))
	}
	slices.Sort(said)
	return strings.Join(said, "; ")
}
