package gateway_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// checked raises an error if its input says so.
const checked = `do:
  - check: {switch: [{bad: {when: .bad, then: refuse}}, {good: {then: end}}]}
  - refuse: {raise: {error: {type: 'https://example.com/bad', title: '${ .bad }', status: 400}}}`

func retry() *adminv1.Action {
	return &adminv1.Action{By: "jane", Reason: "corrected", Kind: &adminv1.Action_Retry{Retry: &adminv1.Retry{}}}
}

func retryWith(input string) *adminv1.Action {
	return &adminv1.Action{By: "jane", Kind: &adminv1.Action_Retry{Retry: &adminv1.Retry{Input: []byte(input)}}}
}

// operate does something to one order, and returns how it stands then.
func (n *node) operate(id string, act *adminv1.Action) (*orderv1.Order, error) {
	n.t.Helper()
	r, err := n.admin.Operate(n.t.Context(), &adminv1.OperateRequest{Id: id, Action: act})
	settle()
	return r.GetOrder(), err
}

// operateAll does something to a selection. It returns the outcomes by order, as text: empty if it was done.
func (n *node) operateAll(r *adminv1.OperateAllRequest) (outcomes map[string]string, selected int64, err error) {
	n.t.Helper()
	outcomes = map[string]string{}
	st, err := n.admin.OperateAll(n.t.Context(), r)
	for err == nil {
		var m *adminv1.OperateAllResponse
		if m, err = st.Recv(); err == nil {
			selected += m.GetSelected()
			for _, o := range m.GetOutcomes() {
				if _, again := outcomes[o.GetId()]; again {
					n.t.Errorf("%s was told twice", o.GetId())
				}
				if (o.GetCode() == 0) != (o.GetReason() == "") || (o.GetCode() == 0) != (o.GetMessage() == "") {
					n.t.Errorf("outcome is %v", o)
				}
				outcomes[o.GetId()] = o.GetReason()
			}
		}
	}
	settle()
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return outcomes, selected, err
}

// fallout returns the groups of faulted orders, as text.
func (n *node) fallout(s *adminv1.Selection, limit int32) string {
	n.t.Helper()
	r, err := n.admin.ListFallout(n.t.Context(), &adminv1.ListFalloutRequest{Selection: s, Limit: limit})
	if err != nil {
		n.t.Fatal(err)
	}
	var b strings.Builder
	for _, g := range r.GetGroups() {
		fmt.Fprintf(&b, "%d %s %s %s %q %s %s %s, ", g.GetCount(), g.GetDefinition(), g.GetTask(), g.GetErrorType(), g.GetErrorTitle(),
			g.GetOldest().AsTime().Format("04:05"), g.GetNewest().AsTime().Format("04:05"), g.GetExampleId())
	}
	return b.String() + fmt.Sprint(r.GetOrders())
}

