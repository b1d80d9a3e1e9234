package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

const (
	// evilMemory is what the node may have, and evilEvents how long a history may be there.
	evilMemory, evilEvents = 256 << 20, 20_000
	// evilAtOnce is how many documents are deployed, or orders wait, at once.
	evilAtOnce = 8
	// evilWithin bounds one document with its order.
	evilWithin = 3 * time.Minute
	// calmEvery is how often others submit an order, and calmWithin how long that may take.
	calmEvery, calmWithin = 50 * time.Millisecond, 30 * time.Second
	// longestRefusal is how long a refusal may be, in bytes.
	longestRefusal = 64 << 10
)

// evilRounds is how often all is deployed.
func evilRounds(s *site) int {
	if s.ci() {
		return 1
	}
	return 2
}

// evilRow is the row under way.
type evilRow struct {
	*site

	node *stage.Node
	conn *client.Client

	mu                        sync.Mutex
	refused, faulted, allowed int
	again                     int // submitted
	longest                   int // refusal, in bytes
	slowest                   time.Duration
	slowestName               string
	wrong                     []string
	// calm is how long the orders of others took, and failed how many failed.
	calm   []time.Duration
	failed int
}

// hostileDefinitions deploys definitions that want more than there is, and submits orders that do, while others have theirs run.
func hostileDefinitions(ctx context.Context, s *site) (figures, error) {
	ctx, st := stage.New(ctx, s.dir)
	defer st.Stop()
	r := &evilRow{site: s}
	var err error
	settings := []string{"--memory", fmt.Sprint(evilMemory), "--max-events", fmt.Sprint(evilEvents)}
	if r.node, err = st.StartNode(ctx, s.holdfast, true, settings...); err != nil {
		return nil, err
	}
	if err := r.node.Ready(ctx); err != nil {
		return nil, why(ctx, err)
	}
	if r.conn, err = r.node.Dial(grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(128 << 20))); err != nil {
		return nil, err
	}
	defer r.conn.Close() //nolint:errcheck // it fails only if it was closed before
	if err := deploy(ctx, r.conn, "calm"); err != nil {
		return nil, why(ctx, err)
	}
	all := slices.Concat(evilInputs(evilEvents), evilEvaluations(s), evilDocuments(), evilTasks(), evilSchemas(), evilPrograms())
	aside, stop := context.WithCancel(ctx)
	defer stop()
	var others sync.WaitGroup
	others.Go(func() { r.others(aside) })
	began := time.Now()
	r.all(ctx, all)
	took := time.Since(began)
	stop()
	others.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	f := figures{"cases": len(all), "took_s": round(took.Seconds(), 1)}
	if err := r.tell(f); err != nil {
		return f, err
	}
	return f, r.node.Live(ctx)
}

// others submits orders that want nothing, again and again, until ctx ends.
func (r *evilRow) others(ctx context.Context) {
	conn, err := r.node.Dial()
	if err != nil {
		r.note(func() { r.failed++ })
		return
	}
	defer conn.Close() //nolint:errcheck // as above
	var all sync.WaitGroup
	defer all.Wait()
	again := time.NewTicker(calmEvery)
	defer again.Stop()
	for {
		select {
		case <-again.C:
			all.Go(func() { r.other(context.WithoutCancel(ctx), conn) })
		case <-ctx.Done():
			return
		}
	}
}

func (r *evilRow) other(ctx context.Context, conn *client.Client) {
	ctx, cancel := context.WithTimeout(ctx, calmWithin)
	defer cancel()
	began := time.Now()
	o, err := conn.Orders().Submit(ctx, &orderv1.SubmitRequest{
		Wait: orderv1.Wait_WAIT_ENDED, Order: &orderv1.WorkOrder{Id: string(messages.NewOrderID()), Definition: "verify/calm:1.0.0"},
	})
	r.note(func() {
		r.calm = append(r.calm, time.Since(began))
		if err != nil || o.GetOrder().GetStatus() != orderv1.Status_STATUS_COMPLETED {
			if r.failed++; r.failed <= maxWrong {
				r.sayf("hostile_definition: an order of others is %v: %v", o.GetOrder().GetStatus(), err)
			}
		}
	})
}

func (r *evilRow) note(what func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	what()
}

// all tries all, as often as it should, in an order that chance decides.
func (r *evilRow) all(ctx context.Context, all []*evil) {
	type turn struct {
		*evil

		name string
	}
	next := make(chan turn)
	var trying sync.WaitGroup
	for range evilAtOnce {
		trying.Go(func() {
			for t := range next {
				r.one(ctx, t.evil, t.name)
			}
		})
	}
	chance := r.chance()
	for round := range evilRounds(r.site) {
		for _, i := range chance.Perm(len(all)) {
			next <- turn{all[i], fmt.Sprintf("e%d-%d", round, i)}
		}
	}
	close(next)
	trying.Wait()
}

