package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/holdfast-run/holdfast/cluster/consul"
	"github.com/holdfast-run/holdfast/cluster/lease"
	"github.com/holdfast-run/holdfast/cluster/placement"
	"github.com/holdfast-run/holdfast/cluster/remoting"
	"github.com/holdfast-run/holdfast/cluster/topology"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/remotingv1"
	"github.com/holdfast-run/holdfast/supervision"
)

// What the loop is told beside what Consul says.
type (
	// had says that this node has a partition, or has it no more.
	had struct {
		partition messages.Partition
		yes       bool
	}
	// lost says that another node has taken a partition.
	lost struct{ partition messages.Partition }
	// told says which partitions another node has, and which databases answer it.
	told struct {
		by        messages.Incarnation
		holds     holdings
		answering []uint32
	}
	// leaving says that this node is to have nothing any more.
	leaving struct{}
)

// tickEvery is how often the loop looks at the clock. A lease is exact to so much; a partition that has become free is claimed as soon
// as word of it comes.
const tickEvery = 50 * time.Millisecond

// tellEvery is how often nodes tell each other what they have, even if nothing has changed: word of it may have got lost.
const tellEvery = time.Second

// loop is what the loop alone knows.
type loop struct {
	*Member

	running context.Context                        //nolint:containedctx // it ends the loop, and what that asks of others
	version uint64                                 // of the topology that was acted upon
	nodes   map[messages.Incarnation]remoting.Node // of the members, but this one
	pids    map[messages.Incarnation]*actor.PID
	up      map[messages.Incarnation]bool
	// news: others are to be told what this node has. told is when they were last.
	news bool
	told time.Time
	// level is the feature level of the journal that was acted upon.
	level uint32
	// index is that of Consul's last answer with all nodes: of two topologies, at whatever nodes, the one of the higher index is newer.
	index uint64
	// looked is when Consul was last asked for all nodes out of turn.
	looked time.Time
}

// run acts upon what happens, until the context ends.
func (m *Member) run(running context.Context, watched *supervision.Loop) {
	l := &loop{Member: m, running: running, up: map[messages.Incarnation]bool{}}
	ticks := time.NewTicker(tickEvery)
	defer ticks.Stop()
	defer watched.Close()
	for {
		select {
		case <-running.Done():
			return
		case <-m.inbox.wake:
		case <-ticks.C:
		}
		watched.Beat()
		l.turn(time.Now()) //nolint:contextcheck // links to others live longer
	}
}

// turn takes in what has happened, and does what follows from it.
func (l *loop) turn(now time.Time) {
	l.mu.Lock()
	var out []lease.Output
	for _, what := range l.inbox.take() {
		out = append(out, l.take(what, now)...)
	}
	out = append(out, l.lease.Step(lease.Tick{}, now)...)
	l.learn(topology.Frozen{Frozen: l.frozen}, now)
	l.watchLinks(now)
	l.look(now)
	alone := l.watchShards(now)
	if v := l.topology.Version(); v != l.version {
		l.version = v
		out = append(out, l.reform(now)...)
	} else if l.deps.Level() != l.level {
		l.assign()
	}
	for _, o := range out {
		switch o.(type) {
		case lease.Freeze:
			l.frozen = true
		case lease.Thaw:
			l.frozen = false
		}
	}
	var take, give []messages.Partition
	if l.deps.Watermarks.isTold() { // until then the database may be one that lacks something
		take, give = l.view.step(now)
	}
	l.route()
	freed := l.view.leaving && l.view.mine == holdings{}
	mine, frozen := l.view.mine, l.frozen
	l.mu.Unlock()
	l.act(out, freed)
	if alone != nil && !freed && !frozen {
		l.deps.Fatal(alone)
	}
	if len(give) > 0 {
		l.host.Give(give...)
	}
	if len(take) > 0 {
		l.host.Take(take...)
	}
	if l.news || now.Sub(l.told) >= tellEvery {
		l.news, l.told = false, now
		l.remoting.Tell(&remotingv1.Holdings{
			Partitions: mine[:], Watermarks: l.Watermarks(), Answering: l.answering(),
		}, l.others()...)
	}
	if freed {
		l.free()
	}
}

// take takes in one thing that has happened; mu is held.
func (l *loop) take(what any, now time.Time) []lease.Output {
	switch w := what.(type) {
	case lease.Input:
		return l.lease.Step(w, now)
	case consul.Observation:
		return l.observe(w, now)
	case topology.Found:
		l.learn(w, now)
	case told:
		if l.nodes[w.by] != (remoting.Node{}) {
			l.view.others[w.by] = &w.holds
			l.reach.told[w.by] = answering{w.answering, now}
		}
	case had:
		l.view.mine.set(w.partition, w.yes)
		l.news = true
	case lost:
		l.view.loses(w.partition, now)
	case leaving:
		l.view.leaving = true
		l.announce()
	case instructed:
		l.follow(w.what)
	}
	return nil
}

