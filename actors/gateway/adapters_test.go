package gateway_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/actors/gateway"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/flaky"
)

func TestHello(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		for name, tt := range map[string]struct {
			hello  *adapterv1.Hello
			fields []string
		}{
			"none":  {nil, []string{"hello"}},
			"empty": {&adapterv1.Hello{}, []string{"hello.protocol", "hello.adapter", "hello.process", "hello.ledger", "hello.activities"}},
			"long": {adaptertest.Hello(func(h *adapterv1.Hello) {
				h.Adapter, h.Process, h.Ledger = strings.Repeat("a", 64), strings.Repeat("p", 65), strings.Repeat("l", 65)
			}), []string{"hello.adapter", "hello.process", "hello.ledger"}},
			"names": {adaptertest.Hello(func(h *adapterv1.Hello) {
				h.Adapter, h.Activities[0].Name = "a.b", "ö"
			}), []string{"hello.adapter", "hello.activities[0].name"}},
			"twice":    {adaptertest.Hello(func(h *adapterv1.Hello) { h.Activities = append(h.Activities, h.Activities[0]) }), []string{"hello.activities[1].name"}},
			"version":  {adaptertest.Hello(func(h *adapterv1.Hello) { h.Activities[0].Version = "1.0" }), []string{"hello.activities[0].version"}},
			"protocol": {adaptertest.Hello(func(h *adapterv1.Hello) { h.Protocol = 2 }), []string{"hello.protocol"}},
			"many activities": {adaptertest.Hello(func(h *adapterv1.Hello) {
				for i := range 1000 {
					h.Activities = append(h.Activities, &adapterv1.Activity{Name: fmt.Sprint("a", i)})
				}
			}), []string{"hello.activities"}},
		} {
			a := adaptertest.Dial(t, n.conn, &adapterv1.ConnectRequest{Hello: tt.hello, Heartbeat: &adapterv1.Heartbeat{}})
			err := a.End()
			t.Log(name, err)
			wantRefusal(t, err, codes.InvalidArgument, "BAD_REQUEST", tt.fields...)
		}
		for _, version := range []string{"", "1.2.3", "1.0.0-rc.1", "1.0.0+build.5"} {
			a := adaptertest.Dial(t, n.conn, &adapterv1.ConnectRequest{Hello: adaptertest.Hello(func(h *adapterv1.Hello) { h.Activities[0].Version = version })})
			if w := a.Hear().GetWelcome(); w.GetNode() != "node" || w.GetHeartbeatMs() != 5000 || w.GetMaxOutputBytes() != 1<<20 {
				t.Errorf("version %q is welcomed with %v", version, w)
			}
			if err := a.CloseSend(); err != nil {
				t.Fatal(err)
			}
			if err := a.End(); !errors.Is(err, io.EOF) {
				t.Errorf("the stream ended with %v", err)
			}
		}
	})
}

// lines is a log that is kept.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// The log says in words what became of an adapter.
func TestWhyAnAdapterIsGone(t *testing.T) {
	t.Parallel()
	for want, leave := range map[string]func(*node, *adaptertest.Stream){
		"the adapter has left":   func(_ *node, a *adaptertest.Stream) { _ = a.CloseSend() },
		"the connection is gone": func(n *node, _ *adaptertest.Stream) { _ = n.conn.Close() },
		"nothing was heard from": func(*node, *adaptertest.Stream) { time.Sleep(time.Minute) },
		"node is stopping":       func(n *node, _ *adaptertest.Stream) { n.server.Drain() },
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var log lines
				n := start(t, func(s *settings) { s.log = &log })
				leave(n, n.connect(1))
				settle()
				if got := log.String(); !strings.Contains(got, "adapter disconnected") || !strings.Contains(got, want) ||
					strings.Contains(got, "context canceled") {
					t.Errorf("the log says\n%s", got)
				}
			})
		})
	}
}

