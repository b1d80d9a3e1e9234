package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/cluster/placement"
	"github.com/holdfast-run/holdfast/cluster/remoting"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/remotingv1"
)

// instructed says what an operator wants of this node.
type instructed struct{ what remotingv1.Instruction_What }

// RefusedError says why a cluster does not do what an operator wants, and what can be done.
type RefusedError struct {
	reason, field, text string
}

// Error implements error.
func (e *RefusedError) Error() string { return e.text }

// Reason is why, in a word that programs know.
func (e *RefusedError) Reason() string { return e.reason }

// Field is the field of the request that is at fault; empty: none is.
func (e *RefusedError) Field() string { return e.field }

// instructEvery is how often a node is told what is wanted of it, until it is seen to have done it: word of it may get lost.
const instructEvery = 500 * time.Millisecond

// errNotAnnounced is why a drain fails that nobody has refused.
var errNotAnnounced = errors.New("the node has not announced it to Consul yet: look at the cluster's status, and try again")

// Drain has a node give up all that it has, and get nothing, or no longer so if undo. Empty is this node. It returns the node's name when
// the node has announced that; whoever computes a table from then on gives it nothing. It may be called again.
func (m *Member) Drain(ctx context.Context, node messages.NodeID, undo bool) (messages.NodeID, error) {
	node = cmp.Or(node, m.self.Node())
	again := time.NewTicker(instructEvery)
	defer again.Stop()
	what := remotingv1.Instruction_WHAT_DRAIN
	if undo {
		what = remotingv1.Instruction_WHAT_UNDO_DRAIN
	}
	for {
		who, changed, err := m.mayDrain(node, undo)
		if err != nil || who == (remoting.Node{}) {
			return node, err
		}
		m.instruct(what, who)
		select {
		case <-again.C:
		case <-changed:
		case <-ctx.Done():
			return node, fmt.Errorf("%w: %w", errNotAnnounced, context.Cause(ctx))
		}
	}
}

// mayDrain returns which node is to be told to drain, or to undo that; none: it has announced it already. changed is closed when
// another node may be seen to have announced something.
func (m *Member) mayDrain(node messages.NodeID, undo bool) (who remoting.Node, changed <-chan struct{}, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for _, x := range m.topology.Members() {
		names = append(names, string(x.Incarnation.Node()))
		if x.Incarnation.Node() != node {
			continue
		}
		switch {
		case x.Announcement.Drained != undo:
			return remoting.Node{}, nil, nil
		case m.frozen:
			return remoting.Node{}, nil, errFrozen
		case !undo && x.Announcement.Weight == 0:
			return remoting.Node{}, nil, &RefusedError{
				"NODE_LEAVES", "node", "node " + string(node) + " leaves the cluster, and gives up all that it has",
			}
		case !undo && m.isNeeded(x.Incarnation):
			return remoting.Node{}, nil, &RefusedError{
				"LAST_NODE", "node", "node " + string(node) + " is the last that could have some of the partitions: " +
					"start another node, or undo the drain of one, before",
			}
		}
		return remoting.Node{Address: x.Announcement.Remoting, Incarnation: x.Incarnation}, m.changed, nil
	}
	return remoting.Node{}, nil, &RefusedError{
		"NO_SUCH_NODE", "node",
		fmt.Sprintf("no member of the cluster is called %q: there are %s", node, cmp.Or(strings.Join(names, ", "), "none")),
	}
}

// errFrozen is why nothing can be moved now.
var errFrozen = &RefusedError{
	reason: "FROZEN", text: "Consul is lost for all nodes, and nothing moves until it is back: bring it back before",
}