// one tries a document, with its order if it has one, and notes what came of that.
func (r *evilRow) one(ctx context.Context, e *evil, name string) {
	ctx, cancel := context.WithTimeoutCause(ctx, evilWithin, fmt.Errorf("not over within %v", evilWithin))
	defer cancel()
	began := time.Now()
	said, ended, err := r.try(ctx, e, name)
	took := time.Since(began)
	r.note(func() {
		if r.longest = max(r.longest, len(said)); took > r.slowest {
			r.slowest, r.slowestName = took, e.name
		}
		switch {
		case said == "" && err == nil:
			r.allowed++
		case ended:
			r.faulted++
		default:
			r.refused++
		}
		if wrong := e.judge(said, err); wrong != "" {
			r.wrong = append(r.wrong, fmt.Sprintf("%s: %s", e.name, wrong))
		}
	})
}

// judge says what is wrong with what was said of a document, or of its order; empty: nothing.
func (e *evil) judge(said string, err error) string {
	switch {
	case err != nil:
		return err.Error()
	case said == "" && e.allowed:
		return ""
	case said == "":
		return "it was done"
	case len(said) > longestRefusal:
		return fmt.Sprintf("%d bytes were said of it", len(said))
	case e.allowed || slices.ContainsFunc(e.says, func(word string) bool { return strings.Contains(said, word) }) || len(e.says) == 0:
		return ""
	}
	return fmt.Sprintf("it is said that %.400s, and none of %q", said, e.says)
}

// try deploys a document, and submits its order. It returns what was said of them, and whether by an order that has ended; an error tells
// that the node failed.
func (r *evilRow) try(ctx context.Context, e *evil, name string) (said string, ended bool, err error) {
	text, err := e.text(name)
	if err != nil {
		return "", false, err
	}
	if _, err = r.conn.Definitions().Deploy(ctx, &definitionv1.DeployRequest{Document: text}, grpc.WaitForReady(true)); err != nil {
		said, err = refusalOf(err)
		return said, false, err
	}
	if e.input == nil {
		return "", false, nil
	}
	o, err := r.submit(ctx, &orderv1.SubmitRequest{
		Wait: orderv1.Wait_WAIT_ENDED, Order: &orderv1.WorkOrder{
			Id: string(messages.NewOrderID()), Definition: "evil/" + name + ":1.0.0", Input: e.input,
		},
	})
	if err != nil {
		said, err = refusalOf(err)
		return said, false, err
	}
	if o.GetOrder().GetStatus() == orderv1.Status_STATUS_COMPLETED {
		return "", true, nil
	}
	p := o.GetOrder().GetError()
	return p.GetTitle() + ": " + p.GetDetail(), true, nil
}

// submit submits an order, and again if it did not get its turn in the time that a node waits for that.
func (r *evilRow) submit(ctx context.Context, o *orderv1.SubmitRequest) (is *orderv1.SubmitResponse, err error) {
	err = stage.Eventually(ctx, resubmitAfter, func() (bool, error) {
		var refused error
		if is, refused = r.conn.Orders().Submit(ctx, o, grpc.WaitForReady(true)); status.Code(refused) != codes.Unavailable {
			return true, refused
		}
		r.note(func() { r.again++ })
		return false, nil
	})
	return is, err
}

// refusalOf is what an error says that refuses something. Any other is an error.
func refusalOf(err error) (string, error) {
	st := status.Convert(err)
	switch st.Code() {
	case codes.InvalidArgument, codes.ResourceExhausted, codes.FailedPrecondition:
	default:
		return "", err
	}
	said := []string{st.Message()}
	for _, d := range st.Details() {
		if bad, is := d.(*errdetails.BadRequest); is {
			for _, v := range bad.GetFieldViolations() {
				said = append(said, v.GetDescription())
			}
		}
	}
	return strings.Join(said, "; "), nil
}

// tell tells what was seen.
func (r *evilRow) tell(f figures) error {
	u, err := r.node.Usage()
	if err != nil {
		return err
	}
	if len(r.calm) == 0 {
		return errors.New("others have had no order run")
	}
	f["tried"], f["refused"], f["faulted"], f["allowed"] = r.refused+r.faulted+r.allowed, r.refused, r.faulted, r.allowed
	f["wrong"], f["longest_refusal_bytes"], f["slowest_s"] = len(r.wrong), r.longest, round(r.slowest.Seconds(), 1)
	f["slowest"], f["submitted_again"] = r.slowestName, r.again
	f["others"], f["others_failed"] = len(r.calm), r.failed
	f["others_p99_ms"], f["others_slowest_s"] = milliseconds(quantile(r.calm, 0.99)), round(slices.Max(r.calm).Seconds(), 3)
	f["node_peak_rss_bytes"], f["node_restarts"] = u.PeakRSS, r.node.Starts()-1
	slices.Sort(r.wrong)
	for _, wrong := range r.wrong[:min(len(r.wrong), 3*maxWrong)] {
		r.sayf("hostile_definition: %s", strings.ToValidUTF8(wrong, "?"))
	}
	return nil
}

func hostileDefinitionBars(s *site) bars {
	cases := 80.0
	if s.ci() {
		cases = 65
	}
	return bars{
		"cases": atLeast(cases), "tried": atLeast(cases * float64(evilRounds(s))), "refused": atLeast(40), "faulted": atLeast(15),
		"others": atLeast(100), "others_p99_ms": s.within(1000), "node_peak_rss_bytes": atMost(evilMemory * 5 / 4),
	}.none("wrong", "others_failed", "node_restarts")
}