// An adapter that falls silent is disconnected; one that is only slow to read is not, until it falls silent too.
func TestSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, func(s *settings) { s.gateway.Heartbeat = time.Second })
		a := n.connect(0)
		for range 5 {
			time.Sleep(2900 * time.Millisecond)
			a.Say(&adapterv1.ConnectRequest{Heartbeat: &adapterv1.Heartbeat{}})
			settle()
		}
		began := time.Now()
		err := a.End()
		wantRefusal(t, err, codes.DeadlineExceeded, "SILENT")
		if took := time.Since(began); took < 2*time.Second || took > 4*time.Second {
			t.Errorf("after %v", took)
		}

		// Tasks that nobody reads: the node's writer is stuck in the middle of them.
		def := n.deploy("one", "1.0.0", callOne)
		a = n.connect(100)
		input := []byte(`"` + strings.Repeat("x", 500_000) + `"`)
		for i := range 20 {
			n.submit(&orderv1.WorkOrder{Id: fmt.Sprint("o", i), Definition: def, Input: input}, accepted)
		}
		settle()
		time.Sleep(3100 * time.Millisecond)
		settle()
		if got := n.engine.Activities().All()[0]; got.Waiting != 0 {
			t.Errorf("%d tasks wait", got.Waiting)
		}
		time.Sleep(2 * time.Second) // the grace is over: another adapter gets them
		b := n.connect(100, func(h *adapterv1.Hello) { h.Process, h.Ledger = "q", "q" })
		if got := len(b.Tasks(20)); got != 20 {
			t.Errorf("%d tasks", got)
		}
		wantRefusal(t, a.End(), codes.DeadlineExceeded, "SILENT")
	})
}

// A result that comes while the journal does not answer is asked for again as soon as it does, and no other. Operators are told
// meanwhile how the node is.
func TestResultsAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j *flaky.Journal
		n := start(t, func(s *settings) {
			s.wrap = func(behind persistence.Journal) persistence.Journal {
				j = flaky.Wrap(behind)
				return j
			}
		})
		def := n.deploy("one", "1.0.0", callOne)
		a := n.connect(100)
		for i := range 3 {
			n.submit(&orderv1.WorkOrder{Id: fmt.Sprint("o", i), Definition: def}, accepted)
		}
		tasks := a.Tasks(3)
		a.Report(adaptertest.ResultOf(tasks[0], 1))
		if acks := a.Hear().GetAcks(); !slices.Equal(acks, []uint64{1}) {
			t.Fatalf("acknowledged are %v", acks)
		}
		j.Set(flaky.Away)
		late := []*adapterv1.Result{adaptertest.ResultOf(tasks[1], 2), adaptertest.ResultOf(tasks[2], 3)}
		for range 3 {
			a.Report(late...)
			time.Sleep(3 * time.Second)
		}
		s, err := n.admin.Status(t.Context(), &adminv1.StatusRequest{})
		if err != nil || s.GetOpen() == 0 || !strings.Contains(s.GetUnready(), "journal") {
			t.Errorf("the status is %v, %v", s, err)
		}
		_, err = n.adminOrders.Get(t.Context(), &orderv1.GetRequest{Id: "o0"})
		wantRefusal(t, err, codes.Unavailable, "JOURNAL_UNAVAILABLE")
		j.Set(flaky.Up)
		began := time.Now()
		var again []uint64
		for len(again) == 0 {
			m := a.Hear()
			again = m.GetAgain()
			if len(m.GetAcks()) > 0 {
				t.Errorf("acknowledged is %v", m)
			}
		}
		if !slices.Equal(again, []uint64{2, 3}) || time.Since(began) > 1500*time.Millisecond {
			t.Errorf("after %v the node asks for %v", time.Since(began), again)
		}
		a.Report(late...)
		for i := range 3 {
			if got := n.submit(&orderv1.WorkOrder{Id: fmt.Sprint("o", i), Definition: def}, ended); got.GetStatus() != orderv1.Status_STATUS_COMPLETED {
				t.Errorf("%v", got)
			}
		}
	})
}