func TestFallout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		def := n.deploy("checked", "1.0.0", checked)
		other := n.deploy("other", "1.0.0", raise)
		for i := range 4 {
			o := &orderv1.WorkOrder{
				Id: fmt.Sprint("o", i), Definition: def, Input: []byte(`{"bad":"x"}`), Labels: map[string]string{"odd": fmt.Sprint(i % 2)},
			}
			if i == 3 {
				o.Input = []byte(`{"bad":"y"}`)
			}
			n.submit(o, ended)
			time.Sleep(time.Minute)
		}
		n.submit(&orderv1.WorkOrder{Id: "other", Definition: other, OrderKey: "k"}, ended)
		n.submit(&orderv1.WorkOrder{Id: "good", Definition: def}, ended)
		const x = `3 test/checked:1.0.0 /do/1/refuse https://example.com/bad "x" 00:00 02:00 o2, `
		for i, tt := range []struct {
			selection *adminv1.Selection
			limit     int32
			want      string
		}{
			{nil, 0, x + `1 test/checked:1.0.0 /do/1/refuse https://example.com/bad "y" 03:00 03:00 o3, ` +
				`1 test/other:1.0.0 /do/0/a https://example.com/boom "" 04:00 04:00 other, 5`},
			{nil, 1, x + "5"},
			{&adminv1.Selection{ErrorTitle: "x"}, 0, x + "3"},
			{&adminv1.Selection{Task: "/do/0/a"}, 0, `1 test/other:1.0.0 /do/0/a https://example.com/boom "" 04:00 04:00 other, 1`},
			{&adminv1.Selection{ErrorType: "https://example.com/boom", OrderKey: "k"}, 0, `1 test/other:1.0.0 /do/0/a https://example.com/boom "" 04:00 04:00 other, 1`},
			{
				&adminv1.Selection{Definition: "test/checked", Labels: map[string]string{"odd": "1"}}, 0,
				`1 test/checked:1.0.0 /do/1/refuse https://example.com/bad "x" 01:00 01:00 o1, ` +
					`1 test/checked:1.0.0 /do/1/refuse https://example.com/bad "y" 03:00 03:00 o3, 2`,
			},
			{&adminv1.Selection{Ids: []string{"o1", "good", "none", "other"}, Definition: "test/checked"}, 0, `1 test/checked:1.0.0 /do/1/refuse https://example.com/bad "x" 01:00 01:00 o1, 1`},
			{&adminv1.Selection{Ids: []string{"o1", "o2"}, Labels: map[string]string{"odd": "0"}}, 0, `1 test/checked:1.0.0 /do/1/refuse https://example.com/bad "x" 02:00 02:00 o2, 1`},
			{&adminv1.Selection{Ids: []string{"o1"}, OrderKey: "k"}, 0, "0"},
			{
				&adminv1.Selection{EndedFrom: timestamppb.New(time.Now().Add(-3 * time.Minute)), EndedTo: timestamppb.New(time.Now().Add(-2 * time.Minute))}, 0,
				`1 test/checked:1.0.0 /do/1/refuse https://example.com/bad "x" 01:00 01:00 o1, 1`,
			},
		} {
			if got := n.fallout(tt.selection, tt.limit); got != tt.want {
				t.Errorf("%d: fallout is\n%s\nwant\n%s", i, got, tt.want)
			}
		}
		_, err := n.admin.ListFallout(t.Context(), &adminv1.ListFalloutRequest{Limit: -1, Selection: &adminv1.Selection{
			Statuses: []orderv1.Status{99}, Definition: "a:latest", EndedFrom: year(1600),
			EndedTo: &timestamppb.Timestamp{Nanos: -1}, Ids: make([]string, 10_001),
		}})
		wantRefusal(t, err, codes.InvalidArgument, "BAD_REQUEST", "limit", "selection.statuses", "selection.statuses", "selection.definition",
			"selection.ended_from", "selection.ended_to", "selection.ids")
	})
}

// Errors of one title are told apart by their details, unless that is not wanted.
func TestFalloutByDetail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		def := n.deploy("bad", "1.0.0", "do: [{a: {raise: {error: {type: 'https://example.com/bad', title: bad, status: 400, detail: '${ .d }'}}}}]")
		for i, d := range []string{"x", "y", "x"} {
			n.submit(&orderv1.WorkOrder{Id: fmt.Sprint("o", i), Definition: def, Input: fmt.Appendf(nil, `{"d":%q}`, d)}, ended)
		}
		for want, r := range map[string]*adminv1.ListFalloutRequest{
			"2 x, 1 y, ": {},
			"3 , ":       {AnyDetail: true},
			"1 y, ":      {Selection: &adminv1.Selection{ErrorDetail: "y"}},
		} {
			answer, err := n.admin.ListFallout(t.Context(), r)
			got := ""
			for _, g := range answer.GetGroups() {
				got += fmt.Sprintf("%d %s, ", g.GetCount(), g.GetErrorDetail())
			}
			if err != nil || got != want {
				t.Errorf("%v: fallout is %s, %v, want %s", r, got, err, want)
			}
		}
		outcomes, _, err := n.operateAll(&adminv1.OperateAllRequest{Selection: &adminv1.Selection{ErrorDetail: "x"}, Action: retry()})
		if err != nil || len(outcomes) != 2 {
			t.Errorf("outcomes are %v, %v", outcomes, err)
		}
	})
}

