package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/checker"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

//go:embed definitions/*.yaml
var definitions embed.FS

const (
	// killInFlight is how many orders are under way while processes are killed.
	killInFlight = 2000
	// killConcurrency is how many tasks an adapter executes at once. It bounds the rate, so that there is a queue.
	killConcurrency = 128
)

// killSystems are the downstream systems that the orders of the row need.
var killSystems = []string{"hss", "billing", "sms"}

func killRounds(s *site) int {
	if s.ci() {
		return 2
	}
	return 20
}

// kill kills the node, then each adapter, at random moments, again and again, while a client keeps orders in flight.
func kill(ctx context.Context, s *site) (figures, error) {
	f := figures{}
	whole := ctx
	ctx, st := stage.New(whole, s.dir)
	defer st.Stop()
	p, err := startKill(ctx, s, st, killSystems, killRounds(s))
	if err != nil {
		return nil, why(ctx, err)
	}
	conn, err := prepared(ctx, p.node, "kill")
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // it fails only if it was closed before
	client := newFleet(killWork)
	err = client.during(ctx, conn, killInFlight, func(sailing context.Context) error {
		return p.massacre(sailing, s, client, killInFlight, f)
	})
	for _, wrong := range client.wrong {
		s.sayf("kill: %v", wrong)
	}
	if err != nil {
		return f, why(ctx, err)
	}
	if err := p.node.Live(ctx); err != nil {
		return f, err
	}
	return f, accountFor(ctx, s, f, client, conn, p.logs)
}

// killWork is what an order of the row is to do.
func killWork(n int) *orderv1.WorkOrder {
	return &orderv1.WorkOrder{
		Definition: "verify/kill:1.0.0", Input: fmt.Appendf(nil, `{"imsi":"24001%010d","msisdn":"+467%08d"}`, n, n),
	}
}

// why prefers the reason for which a context ended to what then failed.
func why(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// killProcesses are the processes of the row.
type killProcesses struct {
	node     *stage.Node // nil: there are several
	adapters []*stage.Process
	logs     []string // of the downstream systems
	// kill kills the node, or one of several; rounds is how often.
	kill   func(context.Context) error
	rounds int
}

// startKill starts a node, and some downstream systems with an adapter each.
func startKill(ctx context.Context, s *site, st *stage.Stage, systems []string, rounds int) (*killProcesses, error) {
	p := &killProcesses{rounds: rounds}
	p.kill = func(ctx context.Context) error { _, err := p.node.Kill(ctx); return err }
	var err error
	if p.node, err = st.StartNode(ctx, s.holdfast, true); err != nil {
		return nil, err
	}
	answers := pace{"100ms", "300ms"}
	if s.ci() { // what was under way when an adapter died is executed alone, one after the other
		answers = pace{"25ms", "75ms"}
	}
	p.adapters, p.logs, err = startSystems(ctx, s, st, answers, systems, true, p.node.Server)
	if err != nil {
		return nil, err
	}
	return p, p.node.Ready(ctx)
}

// pace is how long a downstream system takes to answer.
type pace struct{ latency, jitter string }

// startSystems starts downstream systems, and for each of them an adapter, which goes to all nodes, and is started again when it ends if it
// may end. It returns the adapters, and the logs of the systems.
func startSystems(
	ctx context.Context, s *site, st *stage.Stage, p pace, systems []string, mayEnd bool, nodes ...string,
) (adapters []*stage.Process, logs []string, err error) {
	addresses, err := stage.FreeAddresses(ctx, len(systems))
	if err != nil {
		return nil, nil, err
	}
	for i, system := range systems {
		log := s.dir + "/downstream-" + system + ".jsonl"
		logs = append(logs, log)
		_, err := st.Start(ctx, stage.Spec{Name: "downstream-" + system, Path: s.telecom, Args: []string{
			"downstream", system, "--listen", addresses[i], "--log", log, "--latency", p.latency, "--jitter", p.jitter,
		}})
		if err != nil {
			return nil, nil, err
		}
		if err := stage.Answers(ctx, "http://"+addresses[i]+"/control"); err != nil {
			return nil, nil, err
		}
		adapter, err := st.Start(ctx, stage.Spec{Name: "adapter-" + system, Path: s.telecom, Restart: mayEnd, Args: []string{
			"adapter", system, "--server", strings.Join(nodes, ","), "--downstream", "http://" + addresses[i],
			"--concurrency", fmt.Sprint(killConcurrency),
		}})
		if err != nil {
			return nil, nil, err
		}
		adapters = append(adapters, adapter)
	}
	return adapters, logs, nil
}

func deploy(ctx context.Context, conn *client.Client, name string) error {
	document, err := definitions.ReadFile("definitions/" + name + ".yaml")
	if err != nil {
		return fmt.Errorf("read definition: %w", err)
	}
	if err := deployDocument(ctx, conn, document); err != nil {
		return fmt.Errorf("deploy %s: %w", name, err)
	}
	return nil
}

// prepared dials a node, and deploys definitions there.
func prepared(ctx context.Context, node *stage.Node, names ...string) (*client.Client, error) {
	conn, err := node.Dial()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := deploy(ctx, conn, name); err != nil {
			return nil, errors.Join(why(ctx, err), conn.Close())
		}
	}
	return conn, nil
}