// Results that can't be taken as they are.
func TestBadResults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t, func(s *settings) { s.gateway = gateway.Config{MaxOutput: 1000, MaxDepth: 5} })
		def := n.deploy("one", "1.0.0", callOne)
		a := n.connect(100)
		for name, tt := range map[string]struct {
			change func(*adapterv1.Result)
			status orderv1.Status
			detail string
		}{
			"null":    {func(r *adapterv1.Result) { r.Output = nil }, orderv1.Status_STATUS_COMPLETED, ""},
			"no-json": {func(r *adapterv1.Result) { r.Output = []byte("{") }, orderv1.Status_STATUS_FAULTED, "not a JSON value"},
			"no-utf8": {func(r *adapterv1.Result) { r.Output = []byte("\"\xff\"") }, orderv1.Status_STATUS_FAULTED, "UTF-8"},
			"long":    {func(r *adapterv1.Result) { r.Output = make([]byte, 1001) }, orderv1.Status_STATUS_FAULTED, "1001 bytes"},
			"deep":    {func(r *adapterv1.Result) { r.Output = []byte(`[[[[[[]]]]]]`) }, orderv1.Status_STATUS_FAULTED, "deep"},
			"twice":   {func(r *adapterv1.Result) { r.Output = []byte(`{"a":1,"\u0061":2}`) }, orderv1.Status_STATUS_FAULTED, `"a" twice`},
			"unreported": {func(r *adapterv1.Result) {
				r.Output, r.Error = []byte("1"), &problemv1.Problem{Title: "too long"}
			}, orderv1.Status_STATUS_FAULTED, ""},
			"outcome":  {func(r *adapterv1.Result) { r.Outcome = 9 }, orderv1.Status_STATUS_FAULTED, "outcome 9"},
			"none":     {func(r *adapterv1.Result) { r.Outcome = 0 }, orderv1.Status_STATUS_FAULTED, ""},
			"no-error": {func(r *adapterv1.Result) { r.Outcome = adapterv1.Outcome_OUTCOME_FAILED }, orderv1.Status_STATUS_FAULTED, ""},
			"long-error": {func(r *adapterv1.Result) {
				r.Outcome = adapterv1.Outcome_OUTCOME_FAILED
				r.Error = &problemv1.Problem{Detail: strings.Repeat("ü", 1<<16)}
			}, orderv1.Status_STATUS_FAULTED, "…"},
		} {
			n.submit(&orderv1.WorkOrder{Id: name, Definition: def}, accepted)
			r := adaptertest.ResultOf(a.Tasks(1)[0], 1)
			tt.change(r)
			a.Report(r)
			got := n.submit(&orderv1.WorkOrder{Id: name, Definition: def}, ended)
			if got.GetStatus() != tt.status || !strings.Contains(got.GetError().GetDetail(), tt.detail) || len(got.GetError().GetDetail()) > 1<<15 {
				t.Errorf("%s: %v", name, got)
			}
			done := slices.Contains([]string{"no-json", "no-utf8", "twice", "long", "deep", "unreported"}, name)
			if done != (got.GetError().GetType() == workflow.ErrorTypeUnreported) {
				t.Errorf("%s: the error's type is %s", name, got.GetError().GetType())
			}
			if name == "no-error" && (got.GetError().GetType() != workflow.ErrorTypeCommunication || got.GetError().GetStatus() != 503) {
				t.Errorf("%s: %v", name, got)
			}
		}
		bad := &adapterv1.Result{Seq: 1, OrderId: "a/b", Partition: 999, Activity: "other"}
		a.Report(bad)
		wantRefusal(t, a.End(), codes.InvalidArgument, "BAD_REQUEST", "results.order_id", "results.partition")
	})
}

// An adapter reports what it is about to execute, and waits for the confirmation. Meanwhile the order tells what it waits for.
func TestBegun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		a := n.connect(2, func(h *adapterv1.Hello) {
			h.Activities[0].Idempotent, h.Features = false, []adapterv1.Feature{adapterv1.Feature_FEATURE_BEGUN}
		})
		n.submit(&orderv1.WorkOrder{Id: "a", Definition: n.deploy("one", "1.0.0", callOne)}, accepted)
		task := a.Tasks(1)[0]
		waits := func() *orderv1.Waiting {
			t.Helper()
			settle()
			r, err := n.orders.Get(t.Context(), &orderv1.GetRequest{Id: "a"})
			if err != nil || len(r.GetOrder().GetWaiting()) != 1 {
				t.Fatalf("got %v: %v", r, err)
			}
			return r.GetOrder().GetWaiting()[0]
		}
		if w := waits(); !task.GetAwaitConfirmation() || w.GetTask() != "/do/0/a" || w.GetActivity() != "x.do" || w.GetProcess() != "p" ||
			!strings.Contains(w.GetReason(), "to begin with it") {
			t.Errorf("%v waits for %v", task, w)
		}
		a.Say(&adapterv1.ConnectRequest{Begun: []*adapterv1.Begun{
			{Key: "nobody:/do/0/a", Attempt: 1}, {Key: task.GetKey(), Attempt: 1},
		}})
		for confirmed := false; !confirmed; {
			m := a.Hear()
			for _, c := range m.GetCancellations() {
				if c.GetKey() != "nobody:/do/0/a" {
					t.Errorf("cancelled %v", c)
				}
			}
			for _, c := range m.GetConfirmations() {
				confirmed = c.GetKey() == task.GetKey() && c.GetAttempt() == 1
			}
		}
		if w := waits(); !strings.Contains(w.GetReason(), "its result") {
			t.Errorf("it waits for %v", w)
		}
		a.Break()
		if w := waits(); w.GetUntil() == nil || !strings.Contains(w.GetReason(), "away") {
			t.Errorf("it waits for %v", w)
		}
		time.Sleep(time.Second)
		settle()
		list, err := n.admin.ListActivities(t.Context(), &adminv1.ListActivitiesRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if s := list.GetActivities()[0]; s.GetAway() != 1 || s.GetAwayUntil() == nil {
			t.Errorf("the activity is %v", s)
		}
	})
}

