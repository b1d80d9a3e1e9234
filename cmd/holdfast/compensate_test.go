package main

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

func TestOrderCancelWithCompensation(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var asked []bool
	f.orders.cancel = func(r *orderv1.CancelRequest) (*orderv1.CancelResponse, error) {
		asked = append(asked, r.GetCompensate())
		if r.GetId() != orderID || r.GetReason() != "customer left" {
			t.Errorf("asked for %v", r)
		}
		return &orderv1.CancelResponse{Order: running()}, nil
	}
	f.run("order", "cancel", orderID, "--reason", "customer left", "-o", "json").want(t, 0, runningJSON, "")
	f.run("order", "cancel", orderID, "--reason", "customer left", "-o", "json", "--compensate").want(t, 0, runningJSON, "")
	if !slices.Equal(asked, []bool{false, true}) {
		t.Errorf("compensation was asked for: %v", asked)
	}
}

func TestFalloutCancelWithCompensation(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var asked []bool
	ask := func(a *adminv1.Action) {
		if a.GetCancel() == nil || a.GetReason() != "wrong" {
			t.Errorf("the action is %v", a)
		}
		asked = append(asked, a.GetCancel().GetCompensate())
	}
	f.admin.operate = func(r *adminv1.OperateRequest) (*adminv1.OperateResponse, error) {
		ask(r.GetAction())
		if r.GetId() != orderID {
			return nil, failed(codes.FailedPrecondition, "order has faulted in a compensation",
				&errdetails.ErrorInfo{Reason: "COMPENSATING", Domain: "holdfast"})
		}
		return &adminv1.OperateResponse{Order: running()}, nil
	}
	f.admin.operateAll = func(r *adminv1.OperateAllRequest) (*adminv1.OperateAllResponse, error) {
		ask(r.GetAction())
		return &adminv1.OperateAllResponse{Selected: 1, Outcomes: []*adminv1.Outcome{{Id: "a"}}}, nil
	}
	f.run("fallout", "cancel", orderID, "--reason", "wrong", "-o", "json").want(t, 0, runningJSON, "")
	f.run("fallout", "cancel", orderID, "--reason", "wrong", "--compensate", "-o", "json").want(t, 0, runningJSON, "")
	f.run("fallout", "cancel", "other", "--reason", "wrong", "--compensate").want(t, exitError, "",
		"holdfast: order has faulted in a compensation (FAILED_PRECONDITION)\n  reason: COMPENSATING\n")
	f.stdin = "y\n"
	f.run("fallout", "cancel", "--task", "/do/0/a", "--reason", "wrong", "--compensate").want(t, 0,
		"ID  RESULT\na   accepted\n", "1 order is selected. Go on? [y/N] 1 accepted, 0 refused\n")
	if want := []bool{false, true, true, true, true}; !slices.Equal(asked, want) {
		t.Errorf("compensation was asked for: %v, want %v", asked, want)
	}
}

// childOrder is an order that another one runs.
func childOrder() *orderv1.Order {
	o := ended(orderv1.Status_STATUS_FAULTED)
	o.ParentId, o.AwaitedIds = "p-1", []string{"c-1", "c-2"}
	return o
}

func TestParentOfAnOrder(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.holds(childOrder())
	got := f.run("order", "get", orderID)
	if !strings.Contains(got.stdout, "order key    k-1\nparent       p-1\nwaits for    c-1, c-2\naccepted at") {
		t.Errorf("order get:\n%s", got.stdout)
	}
	f.run("order", "get", orderID, "-o", "json").want(t, 0,
		strings.Replace(faultedJSON, `"order_key":"k-1",`, `"order_key":"k-1","parent_id":"p-1","awaited_ids":["c-1","c-2"],`, 1), "")
	f.orders.list = func(*orderv1.ListRequest) (*orderv1.ListResponse, error) {
		return &orderv1.ListResponse{Orders: []*orderv1.Order{childOrder()}}, nil
	}
	if got := f.run("order", "list", "-o", "json"); !strings.Contains(got.stdout, `"parent_id":"p-1"`) {
		t.Errorf("order list:\n%s", got.stdout)
	}
}