func TestShowFallout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		def := n.deploy("two", "1.0.0", "do: [{a: {set: {n: 2}}}, {b: {call: x.do}}]")
		a := n.connect(10)
		n.submit(&orderv1.WorkOrder{Id: "o", Definition: def, OrderKey: "k"}, accepted)
		task := a.Tasks(1)[0]
		lost := adaptertest.ResultOf(task, 1)
		lost.Outcome, lost.Output = adapterv1.Outcome_OUTCOME_IN_DOUBT, nil
		a.Report(lost)
		settle()
		show := func() *adminv1.ShowFalloutResponse {
			t.Helper()
			r, err := n.admin.ShowFallout(t.Context(), &adminv1.ShowFalloutRequest{Id: "o"})
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		r := show()
		if r.GetOrder().GetStatus() != orderv1.Status_STATUS_FAULTED || r.GetTask() != "/do/1/b" || string(r.GetInput()) != `{"n":2}` ||
			!r.GetHoldsKey() || len(r.GetInDoubt()) != 1 || len(r.GetLateResults()) != 0 {
			t.Errorf("an order in doubt is shown as %v", r)
		}
		if d := r.GetInDoubt()[0]; d.GetKey() != "o:/do/1/b" || d.GetTask() != "/do/1/b" || d.GetAttempt() != 1 {
			t.Errorf("the attempt in doubt is %v", d)
		}
		_, err := n.operate("o", retryWith("1"))
		wantRefusal(t, err, codes.FailedPrecondition, "ATTEMPT_IN_DOUBT")
		a.Break()
		a = n.connect(10, func(h *adapterv1.Hello) { h.Keys = []string{task.GetKey()} })
		a.Report(adaptertest.ResultOf(task, 2))
		settle()
		r = show()
		if len(r.GetInDoubt()) != 0 || len(r.GetLateResults()) != 1 || string(r.GetLateResults()[0].GetData()) != `"done"` {
			t.Errorf("an order with a late result is shown as %v", r)
		}
		if o, err := n.operate("o", retry()); err != nil || string(o.GetOutput()) != `"done"` {
			t.Errorf("after the late result, a retry made %v: %v", o, err)
		}
		if r = show(); r.GetTask() != "" || r.GetInput() != nil || r.GetHoldsKey() {
			t.Errorf("a completed order is shown as %v", r)
		}
		_, err = n.admin.ShowFallout(t.Context(), &adminv1.ShowFalloutRequest{Id: "none"})
		wantRefusal(t, err, codes.NotFound, "NO_SUCH_ORDER")
		_, err = n.admin.ShowFallout(t.Context(), &adminv1.ShowFalloutRequest{Id: "/"})
		wantRefusal(t, err, codes.InvalidArgument, "BAD_REQUEST", "id")
	})
}

