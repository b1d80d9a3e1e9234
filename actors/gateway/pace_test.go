package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// hold takes all turns of a kind of heavy work, until end is called.
func (n *node) hold(kind runtime.Heavy, turns int) (end func()) {
	over, left := make(chan struct{}), make(chan struct{})
	for range 2 * turns { // beyond that nobody gets one
		began := make(chan struct{})
		go func() {
			defer func() { left <- struct{}{} }()
			pass := n.engine.Pace().Force(kind, "held", "")
			close(began)
			<-over
			pass.Leave()
		}()
		<-began
	}
	return func() {
		close(over)
		for range 2 * turns {
			<-left
		}
	}
}

func (n *node) waiting(kind runtime.Heavy) int {
	done, _ := n.engine.Pace().Done()
	return done[kind].Waiting
}

// A connection waits for its turn, and no longer than its client does.
func TestConnectionsWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, func(s *settings) { s.engine = actors.Config{Evaluations: 1} })
		const from = "192.0.2.1"
		end := n.hold(runtime.HeavyConnection, 64)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := n.server.Begin(ctx, from, time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without a turn: %v", err)
		}
		begun := make(chan error, 1)
		go func() { begun <- n.server.Begin(t.Context(), from, time.Millisecond) }()
		synctest.Wait()
		if w := n.waiting(runtime.HeavyConnection); w != 1 {
			t.Errorf("%d wait", w)
		}
		end()
		if err := <-begun; err != nil {
			t.Errorf("with a turn: %v", err)
		}
		if done, _ := n.engine.Pace().Done(); done[runtime.HeavyConnection].Used < time.Millisecond {
			t.Errorf("%v are charged", done[runtime.HeavyConnection].Used)
		}
	})
}

// What is large, and what checks much, waits for its turn, and what is small does not.
func TestLargeRequestsWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, func(s *settings) { s.engine = actors.Config{Evaluations: 1} })
		small := n.deploy("small", "1.0.0", nothing)
		long := n.deploy("long", "1.0.0", `input: {schema: {document: {items: {enum: [`+strings.Repeat("1, ", 8)+`2]}}}}
do: [{a: {set: {x: 1}}}]`)
		n.engine.NoteHeavy(long)
		end := n.hold(runtime.HeavyRequest, 1)
		for name, o := range map[string]*orderv1.WorkOrder{
			"large": {Id: "large", Definition: small, Input: []byte(`{"s": "` + strings.Repeat("x", 20_000) + `"}`)},
			"long":  {Id: "long", Definition: long, Input: []byte(`[1]`)},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := n.orders.Submit(ctx, &orderv1.SubmitRequest{Order: o})
			if status.Code(err) != codes.DeadlineExceeded {
				t.Errorf("%s: %v", name, err)
			}
			cancel()
		}
		n.submit(&orderv1.WorkOrder{Id: "small", Definition: small}, orderv1.Wait_WAIT_ENDED)
		synctest.Wait()
		if w := n.waiting(runtime.HeavyRequest); w != 0 {
			t.Errorf("%d wait whose callers have gone", w)
		}
		end()
		n.submit(&orderv1.WorkOrder{Id: "large", Definition: small, Input: []byte(`{"s": "` + strings.Repeat("x", 20_000) + `"}`)}, orderv1.Wait_WAIT_ENDED)
	})
}

// Reads and bulk operations wait for their turns, each by itself, and submissions do not.
func TestReadsWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		def := n.deploy("small", "1.0.0", nothing)
		for i := range 3 {
			n.submit(&orderv1.WorkOrder{Id: fmt.Sprint("o", i), Definition: def}, orderv1.Wait_WAIT_ENDED)
		}
		end := n.hold(runtime.HeavyRead, 64)
		defer end()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan error)
		calls := []func() error{
			func() error { _, err := n.orders.Get(ctx, &orderv1.GetRequest{Id: "o1"}); return err },
			func() error { _, err := n.orders.List(ctx, &orderv1.ListRequest{}); return err },
			func() error { _, err := n.orders.History(ctx, &orderv1.HistoryRequest{Id: "o1"}); return err },
			func() error { _, err := n.definitions.List(ctx, &definitionv1.ListRequest{}); return err },
			func() error { _, err := n.admin.ListFallout(ctx, &adminv1.ListFalloutRequest{}); return err },
			func() error {
				st, err := n.orders.Watch(ctx, &orderv1.WatchRequest{Id: "o1"})
				if err == nil {
					_, err = st.Recv()
				}
				return err
			},
			func() error {
				st, err := n.orders.WatchList(ctx, &orderv1.WatchListRequest{List: &orderv1.ListRequest{}})
				if err == nil {
					_, err = st.Recv()
				}
				return err
			},
			func() error {
				st, err := n.admin.OperateAll(ctx, &adminv1.OperateAllRequest{
					Selection: &adminv1.Selection{Ids: []string{"o1"}},
					Action:    &adminv1.Action{Kind: &adminv1.Action_Resume{Resume: &adminv1.Resume{}}},
				})
				if err == nil {
					_, err = st.Recv()
				}
				return err
			},
		}
		for _, call := range calls {
			go func() { ended <- call() }()
		}
		synctest.Wait()
		if w := n.waiting(runtime.HeavyRead); w != len(calls) {
			t.Errorf("%d of %d calls wait", w, len(calls))
		}
		n.submit(&orderv1.WorkOrder{Id: "meanwhile", Definition: def}, orderv1.Wait_WAIT_ENDED)
		cancel()
		for range calls {
			if err := <-ended; status.Code(err) != codes.Canceled {
				t.Errorf("a call ended with %v", err)
			}
		}
		synctest.Wait()
		if w := n.waiting(runtime.HeavyRead); w != 0 {
			t.Errorf("%d wait whose callers have gone", w)
		}
	})
}