func TestHistoryOfCompensationsAndChildren(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.orders.history = func(*orderv1.HistoryRequest) (*orderv1.HistoryResponse, error) {
		return &orderv1.HistoryResponse{Events: []*orderv1.HistoryEvent{
			{Version: 1, At: at(0), Type: "child.scheduled", Task: "/do/1/kid", ChildId: "k-1", Data: []byte(`{"n":1}`)},
			{Version: 2, At: at(0), Type: "child.faulted", Task: "/do/1/kid", ChildId: "k-1", Error: &problemv1.Problem{Title: "Refused"}},
			{Version: 3, At: at(0), Type: "order.cancelling", Reason: "wrong", By: "jane", Compensate: true},
			{Version: 4, At: at(0), Type: "compensation.started", Task: "/do/0/a", Key: "o:/do/0/a"},
			{Version: 5, At: at(0), Type: "parent.told"},
		}}, nil
	}
	const when = "2026-01-02T03:04:05.678Z"
	f.run("order", "history", orderID).want(t, 0, ""+
		"VERSION  AT                        TYPE                  TASK       ATTEMPT  DETAIL\n"+
		"1        "+when+"  child.scheduled       /do/1/kid           order k-1  {\"n\":1}\n"+
		"2        "+when+"  child.faulted         /do/1/kid           order k-1  Refused\n"+
		"3        "+when+"  order.cancelling                          wrong  by jane  with compensation\n"+
		"4        "+when+"  compensation.started  /do/0/a             key o:/do/0/a\n"+
		"5        "+when+"  parent.told\n", "")
	f.run("order", "history", orderID, "-o", "json").want(t, 0, ""+
		`{"version":1,"at":"`+when+`","type":"child.scheduled","task":"/do/1/kid","attempt":0,"child_id":"k-1","data":{"n":1}}`+"\n"+
		`{"version":2,"at":"`+when+`","type":"child.faulted","task":"/do/1/kid","attempt":0,"child_id":"k-1",`+
		`"error":{"type":"","title":"Refused","status":0,"detail":"","instance":""}}`+"\n"+
		`{"version":3,"at":"`+when+`","type":"order.cancelling","task":"","attempt":0,"reason":"wrong","by":"jane","compensate":true}`+"\n"+
		`{"version":4,"at":"`+when+`","type":"compensation.started","task":"/do/0/a","attempt":0,"key":"o:/do/0/a"}`+"\n"+
		`{"version":5,"at":"`+when+`","type":"parent.told","task":"","attempt":0}`+"\n", "")
}

func TestFalloutShowsWhatACancellationWouldUndo(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.admin.show = func(*adminv1.ShowFalloutRequest) (*adminv1.ShowFalloutResponse, error) {
		return &adminv1.ShowFalloutResponse{Order: childOrder(), Task: "/do/1/b", Compensable: []*adminv1.Compensable{
			{Task: "/do/1/b", Key: "o:/do/1/b", InDoubt: true}, {Task: "/do/0/a", Key: "o:/do/0/a"},
		}}, nil
	}
	got := f.run("fallout", "show", orderID)
	for _, want := range []string{
		"parent       p-1\n", "would undo   /do/1/b, key o:/do/1/b, in doubt\nwould undo   /do/0/a, key o:/do/0/a\n",
	} {
		if got.status != 0 || !strings.Contains(got.stdout, want) {
			t.Errorf("fallout show misses %q:\n%s", want, got.stdout)
		}
	}
	got = f.run("fallout", "show", orderID, "-o", "json")
	if got.status != 0 || !strings.HasSuffix(got.stdout, `"compensable":[{"task":"/do/1/b","key":"o:/do/1/b","in_doubt":true},`+
		`{"task":"/do/0/a","key":"o:/do/0/a","in_doubt":false}],"more_in_doubt":0,"more_late_results":0,"more_compensable":0}`+"\n") {
		t.Errorf("fallout show -o json:\n%s", got.stdout)
	}
}