// Each action does what it says, and the history tells who did it, and why.
func TestOperate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		n.connect(10)
		def := n.deploy("checked", "1.0.0", checked)
		one := n.deploy("one", "1.0.0", callOne)
		in := timestamppb.New(time.Now().Add(time.Hour))
		for i, tt := range []struct {
			definition string
			action     *adminv1.Action
			status     orderv1.Status
			event      string
		}{
			{def, retryWith(`{}`), orderv1.Status_STATUS_FAULTED, `order.retried /do/1/refuse {}`},
			{def, &adminv1.Action{Kind: &adminv1.Action_Skip{Skip: &adminv1.Skip{}}}, orderv1.Status_STATUS_COMPLETED, "order.skipped /do/1/refuse "},
			{
				def, &adminv1.Action{Kind: &adminv1.Action_Skip{Skip: &adminv1.Skip{Task: "/do/1/refuse", Output: []byte(" 7 "), Deadline: in}}},
				orderv1.Status_STATUS_COMPLETED, "task.completed /do/1/refuse 7",
			},
			{
				def, &adminv1.Action{Kind: &adminv1.Action_Restart{Restart: &adminv1.Restart{
					Task: "/do/0/check", Input: []byte(`{}`), NotDone: true, DeadlineAfter: durationpb.New(time.Hour),
				}}},
				orderv1.Status_STATUS_COMPLETED, "order.restarted /do/0/check {}",
			},
			{def, &adminv1.Action{Kind: &adminv1.Action_Cancel{}}, orderv1.Status_STATUS_CANCELLED, "order.cancelled  "},
			{
				def, &adminv1.Action{Kind: &adminv1.Action_Complete{Complete: &adminv1.Complete{Output: []byte("[1]")}}},
				orderv1.Status_STATUS_COMPLETED, "order.completed  [1]",
			},
			{one, &adminv1.Action{Kind: &adminv1.Action_Suspend{}}, orderv1.Status_STATUS_SUSPENDED, "order.suspended  "},
			{one, &adminv1.Action{Kind: &adminv1.Action_Fault{}}, orderv1.Status_STATUS_RUNNING, "stop.requested  "},
			{one, &adminv1.Action{Kind: &adminv1.Action_Complete{}}, orderv1.Status_STATUS_RUNNING, "stop.requested  "},
		} {
			id := fmt.Sprint("o", i)
			n.submit(&orderv1.WorkOrder{Id: id, Definition: tt.definition, Input: []byte(`{"bad":"x"}`)}, accepted)
			settle()
			tt.action.By, tt.action.Reason = "jane", "because"
			o, err := n.operate(id, tt.action)
			if err != nil || o.GetStatus() != tt.status || o.GetId() != id {
				t.Errorf("%v: the order is %v: %v", tt.action, o, err)
			}
			h, err := n.orders.History(t.Context(), &orderv1.HistoryRequest{Id: id})
			if err != nil {
				t.Fatal(err)
			}
			var told []string
			by := false
			for _, ev := range h.GetEvents() {
				told = append(told, fmt.Sprintf("%s %s %s", ev.GetType(), ev.GetTask(), ev.GetData()))
				by = by || ev.GetBy() == "jane" && ev.GetReason() == "because" &&
					ev.GetNotDone() == tt.action.GetRestart().GetNotDone()
			}
			if !slices.Contains(told, tt.event) || !by {
				t.Errorf("%v: the history is %q", tt.action, told)
			}
		}
		if o, err := n.operate("o6", &adminv1.Action{Kind: &adminv1.Action_Resume{}}); err != nil || o.GetStatus() != orderv1.Status_STATUS_RUNNING {
			t.Errorf("a resumed order is %v: %v", o, err)
		}
		for i, tt := range []struct {
			id     string
			action *adminv1.Action
			reason string
		}{
			{"o1", retry(), "ORDER_NOT_FAULTED"},
			{"o0", &adminv1.Action{Kind: &adminv1.Action_Restart{Restart: &adminv1.Restart{Task: "/x"}}}, "WRONG_TASK"},
			{"o0", &adminv1.Action{Kind: &adminv1.Action_Skip{Skip: &adminv1.Skip{Deadline: timestamppb.New(time.Now())}}}, "DEADLINE_PASSED"},
			{"o7", &adminv1.Action{Kind: &adminv1.Action_Complete{}}, "ORDER_ENDING"},
			{"o1", &adminv1.Action{Kind: &adminv1.Action_Suspend{}}, "ORDER_ENDED"},
		} {
			_, err := n.operate(tt.id, tt.action)
			if err == nil || refusalOf(t, err).reason != tt.reason || refusalOf(t, err).code != codes.FailedPrecondition {
				t.Errorf("%d: refused as %v, want %s", i, err, tt.reason)
			}
		}
		long := strings.Repeat("x", 1025)
		for field, act := range map[string]*adminv1.Action{
			"action.kind":                 {},
			"action.by":                   {By: long, Kind: &adminv1.Action_Suspend{}},
			"action.reason":               {Reason: long, Kind: &adminv1.Action_Resume{}},
			"action.retry.input":          retryWith(`{"a":1,"a":1}`),
			"action.retry.deadline":       {Kind: &adminv1.Action_Retry{Retry: &adminv1.Retry{Deadline: &timestamppb.Timestamp{Nanos: -1}}}},
			"action.skip.output":          {Kind: &adminv1.Action_Skip{Skip: &adminv1.Skip{Output: []byte("x")}}},
			"action.skip.deadline":        {Kind: &adminv1.Action_Skip{Skip: &adminv1.Skip{Deadline: year(1600)}}},
			"action.restart.task":         {Kind: &adminv1.Action_Restart{Restart: &adminv1.Restart{}}},
			"action.complete.output":      {Kind: &adminv1.Action_Complete{Complete: &adminv1.Complete{Output: []byte("\xff")}}},
			"action.restart.input":        {Kind: &adminv1.Action_Restart{Restart: &adminv1.Restart{Task: "/", Input: []byte("x")}}},
			"action.retry.deadline_after": {Kind: &adminv1.Action_Retry{Retry: &adminv1.Retry{DeadlineAfter: durationpb.New(-1)}}},
			"action.skip.deadline_after":  {Kind: &adminv1.Action_Skip{Skip: &adminv1.Skip{Deadline: in, DeadlineAfter: durationpb.New(1)}}},
			"action.restart.deadline_after": {Kind: &adminv1.Action_Restart{Restart: &adminv1.Restart{
				Task: "/", DeadlineAfter: &durationpb.Duration{Seconds: 3e11},
			}}},
			"action.restart.deadline": {Kind: &adminv1.Action_Restart{Restart: &adminv1.Restart{Task: "/", Deadline: &timestamppb.Timestamp{Nanos: -1}}}},
		} {
			_, err := n.operate("o0", act)
			wantRefusal(t, err, codes.InvalidArgument, "BAD_REQUEST", field)
		}
		_, err := n.operate("", retry())
		wantRefusal(t, err, codes.InvalidArgument, "BAD_REQUEST", "id")
		_, err = n.operate("none", retry())
		wantRefusal(t, err, codes.NotFound, "NO_SUCH_ORDER")
		n.submit(&orderv1.WorkOrder{Id: "faulted", Definition: one}, accepted)
		if _, err := n.operate("faulted", &adminv1.Action{Reason: "why", Kind: &adminv1.Action_Fault{Fault: &adminv1.Fault{Error: &problemv1.Problem{Title: "T"}}}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // nobody gives it up sooner
		settle()
		const want = `1 test/one:1.0.0 /do/0/a https://holdfast.run/errors/by-hand "T" `
		if got := n.fallout(&adminv1.Selection{Ids: []string{"faulted"}}, 0); !strings.HasPrefix(got, want) {
			t.Errorf("an order faulted by hand is %s", got)
		}
	})
}

