package main

import (
	"context"
	"fmt"
	"maps"
	"sync"

	"google.golang.org/grpc"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/checker"
	"github.com/holdfast-run/holdfast/scenarios/stage"
	"github.com/holdfast-run/holdfast/scenarios/verify/players"
)

const (
	// sagaKeys is of how many order keys there are orders.
	sagaKeys = 300
	// sagaEach is how many orders of each key are under way, of which all but the first wait.
	sagaEach = 5
)

// sagaSystems are the downstream systems that the orders of the row need.
var sagaSystems = []string{"hss", "policy", "billing", "sms"}

// sagaRow is the row under way.
type sagaRow struct {
	*killProcesses

	s           *site
	conn, admin *client.Client
	client      *fleet
	fickle      *fickle
	desk        *desk
}

// saga kills processes at random moments, as kill does, while a client cancels some of its orders, which run others, with
// compensation; and judges whether all that was done was undone.
func saga(ctx context.Context, s *site) (figures, error) {
	ctx, st := stage.New(ctx, s.dir)
	defer st.Stop()
	p, err := startKill(ctx, s, st, sagaSystems, sagaRounds(s))
	if err != nil {
		return nil, why(ctx, err)
	}
	r := &sagaRow{killProcesses: p, s: s}
	if r.conn, err = p.node.Dial(); err != nil {
		return nil, err
	}
	defer r.conn.Close() //nolint:errcheck // it fails only if it was closed before
	if r.admin, err = p.node.DialAdmin(); err != nil {
		return nil, err
	}
	defer r.admin.Close() //nolint:errcheck // as above
	f, err := r.run(ctx, p.node.Live)
	if err != nil {
		err = why(ctx, err)
	}
	return f, err
}

// run has the orders run, makes sure that what ran them is well, and judges.
func (r *sagaRow) run(ctx context.Context, isWell func(context.Context) error) (figures, error) {
	for _, name := range []string{"saga-child", "saga"} {
		if err := deploy(ctx, r.conn, name); err != nil {
			return nil, err
		}
	}
	r.prepare()
	f := figures{}
	if err := r.sail(ctx, f); err != nil {
		return f, err
	}
	if err := isWell(ctx); err != nil {
		return f, err
	}
	return f, r.account(ctx, f)
}

// prepare makes the client, and who cancels its orders.
func (r *sagaRow) prepare() {
	r.fickle = newFickle(r.conn.Orders(), r.s.seed)
	r.desk = newDesk(r.admin)
	r.client = newFleet(func(n int) *orderv1.WorkOrder {
		return &orderv1.WorkOrder{
			Definition: "verify/saga:1.0.0", OrderKey: fmt.Sprint("key-", n%sagaKeys),
			Input: fmt.Appendf(nil, `{"imsi":"24001%010d","msisdn":"+467%08d"}`, n, n),
		}
	})
	// What faults is retried, and its end comes later.
	r.client.want = []orderv1.Status{
		orderv1.Status_STATUS_COMPLETED, orderv1.Status_STATUS_CANCELLED, orderv1.Status_STATUS_FAULTED,
	}
	r.client.lastOf, r.client.turn = map[string]*order{}, r.fickle.consider
}

// sail has orders submitted and cancelled, and processes killed, until all have ended.
func (r *sagaRow) sail(ctx context.Context, f figures) error {
	var others sync.WaitGroup
	aside, stop := context.WithCancel(ctx)
	defer others.Wait()
	defer stop()
	others.Go(func() { r.fickle.run(aside) })
	others.Go(func() { r.desk.run(aside) })
	err := r.client.during(ctx, r.conn, sagaKeys*sagaEach, func(sailing context.Context) error {
		return r.massacre(sailing, r.s, r.client, sagaKeys*sagaEach, f)
	})
	if err != nil {
		return err
	}
	f["left_open"], err = r.desk.settle(ctx)
	if err != nil {
		return err
	}
	stop()
	others.Wait()
	wrong := append(append(r.client.wrong, r.fickle.wrong...), r.desk.wrong...)
	for _, w := range wrong {
		r.s.sayf("%s: %v", r.s.row, w)
	}
	f["wrong_answers"], f["retried"] = len(wrong), r.desk.retried
	return nil
}