// observe takes in what Consul has said.
func (l *loop) observe(o consul.Observation, now time.Time) []lease.Output {
	switch {
	case o.Source == consul.Watch && o.Failure != nil:
		l.learn(topology.Failed{}, now)
	case o.Source == consul.Watch:
		l.index = o.Index
		a := answerOf(o)
		a.MayRemove = l.lease.MayRemove(now)
		l.learn(a, now)
	case o.Failure == nil:
		return l.lease.Step(lease.Read{Sent: o.Sent, Shows: l.shown(o)}, now)
	}
	return nil
}

// lookEvery is how often Consul is asked for all nodes at most, where an answer may remove one.
const lookEvery = 250 * time.Millisecond

// look has Consul asked for all nodes if an answer may remove one now: the watch may wait for a change, and there is none.
func (l *loop) look(now time.Time) {
	if due := l.topology.Due(); !due.IsZero() && !now.Before(due) && now.Sub(l.looked) >= lookEvery {
		l.looked = now
		l.consul.Look()
	}
}

// learn tells the topology something, and the log what has changed by it.
func (l *loop) learn(in topology.Input, now time.Time) {
	for _, c := range l.topology.Step(in, now) {
		l.log.Info("the cluster has changed", "node", c.Incarnation, "reason", c.Reason)
	}
}

// shown is how an answer shows this node.
func (l *loop) shown(o consul.Observation) lease.Shown {
	for _, in := range o.Instances {
		switch {
		case in.Incarnation != l.self:
		case in.State == consul.Passing:
			return lease.Passing
		case in.State == consul.Critical:
			return lease.Critical
		}
	}
	return lease.Missing
}

var states = [...]topology.State{ //nolint:gochecknoglobals // a table
	consul.Critical: topology.Critical, consul.Warning: topology.Warning, consul.Passing: topology.Passing,
}

// answerOf says in the topology's words what Consul has answered.
func answerOf(o consul.Observation) topology.Answer {
	a := topology.Answer{Sent: o.Sent, Received: o.Received, Fell: o.Fell}
	for _, in := range o.Instances {
		a.Instances = append(a.Instances, topology.Instance{
			Incarnation: in.Incarnation, State: states[in.State], Leaving: in.Leaving,
			Announcement: topology.Announcement(in.Announcement),
		})
	}
	return a
}

// watchLinks tells the topology which nodes can be reached.
func (l *loop) watchLinks(now time.Time) {
	for who, n := range l.nodes {
		if up := l.remoting.Up(n); up != l.up[who] {
			l.up[who] = up
			l.news = l.news || up
			l.learn(topology.Link{Incarnation: who, Up: up}, now)
		}
	}
}

// watchShards announces which databases this node has reached, and says why it must end if one of these answers others alone; mu is held.
func (l *loop) watchShards(now time.Time) (alone error) {
	if r := reached(l.deps.Journal); len(r) > len(l.config.Announcement.Shards) {
		l.config.Announcement.Shards = r
		l.announce()
	}
	for _, shard := range l.config.Announcement.Shards { // of the others it has nothing
		if d := l.reach.step(shard, l.deps.Answers(shard), now); d >= l.config.HandOver {
			//nolint:err113 // for people
			alone = fmt.Errorf("cluster: database %d of the journal has answered other nodes and not this one for %v: they are to take over "+
				"from it", shard, d.Round(time.Second))
		}
	}
	return alone
}

// answering are the numbers of the databases that answer this node.
func (l *loop) answering() (shards []uint32) {
	for shard := range l.deps.Journal.Shards() {
		if l.deps.Answers(shard) {
			shards = append(shards, uint32(shard))
		}
	}
	return shards
}

// reform acts upon another topology; mu is held.
func (l *loop) reform(now time.Time) []lease.Output {
	var members []messages.Incarnation
	nodes, pids := map[messages.Incarnation]remoting.Node{}, map[messages.Incarnation]*actor.PID{}
	announced := &adapterv1.Topology{Version: l.index}
	for _, x := range l.topology.Members() {
		members = append(members, x.Incarnation)
		announced.Nodes = append(announced.Nodes, &adapterv1.Node{
			Id: string(x.Incarnation.Node()), Address: x.Announcement.Adapters,
		})
		if x.Incarnation == l.self {
			continue
		}
		nodes[x.Incarnation] = remoting.Node{Address: x.Announcement.Remoting, Incarnation: x.Incarnation}
		if pids[x.Incarnation] = l.pids[x.Incarnation]; pids[x.Incarnation] == nil {
			pids[x.Incarnation] = remoting.PID(nodes[x.Incarnation])
		}
	}
	l.nodes, l.pids, l.news = nodes, pids, true
	l.owners.among(l.topology.Members())
	l.announced = announced
	close(l.changed)
	l.changed = make(chan struct{})
	l.view.keep(members)
	l.reach.keep(members)
	l.assign()
	l.log.Info("members of the cluster", "members", members, "version", l.version)
	if err := l.remoting.Peers(l.others()...); err != nil {
		l.log.Error("some nodes can't be reached", "error", err)
	}
	return l.lease.Step(lease.Topology{Members: members}, now)
}