// A watch of an order that was reopened goes on until it ends again.
func TestWatchGoesOnAfterAReopening(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		def := n.deploy("one", "1.0.0", callOne)
		a := n.connect(10)
		n.submit(&orderv1.WorkOrder{Id: "o", Definition: def}, accepted)
		failed := adaptertest.ResultOf(a.Tasks(1)[0], 1)
		failed.Outcome, failed.Output, failed.Error = adapterv1.Outcome_OUTCOME_FAILED, nil, &problemv1.Problem{Status: 500}
		a.Report(failed)
		settle()
		watch := func() (types []string) {
			w, err := n.orders.Watch(t.Context(), &orderv1.WatchRequest{Id: "o"})
			if err != nil {
				t.Fatal(err)
			}
			for {
				m, err := w.Recv()
				if err != nil {
					if !errors.Is(err, io.EOF) {
						t.Error(err)
					}
					return types
				}
				for _, ev := range m.GetEvents() {
					types = append(types, ev.GetType())
				}
			}
		}
		if types := watch(); types[len(types)-1] != "order.faulted" {
			t.Errorf("the watch of a faulted order told %v", types)
		}
		if o, err := n.operate("o", retry()); err != nil || o.GetEndedAt() != nil || o.GetError() != nil {
			t.Errorf("a retried order is %v: %v", o, err)
		}
		told := make(chan []string, 1)
		go func() { told <- watch() }()
		settle()
		if len(told) > 0 {
			t.Errorf("the watch of a reopened order ended with %v", <-told)
		}
		a.Report(adaptertest.ResultOf(a.Tasks(1)[0], 2))
		if types := <-told; types[len(types)-1] != "order.completed" || !slices.Contains(types, "order.retried") {
			t.Errorf("the watch of a reopened order told %v", types)
		}
	})
}