// What an adapter has in hand it keeps over a stream that breaks; what it left over goes to others.
func TestAdapterReconnects(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		def := n.deploy("one", "1.0.0", callOne)
		a := n.connect(2)
		for _, id := range []string{"a", "b"} {
			n.submit(&orderv1.WorkOrder{Id: id, Definition: def}, accepted)
		}
		tasks := a.Tasks(2)
		a.Break()
		settle()
		a = n.connect(0, func(h *adapterv1.Hello) { h.Keys = []string{tasks[0].GetKey()} })
		b := n.connect(5, func(h *adapterv1.Hello) { h.Process, h.Ledger = "q", "q" })
		if again := b.Tasks(1); again[0].GetKey() != tasks[1].GetKey() {
			t.Errorf("the other adapter got %v", again)
		}
		time.Sleep(5 * time.Second)
		a.Report(adaptertest.ResultOf(tasks[0], 1))
		got := n.submit(&orderv1.WorkOrder{Id: tasks[0].GetOrderId(), Definition: def}, ended)
		if got.GetStatus() != orderv1.Status_STATUS_COMPLETED {
			t.Errorf("ended as %v", got)
		}
	})
}

func TestAdapterLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		def := n.deploy("one", "1.0.0", callOne)
		a := n.connect(10)
		n.submit(&orderv1.WorkOrder{Id: "a", Definition: def}, accepted)
		task := a.Tasks(1)[0]
		a.Say(&adapterv1.ConnectRequest{Revocations: []*adapterv1.Revocation{{Activity: "do", Count: 4}, {Activity: "none", Count: 1}}})
		if r := a.Hear().GetReturned(); len(r) != 1 || r[0].GetActivity() != "do" || r[0].GetCount() != 4 {
			t.Errorf("returned %v", r)
		}
		a.Say(&adapterv1.ConnectRequest{Drain: true})
		if r := a.Hear().GetReturned(); len(r) != 1 || r[0].GetCount() != 5 {
			t.Errorf("returned %v", r)
		}
		n.submit(&orderv1.WorkOrder{Id: "b", Definition: def}, accepted)
		a.Report(adaptertest.ResultOf(task, 7))
		for {
			m := a.Hear()
			if len(m.GetTasks()) > 0 {
				t.Errorf("tasks for an adapter that leaves: %v", m)
			}
			if slices.Equal(m.GetAcks(), []uint64{7}) {
				break
			}
		}
		if err := a.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if err := a.End(); !errors.Is(err, io.EOF) {
			t.Errorf("the stream ended with %v", err)
		}
	})
}

// An adapter hears how much waits, and which attempt to give up.
func TestAdapterHears(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		def := n.deploy("one", "1.0.0", callOne)
		a := n.connect(1)
		for i := range 3 {
			n.submit(&orderv1.WorkOrder{Id: fmt.Sprint("o", i), Definition: def}, accepted)
		}
		task := a.Tasks(1)[0]
		if _, err := n.orders.Cancel(t.Context(), &orderv1.CancelRequest{Id: task.GetOrderId()}); err != nil {
			t.Fatal(err)
		}
		if c := a.Hear().GetCancellations(); len(c) != 1 || c[0].GetKey() != task.GetKey() || c[0].GetAttempt() != 1 {
			t.Errorf("cancelled %v", c)
		}
		if d := a.Hear().GetDepths(); len(d) != 1 || d[0].GetActivity() != "do" || d[0].GetWaiting() != 2 {
			t.Errorf("depths are %v", d)
		}
		a.Break()
	})
}
