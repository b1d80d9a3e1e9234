package adapters_test

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// told is a log that gives a signal when something is told.
type told struct {
	what   string
	signal chan struct{} // of capacity 1
}

func (w *told) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte(w.what)) {
		w.signal <- struct{}{}
	}
	return len(line), nil
}

// Nodes that are announced while a stream lasts get streams; one that is announced no more is left alone once its stream has ended.
func TestNodesAreFollowedWhileAStreamLasts(t *testing.T) {
	t.Parallel()
	first := adaptertest.Start(t, adaptertest.Options{ID: "first"})
	second := adaptertest.Start(t, adaptertest.Options{ID: "second"})
	third := adaptertest.Start(t, adaptertest.Options{ID: "third"})
	first.Announce(adaptertest.Topology(1, first))
	c, left := config(t), &told{what: "leaving it", signal: make(chan struct{}, 1)}
	c.Log = slog.New(slog.NewTextHandler(left, nil))
	p := first.Run(newEcho(), c)
	first.Announce(adaptertest.Topology(2, first, second))
	second.AwaitStreams(within(t), 1)
	first.Announce(adaptertest.Topology(4, first, third))
	third.AwaitStreams(within(t), 1)
	if r := second.Do(within(t), "work", "x"); r.GetOutcome() != succeeded { // it is no longer announced, and its stream lasts
		t.Errorf("%v", r)
	}
	second.Announce(adaptertest.Topology(3, first, second)) // it is behind
	if r := second.Do(within(t), "work", "x"); r.GetOutcome() != succeeded {
		t.Errorf("%v", r)
	}
	second.Break()
	<-left.signal
	if n := len(second.Hellos()); n != 1 {
		t.Errorf("%d streams to a node that is not announced", n)
	}
	first.Announce(adaptertest.Topology(5, first, second, third))
	second.AwaitHellos(within(t), 2)
	third.Break() // it is announced, so the stream is replaced
	third.AwaitHellos(within(t), 2)
	if err := p.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// What a node says counts less than what a newer topology says, and more again when the streams that told that have ended.
func TestTheNewestTopologyCounts(t *testing.T) {
	t.Parallel()
	first := adaptertest.Start(t, adaptertest.Options{ID: "first"})
	second := adaptertest.Start(t, adaptertest.Options{ID: "second"})
	third := adaptertest.Start(t, adaptertest.Options{ID: "third"})
	first.Announce(adaptertest.Topology(9, first, second))
	second.Announce(adaptertest.Topology(8, first, second, third))
	first.Run(newEcho(), config(t))
	second.AwaitStreams(within(t), 1)
	if r := second.Do(within(t), "work", "x"); r.GetOutcome() != succeeded { // its topology was taken before
		t.Errorf("%v", r)
	}
	if n := len(third.Hellos()); n != 0 {
		t.Errorf("the third node was announced in an older topology, and got %d streams", n)
	}
	first.Announce(&adapterv1.Topology{}) // says nothing
	first.Close()
	second.Announce(adaptertest.Topology(8, first, second, third)) // the journal of topologies was restored
	third.AwaitStreams(within(t), 1)
}

// Wrong addresses are left out, and a node that is announced under the address that it has already gets no other stream.
func TestWrongAddressesAreLeftOut(t *testing.T) {
	t.Parallel()
	first := adaptertest.Start(t, adaptertest.Options{ID: "first"})
	second := adaptertest.Start(t, adaptertest.Options{ID: "second"})
	first.Run(newEcho(), config(t))
	topology := adaptertest.Topology(1, first, second)
	topology.Nodes = append([]*adapterv1.Node{{Id: "wrong", Address: "nowhere"}, {Id: "none"}}, topology.GetNodes()...)
	first.Announce(topology)
	second.AwaitStreams(within(t), 1)
	if n := len(first.Hellos()); n != 1 {
		t.Errorf("%d streams to the first node", n)
	}
}