// What is done to many orders is told of each, and may be done again.
func TestOperateAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const orders = 1500 // more than one page
		n := start(t)
		def := n.deploy("checked", "1.0.0", checked)
		for i := range orders {
			n.submit(&orderv1.WorkOrder{Id: fmt.Sprint("o", i), Definition: def, Input: []byte(fmt.Sprintf(`{"bad":"%d"}`, i%3))}, ended)
		}
		_, _, err := n.operateAll(&adminv1.OperateAllRequest{Action: retry()})
		wantRefusal(t, err, codes.InvalidArgument, "BAD_REQUEST", "selection")
		_, _, err = n.operateAll(&adminv1.OperateAllRequest{All: true, Selection: &adminv1.Selection{Definition: "x"}})
		wantRefusal(t, err, codes.InvalidArgument, "BAD_REQUEST", "action.kind", "selection.definition")
		skip := &adminv1.Action{By: "jane", Kind: &adminv1.Action_Skip{Skip: &adminv1.Skip{}}}
		first := &adminv1.OperateAllRequest{Action: skip, Selection: &adminv1.Selection{Task: "/do/1/refuse", ErrorTitle: "0"}, DryRun: true}
		if got, selected, err := n.operateAll(first); err != nil || selected != orders/3 || len(got) != 0 {
			t.Errorf("a dry run selects %d, and told %v: %v", selected, got, err)
		}
		if got, selected, err := n.operateAll(&adminv1.OperateAllRequest{Action: skip, All: true, DryRun: true}); err != nil || selected != orders || len(got) != 0 {
			t.Errorf("a dry run for all selects %d, and told %v: %v", selected, got, err)
		}
		first.DryRun = false
		for i, want := range []int{orders / 3, 0} {
			got, _, err := n.operateAll(first)
			if err != nil || len(got) != want {
				t.Errorf("%d: it was told of %d orders, want %d: %v", i, len(got), want, err)
			}
			for id, reason := range got {
				if reason != "" {
					t.Errorf("%s: %s", id, reason)
				}
			}
		}
		named := &adminv1.OperateAllRequest{Action: skip, Selection: &adminv1.Selection{Ids: []string{"o0", "o1", "none"}}}
		got, _, err := n.operateAll(named)
		if want := map[string]string{"o0": "ORDER_NOT_FAULTED", "o1": "", "none": "NO_SUCH_ORDER"}; err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("those named came out as %v: %v", got, err)
		}
		list, err := n.orders.List(t.Context(), &orderv1.ListRequest{Statuses: []orderv1.Status{orderv1.Status_STATUS_COMPLETED}, PageSize: 1000})
		if err != nil || len(list.GetOrders()) != orders/3+1 {
			t.Errorf("%d orders are completed: %v", len(list.GetOrders()), err)
		}
		one := n.deploy("one", "1.0.0", callOne)
		for i := range 3 {
			n.submit(&orderv1.WorkOrder{Id: fmt.Sprint("open", i), Definition: one}, accepted)
		}
		for _, act := range []*adminv1.Action{
			{Kind: &adminv1.Action_Suspend{}}, {Kind: &adminv1.Action_Resume{}}, {Kind: &adminv1.Action_Fault{}},
		} {
			r := &adminv1.OperateAllRequest{Action: act, Selection: &adminv1.Selection{Definition: "test/one"}}
			if got, _, err := n.operateAll(r); err != nil || len(got) != 3 || got["open0"]+got["open1"]+got["open2"] != "" {
				t.Errorf("%v came out as %v: %v", act, got, err)
			}
		}
	})
}