// account reads histories and logs, and judges.
func (r *sagaRow) account(ctx context.Context, f figures) error {
	c := r.client.counts()
	f["submitted"], f["resubmitted"], f["acknowledged"], f["lost"] = c.submitted, c.resubmitted, c.accepted, c.lost()
	f["never_acknowledged"] = c.submitted - c.accepted
	seen := sagaSeen{orders: r.client.orders, asked: r.fickle.asked, told: map[messages.OrderID]*telling{}}
	var files []string
	untold := 0
	// First the histories of the orders, then those of their children, and so on.
	for ids := idsOf(r.client.orders); len(ids) > 0; {
		var children []messages.OrderID
		name := fmt.Sprintf("%s/histories-%d.jsonl", r.s.dir, len(files))
		n, err := recordHistories(ctx, r.conn, ids, name, func(id messages.OrderID, events []*orderv1.HistoryEvent) {
			seen.told[id] = tellingOf(events)
			children = append(children, seen.told[id].children...)
		})
		if err != nil {
			return err
		}
		untold += n
		files, ids = append(files, name), children
	}
	f["without_history"] = untold
	listed, err := listAll(ctx, r.admin, &orderv1.ListRequest{Definition: "verify/saga-child"})
	if err != nil {
		return err
	}
	f["strays"] = 0
	for _, o := range listed {
		if seen.told[messages.OrderID(o.GetId())] == nil {
			r.s.sayf("%s: no order has run %s, a child of %q", r.s.row, o.GetId(), o.GetParentId())
			f["strays"] = f["strays"].(int) + 1 //nolint:errcheck,forcetypeassert // set above
		}
	}
	report, err := checker.Files(ctx, r.logs, files)
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	tellCheck(r.s, r.s.row, report, f)
	if seen.requests, err = readApplied(r.logs); err != nil {
		return err
	}
	verdict := judgeSaga(seen)
	for _, wrong := range verdict.wrong {
		r.s.sayf("%s: %s", r.s.row, wrong)
	}
	maps.Copy(f, verdict.figures)
	return nil
}

// readApplied reads what the downstream systems have applied.
func readApplied(logs []string) ([]request, error) {
	var all []request
	for _, name := range logs {
		requests, err := players.ReadLines[request](name)
		if err != nil {
			return nil, err
		}
		for _, r := range requests {
			if r.Outcome == "applied" {
				all = append(all, r)
			}
		}
	}
	return all, nil
}

// listAll lists orders, page by page.
func listAll(ctx context.Context, conn *client.Client, r *orderv1.ListRequest) ([]*orderv1.Order, error) {
	var all []*orderv1.Order
	r.PageSize = 1000
	for {
		page, err := conn.Orders().List(ctx, r, grpc.WaitForReady(true))
		if err != nil {
			return nil, fmt.Errorf("list orders: %w", err)
		}
		all = append(all, page.GetOrders()...)
		if r.PageToken = page.GetNextPageToken(); r.GetPageToken() == "" {
			return all, nil
		}
	}
}

func sagaRounds(s *site) int {
	if s.ci() {
		return 1
	}
	return 20
}

func sagaBars(s *site) bars { return sagaBarsOf(sagaRounds(s)) }

func sagaBarsOf(rounds int) bars {
	some := float64(sagaKeys * sagaEach)
	return bars{
		"kills": atLeast(float64(rounds * (len(sagaSystems) + 1))), "acknowledged": atLeast(some), "pairs": atLeast(some),
		// If little was cancelled, and at few kinds of moments, the row shows nothing.
		"cancelled": atLeast(some / 10), "compensations": atLeast(some / 10), "completed": atLeast(some / 10),
		"children_cancelled": atLeast(some / 100), "children_undone": atLeast(some / 100),
	}.none(append(sagaWrongs, "lost", "left_open", "duplicated", "missing", "history_gaps", "unexplained", "never_acknowledged",
		"wrong_answers", "without_history", "strays")...)
}