func deployDocument(ctx context.Context, conn *client.Client, document []byte) error {
	_, err := conn.Definitions().Deploy(ctx,
		&definitionv1.DeployRequest{Document: document}, grpc.WaitForReady(true))
	return err
}

// massacre kills. In each round the node goes first, then the adapters. After most rounds it waits until orders end
// again; after the others not, so that a node is killed while it recovers, too.
func (p *killProcesses) massacre(ctx context.Context, s *site, client *fleet, inFlight int, f figures) error {
	chance := s.chance()
	kills := 0
	for range p.rounds {
		if err := client.await(ctx, func(c counts) bool { return c.lost() >= inFlight*9/10 }); err != nil {
			return err
		}
		if err := between(ctx, chance, 200*time.Millisecond, 2*time.Second); err != nil {
			return err
		}
		if err := p.kill(ctx); err != nil {
			return err
		}
		for _, victim := range p.adapters {
			if err := between(ctx, chance, 0, 500*time.Millisecond); err != nil {
				return err
			}
			if _, err := victim.Kill(ctx); err != nil {
				return err
			}
		}
		kills += 1 + len(p.adapters)
		if chance.IntN(4) == 0 {
			continue
		}
		before := client.counts().ended
		if err := client.await(ctx, func(c counts) bool { return c.ended > before }); err != nil {
			return err
		}
	}
	f["rounds"], f["kills"] = p.rounds, kills
	return nil
}

// between waits for a time between two.
func between(ctx context.Context, chance *rand.Rand, from, to time.Duration) error {
	return stage.Pause(ctx, from+time.Duration(chance.Int64N(int64(to-from))))
}

// accountFor compares what the client saw, the histories and the downstreams' logs.
func accountFor(ctx context.Context, s *site, f figures, client *fleet, conn *client.Client, logs []string) error {
	c := client.counts()
	f["submitted"], f["resubmitted"], f["acknowledged"] = c.submitted, c.resubmitted, c.accepted
	f["ended"], f["lost"], f["not_completed"] = c.ended, c.lost(), c.ended-c.completed
	f["never_acknowledged"] = c.submitted - c.accepted
	f["wrong_answers"] = len(client.wrong)
	file := s.dir + "/histories.jsonl"
	untold, err := writeHistories(ctx, conn, idsOf(client.orders), file)
	if err != nil {
		return err
	}
	f["without_history"] = untold
	r, err := checker.Files(ctx, logs, []string{file})
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	tellCheck(s, "kill", r, f)
	// Each system is asked once by an order: more would be work done again under another key.
	f["surplus"] = r.Applied - int64(c.completed*len(killSystems))
	f["histories_without_end"] = r.Orders - r.Ended
	return nil
}

// tellCheck tells what the checker found.
func tellCheck(s *site, row string, r *checker.Report, f figures) {
	for _, v := range r.Violations[:min(len(r.Violations), maxWrong)] {
		s.sayf("%s: %s: %s order %s key %s: %s", row, v.Where, v.Kind, v.Order, v.Key, v.Detail)
	}
	f["applied"], f["repeated"], f["duplicated"] = r.Applied, r.Repeated, r.Duplicated
	f["missing"], f["unexplained"], f["history_gaps"] = r.Missing, r.Unexplained, r.HistoryGaps
}

func killBars(s *site) bars {
	return bars{
		"kills": atLeast(float64(killRounds(s) * (len(killSystems) + 1))), "acknowledged": atLeast(killInFlight),
	}.none("lost", "duplicated", "missing", "history_gaps", "unexplained", "surplus", "not_completed", "never_acknowledged",
		"wrong_answers", "without_history", "histories_without_end")
}