// Rebalance has each partition that another node has than the one that is to have it go there now. It returns how many these are, or
// that nobody has. It may be called again.
func (m *Member) Rebalance() (misplaced int, err error) {
	m.mu.Lock()
	if m.frozen {
		m.mu.Unlock()
		return 0, errFrozen
	}
	for p := range messages.Partition(messages.Partitions) {
		if has, desired := m.has(p), m.view.desired(p); has != desired {
			misplaced++
		}
	}
	members := m.topology.Members()
	m.mu.Unlock()
	for _, x := range members {
		m.instruct(remotingv1.Instruction_WHAT_REBALANCE, remoting.Node{Address: x.Announcement.Remoting, Incarnation: x.Incarnation})
	}
	return misplaced, nil
}

// has returns who has a partition, as far as is known; empty: nobody. mu is held.
func (m *Member) has(p messages.Partition) messages.Incarnation {
	if m.view.mine.has(p) {
		return m.self
	}
	return m.view.holder(p)
}

// instruct tells a node, which may be this one, what is wanted of it.
func (m *Member) instruct(what remotingv1.Instruction_What, n remoting.Node) {
	if n.Incarnation == m.self {
		m.inbox.put(instructed{what})
		return
	}
	m.remoting.Instruct(&remotingv1.Instruction{What: what}, n)
}

// isNeeded tells whether nobody else could have some partition that a member could have, if that got none; mu is held.
func (m *Member) isNeeded(who messages.Incarnation) bool {
	var reaches []int
	others, conditions := slices.DeleteFunc(m.placed(), func(x placement.Member) bool {
		if x.Incarnation == who {
			reaches = x.Shards
		}
		return x.Incarnation == who
	}), m.conditions()
	table := placement.Assign(others, conditions)
	for p, shard := range conditions.Shard {
		if table.Owner(messages.Partition(p)) == "" && slices.Contains(reaches, shard) {
			return true
		}
	}
	return false
}

// placed are the members as the table is computed from them; mu is held.
func (m *Member) placed() []placement.Member {
	var placed []placement.Member
	for _, x := range m.topology.Members() {
		placed = append(placed, placement.Member{
			Incarnation: x.Incarnation, Weight: x.Announcement.Weight, Level: x.Announcement.Level, Shards: x.Announcement.Shards,
		})
	}
	return placed
}

// conditions are what the journal asks of those who own its partitions.
func (m *Member) conditions() placement.Conditions {
	c := placement.Conditions{Level: m.deps.Level()}
	for p := range c.Shard {
		c.Shard[p] = m.deps.Journal.ShardOf(messages.Partition(p))
	}
	return c
}

// follow does what an operator wants of this node; mu is held.
func (l *loop) follow(what remotingv1.Instruction_What) {
	switch what {
	case remotingv1.Instruction_WHAT_DRAIN:
		if l.isNeeded(l.self) {
			l.log.Warn("this node is not drained: nobody else could have some of the partitions")
			return
		}
		l.drain(true)
	case remotingv1.Instruction_WHAT_UNDO_DRAIN:
		l.drain(false)
	case remotingv1.Instruction_WHAT_REBALANCE:
		l.view.rebalance()
	case remotingv1.Instruction_WHAT_UNSPECIFIED: // of a later version
	}
}

// drain announces that this node is to have nothing, or that it is to have its share again; mu is held.
func (l *loop) drain(yes bool) {
	if l.drained == yes || l.view.leaving {
		return
	}
	l.drained = yes
	l.log.Info("an operator has this node drained, or not any more", "drained", yes)
	l.announce()
}

// announce tells others, through Consul, what this node is to have; mu is held.
func (l *loop) announce() {
	a := l.config.Announcement
	a.Drained = l.drained
	if l.drained || l.view.leaving {
		a.Weight = 0
	}
	if err := l.consul.Announce(a); err != nil {
		l.log.Error("others can't be told what this node is to have", "error", err)
	}
}

// mend ends the drain of this node when nobody else could have some partition any more: two were drained at once, or the others have
// died; mu is held.
func (l *loop) mend() {
	if l.drained && l.isNeeded(l.self) {
		l.log.Warn("the drain of this node ends: nobody else could have some of the partitions")
		l.drain(false)
	}
}