// Definitions wait for their turn to be checked.
func TestDefinitionsWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		end := n.hold(runtime.HeavyDefinition, 2)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.definitions.Validate(ctx, &definitionv1.ValidateRequest{}); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("it was validated: %v", err)
		}
		end()
		n.deploy("small", "1.0.0", nothing)
	})
}

// Adapters that connect wait for a turn, and so do those that have said much, or what was refused. These are not silent meanwhile.
func TestAdaptersThatSayMuchWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, func(s *settings) { s.engine, s.gateway.Heartbeat = actors.Config{Evaluations: 1}, time.Second })
		def := n.deploy("one", "1.0.0", callOne)
		named := func(name string) *adaptertest.Stream {
			return n.connect(0, func(h *adapterv1.Hello) { h.Adapter = name })
		}
		talks, quiet, lies := n.connect(0), named("quiet"), named("liar")
		much := &adapterv1.ConnectRequest{}
		for range 2000 {
			much.Credits = append(much.Credits, &adapterv1.Credit{Activity: "do"})
		}
		end := n.hold(runtime.HeavyRequest, 1)
		talks.Say(much)
		lies.Say(&adapterv1.ConnectRequest{Credits: []*adapterv1.Credit{{Activity: "foreign", Total: 1}}})
		talks.Say(&adapterv1.ConnectRequest{Credits: []*adapterv1.Credit{{Activity: "do", Total: 1}}})
		comes := adaptertest.Dial(t, n.conn, &adapterv1.ConnectRequest{Hello: adaptertest.Hello()})
		n.submit(&orderv1.WorkOrder{Id: "o", Definition: def}, accepted)
		for range 10 {
			time.Sleep(time.Second)
			quiet.Say(&adapterv1.ConnectRequest{Heartbeat: &adapterv1.Heartbeat{}})
		}
		if w := n.waiting(runtime.HeavyRequest); w != 3 {
			t.Errorf("%d wait", w)
		}
		end()
		if m := comes.Hear(); m.GetWelcome() == nil {
			t.Errorf("the welcome is %v", m)
		}
		m := talks.Hear()
		for len(m.GetTasks()) == 0 { // it is told before how many wait
			m = talks.Hear()
		}
		for _, a := range []*adaptertest.Stream{talks, quiet, lies, comes} {
			a.Break()
		}
	})
}

// Whoever lists tasks that it does not have is charged for what it takes to find that out.
func TestUnlistedIsCharged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		n.submit(&orderv1.WorkOrder{Id: "over", Definition: n.deploy("none", "1.0.0", nothing)}, orderv1.Wait_WAIT_ENDED)
		used := func() time.Duration {
			done, _ := n.engine.Pace().Done()
			return done[runtime.HeavyRequest].Used
		}
		liar := n.connect(0, func(h *adapterv1.Hello) { h.Keys = []string{"over:/do/0/a", "nobody:/do/0/a"} })
		for i, id := range []messages.OrderID{"over", "nobody"} {
			before := used()
			liar.Report(&adapterv1.Result{
				Seq: uint64(i + 1), OrderId: string(id), Partition: uint32(messages.PartitionOf(id, "")), Key: string(id) + ":/do/0/a", Attempt: 1,
				Activity: "do", Outcome: adapterv1.Outcome_OUTCOME_SUCCEEDED,
			})
			for len(liar.Hear().GetAcks()) == 0 {
				continue
			}
			liar.Say(&adapterv1.ConnectRequest{Heartbeat: &adapterv1.Heartbeat{}}) // it is charged with what it says next
			synctest.Wait()
			if u := used() - before; u < 200*time.Microsecond {
				t.Errorf("a result of %s is charged %v", id, u)
			}
		}
		liar.Break()
	})
}
