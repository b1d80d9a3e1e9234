package consul

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/holdfast-run/holdfast/messages"
)

// Source is the kind of read that an observation comes from.
type Source uint8

const (
	// Watch is the blocking query: its answers have all nodes.
	Watch Source = iota + 1
	// Evidence is the short read: its answers have this node alone.
	Evidence
)

func (s Source) String() string {
	return []string{Watch: "watch", Evidence: "evidence"}[s]
}

// Observation is what came of one read: an answer of Consul's servers, or a failure. Those of one source come in the order in which
// the reads were sent.
type Observation struct {
	Source Source
	// Sent is when the read was sent: what an answer says was true at some time after it. Received is when it was over. Both have a
	// monotonic reading.
	Sent, Received time.Time
	// Failure is why there is no answer; then nothing below is set.
	Failure error
	// Index is the raft index of the answer. Fell: it is below that of the answer before, so that Consul has lost what it knew, or is
	// another one.
	Index uint64
	Fell  bool
	// KnownLeader tells whether the server that answered knows a leader, LastContact how long ago it last heard of it. The reads are
	// consistent, so the leader has confirmed the answer; this is beside that.
	KnownLeader bool
	LastContact time.Duration
	// Instances are the nodes, by incarnation. An answer may have none.
	Instances []Instance
}

// Instance is an incarnation of a node, as Consul knows it. One that is registered with several agents is here once, in its best state.
type Instance struct {
	Incarnation messages.Incarnation
	// Agent is the name of the agent, in Consul's word the node, that it is registered with.
	Agent string
	State State
	// Leaving: it is critical because it said so itself, when it left.
	Leaving bool
	// Checks are what State comes from: those of the service, and those of the agent's host.
	Checks       []Check
	Announcement Announcement
}

// State is what Consul thinks of an instance; a better one is greater.
type State uint8

const (
	// Critical says that a check failed, was not refreshed for its TTL, or that the node is in maintenance.
	Critical State = iota + 1
	// Warning is neither of the others. An instance without its TTL check is that, too: nothing shows that it lives.
	Warning
	// Passing says that all checks are.
	Passing
)

func (s State) String() string {
	return []string{Critical: "critical", Warning: "warning", Passing: "passing"}[s]
}

// Check is one check of an instance: its id, its state as Consul writes it, and what it last said.
type Check struct{ ID, Status, Output string }

// leavingOutput is what the TTL check of a node says that leaves.
const leavingOutput = "leaving"

// checkID is the id of the TTL check of an incarnation.
func checkID(i messages.Incarnation) string { return "ttl:" + string(i) }

// errFiltered is the failure of an answer that lacks nodes which are there, errStreamed of one that the servers did not give.
var (
	errFiltered = errors.New("the token may not read all nodes, so that some are missing in the answer")
	errStreamed = errors.New("the agent answered by itself, and did not ask the servers")
)

// read asks for the nodes, consistently. Failures are part of what it returns. The second result has an instance for each agent.
func (e *endpoint) read(ctx context.Context, bound time.Duration, source Source, q api.QueryOptions) (Observation, []Instance) {
	var entries []*api.ServiceEntry
	var meta *api.QueryMeta
	o := Observation{Source: source, Sent: time.Now()}
	// With an index, an agent answers by itself, from what the servers have streamed to it, be the query consistent or not: unless the
	// answer is to be sorted by distance.
	q.RequireConsistent, q.Near = true, "_agent"
	err := e.call(ctx, bound, func(ctx context.Context, c *api.Client) (err error) {
		entries, meta, err = c.Health().Service(e.cfg.Service, "", false, q.WithContext(ctx))
		switch {
		case err != nil:
		case meta.ResultsFilteredByACLs:
			err = errFiltered
		case meta.QueryBackend == api.QueryBackendStreaming:
			err = errStreamed
		}
		return err
	})
	o.Received = time.Now()
	if err != nil {
		o.Failure = err
		return o, nil
	}
	o.Index, o.KnownLeader, o.LastContact = meta.LastIndex, meta.KnownLeader, meta.LastContact
	instances := instancesOf(entries)
	o.Instances = merge(instances)
	return o, instances
}

// instancesOf reads the entries of an answer. What is no incarnation of a node is left out.
func instancesOf(entries []*api.ServiceEntry) []Instance {
	instances := make([]Instance, 0, len(entries))
	for _, entry := range entries {
		if entry.Node == nil || entry.Service == nil || !selfForm.MatchString(entry.Service.ID) {
			continue
		}
		in := Instance{
			Incarnation: messages.Incarnation(entry.Service.ID), Agent: entry.Node.Node,
			State: Passing, Announcement: announcementOf(entry.Service.Meta),
		}
		own := false
		for _, check := range entry.Checks {
			in.Checks = append(in.Checks, Check{ID: check.CheckID, Status: check.Status, Output: check.Output})
			in.State = min(in.State, stateOf(check))
			if check.CheckID == checkID(in.Incarnation) {
				own = true
				in.Leaving = check.Status == api.HealthCritical && check.Output == leavingOutput
			}
		}
		if !own {
			in.State = min(in.State, Warning)
		}
		instances = append(instances, in)
	}
	slices.SortStableFunc(instances, func(a, b Instance) int {
		return strings.Compare(string(a.Incarnation), string(b.Incarnation))
	})
	return instances
}

func stateOf(check *api.HealthCheck) State {
	switch {
	case check.CheckID == api.NodeMaint || strings.HasPrefix(check.CheckID, api.ServiceMaintPrefix):
		return Critical
	case check.Status == api.HealthPassing:
		return Passing
	case check.Status == api.HealthWarning:
		return Warning
	}
	return Critical
}

// merge keeps the best of the instances that are one incarnation, which follow each other.
func merge(instances []Instance) []Instance {
	var merged []Instance
	for _, in := range instances {
		last := len(merged) - 1
		switch {
		case last < 0 || merged[last].Incarnation != in.Incarnation:
			merged = append(merged, in)
		case in.State > merged[last].State:
			merged[last] = in
		}
	}
	return merged
}