// assign computes who is to have what; mu is held.
func (l *loop) assign() {
	l.level = l.deps.Level()
	l.view.place(placement.Assign(l.placed(), l.conditions()))
	l.mend()
}

// others are the nodes of the other members.
func (l *loop) others() []remoting.Node {
	nodes := make([]remoting.Node, 0, len(l.nodes))
	for _, n := range l.nodes {
		nodes = append(nodes, n)
	}
	return nodes
}

// route says which node is to be asked for each partition; mu is held.
func (l *loop) route() {
	now := l.routes.Load()
	next := *now
	var by [messages.Partitions]messages.Incarnation
	for i := range next {
		p := messages.Partition(i)
		by[i] = l.view.asked(p)
		next[i] = l.pids[by[i]]
		if l.view.mine.has(p) || by[i] == "" && l.view.desired(p) == l.self {
			by[i] = l.self
		}
	}
	if next != *now {
		l.routes.Store(&next)
	}
	l.owners.become(&by)
}

// act does what the lease calls for. freed: this node leaves, and has nothing any more.
func (l *loop) act(out []lease.Output, freed bool) {
	for _, o := range out {
		switch o := o.(type) {
		case lease.Ask:
			l.ask(o)
		case lease.Hurry:
			l.consul.Hurry()
		case lease.StopDispatching, lease.ResumeDispatching: // MayDispatch tells
		case lease.Freeze:
			l.log.Warn("Consul is lost for all nodes: the placement stays as it is, and work goes on")
		case lease.Thaw:
			l.log.Info("Consul is back: the placement follows it again")
		case lease.Exit:
			if freed {
				continue // it has left, and has nothing that others could take over
			}
			//nolint:err113 // for people
			l.deps.Fatal(fmt.Errorf("cluster: this node must stop before others take over from it: %v", o.Reason))
		}
	}
}

// ask asks peers whether they have evidence.
func (l *loop) ask(o lease.Ask) {
	nodes := make([]remoting.Node, 0, len(o.Peers))
	for _, who := range o.Peers {
		nodes = append(nodes, l.nodes[who])
	}
	l.loops.Go(func() {
		ctx, cancel := context.WithTimeout(l.running, o.Within)
		defer cancel()
		answered := lease.Answered{Number: o.Number}
		for _, t := range l.remoting.Inquire(ctx, nodes...) {
			answered.Said = append(answered.Said, lease.Testimony{
				Node: t.Node.Incarnation, Answered: t.Answered, Seen: t.Seen, Dated: t.Dated,
			})
		}
		l.inbox.put(answered)
	})
}

// free says, once, that this node has nothing any more.
func (l *loop) free() {
	select {
	case <-l.freed:
	default:
		close(l.freed)
	}
}

// receiver takes what other nodes send.
type receiver struct{ *Member }

// Deliver implements remoting.Receiver.
func (r receiver) Deliver(_ remoting.Node, e *nodev1.Envelope) {
	p := messages.Partition(e.GetPartition()) //nolint:gosec // it was checked
	if pid := r.local[p].Load(); pid != nil {
		r.system.Root.Send(pid, e)
		return
	}
	if e.GetAsk() != 0 {
		r.remoting.Answer(e.GetAsker(), &nodev1.Answer{
			Ask: e.GetAsk(), Failure: &nodev1.Failure{Reason: nodev1.Reason_REASON_NOT_OWNER, Text: "the partition is not here"},
		})
	}
}

// Receive implements remoting.Receiver.
func (r receiver) Receive(a *nodev1.Answer) { r.host.Receive(a) }

// Holds implements remoting.Receiver.
func (r receiver) Holds(from remoting.Node, h *remotingv1.Holdings) {
	r.deps.Watermarks.hear(h.GetWatermarks())
	t := told{by: from.Incarnation, answering: h.GetAnswering()}
	copy(t.holds[:], h.GetPartitions())
	r.inbox.put(t)
}

// Instructed implements remoting.Receiver.
func (r receiver) Instructed(i *remotingv1.Instruction) { r.inbox.put(instructed{i.GetWhat()}) }

// Found implements remoting.Receiver.
func (r receiver) Found(who messages.Incarnation) { r.inbox.put(topology.Found{Incarnation: who}) }

// Lost implements remoting.Receiver.
func (r receiver) Lost(n remoting.Node) { r.host.Lost(n.String()) }

// Stop ends it: nobody owns anything from then on.
func (m *Member) Stop() {
	m.remoting.Detach()
	if m.consul != nil {
		m.consul.Close()
	}
	m.halt()
	m.loops.Wait()
	m.remoting.Stop()
	for p := range m.local {
		m.local[p].Store(nil)
	}
	m.routes.Store(new([messages.Partitions]*actor.PID))
}
