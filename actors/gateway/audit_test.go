package gateway_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/holdfast-run/holdfast/actors/audit"
	"github.com/holdfast-run/holdfast/actors/gateway"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/auditv1"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// unaudited are the methods whose calls are not noted, and why.
var unaudited = map[string]string{
	"Submit": "the journal has orders", "SubmitStream": "the journal has orders", "Connect": "the histories have what adapters do",
	"Validate": "it keeps nothing",
	"Get":      "it reads", "List": "it reads", "WatchList": "it reads", "Watch": "it reads", "History": "it reads", "WatchOwners": "it reads",
	"ShowKey": "it reads", "ListFallout": "it reads", "ShowFallout": "it reads", "ListActivities": "it reads", "Status": "it reads",
	"ShowCluster": "it reads", "ListShards": "it reads", "ShowLevel": "it reads", "ShowLoss": "it reads", "ListAudit": "it reads",
	"ShowAuditHead": "it reads", "ListSchedules": "it reads",
}

// Each method is either noted or known not to change anything: a new one can't be forgotten.
func TestEachMethodIsNotedOrNot(t *testing.T) {
	t.Parallel()
	for _, file := range []protoreflect.FileDescriptor{
		orderv1.File_holdfast_order_v1_order_proto, definitionv1.File_holdfast_definition_v1_definition_proto,
		adminv1.File_holdfast_admin_v1_admin_proto, adapterv1.File_holdfast_adapter_v1_adapter_proto,
	} {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				name := string(service.Methods().Get(j).Name())
				is := gateway.IsAudited(fmt.Sprintf("/%s/%s", service.FullName(), name))
				if _, not := unaudited[name]; is == not {
					t.Errorf("%s of %s: it is noted: %t, and known to change nothing: %t", name, service.FullName(), is, not)
				}
			}
		}
	}
}

// entries are all of the audit.
func (n *node) entries() []*auditv1.Entry {
	n.t.Helper()
	return n.entriesAs("")
}

// entriesAs are all of the audit, as who has a token sees it.
func (n *node) entriesAs(token string) (all []*auditv1.Entry) {
	n.t.Helper()
	v := audit.NewVerifier(audit.Checks{})
	for r := (&adminv1.ListAuditRequest{PageSize: 3}); ; {
		page, err := n.admin.ListAudit(bearing(n.t.Context(), token), r)
		if err != nil {
			n.t.Fatal(err)
		}
		for _, stored := range page.GetEntries() {
			v.Add(stored)
			e, _, err := audit.Read(stored)
			if err != nil {
				n.t.Fatal(err)
			}
			all = append(all, e)
		}
		if r.PageToken = page.GetNextPageToken(); r.GetPageToken() == "" {
			break
		}
	}
	if r := v.Report(); r.ProblemCount > 0 {
		n.t.Errorf("the chain: %q", r.Problems)
	}
	return all
}

var hashes = regexp.MustCompile(`sha256 [0-9a-f]{64}`)

// noted is the audit in words.
func (n *node) noted() string {
	n.t.Helper()
	var b strings.Builder
	for _, e := range n.entries() {
		switch k := e.GetKind().(type) {
		case *auditv1.Entry_Begun:
			x := k.Begun
			_, method, _ := strings.Cut(x.GetMethod()[1:], "/")
			fmt.Fprintf(&b, "%s by %q why %q", method, x.GetBy(), x.GetReason())
			for _, f := range x.GetFields() {
				fmt.Fprintf(&b, " %s=%s", f.GetName(), hashes.ReplaceAllString(f.GetValue(), "HASH"))
			}
			if x.GetCaller().GetAddress() == "" {
				b.WriteString(" from nowhere")
			}
		case *auditv1.Entry_Ended:
			fmt.Fprintf(&b, "  ended %d: %d %s", k.Ended.GetBegun(), k.Ended.GetCode(), k.Ended.GetReason())
			for _, c := range k.Ended.GetChanges() {
				fmt.Fprintf(&b, " [%s: %q → %q]", c.GetWhat(), c.GetBefore(), c.GetAfter())
			}
		case *auditv1.Entry_Opened:
			b.WriteString("opened")
		case *auditv1.Entry_Refused:
			fmt.Fprintf(&b, "refused %s", k.Refused)
		default:
			fmt.Fprintf(&b, "%T", k)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// What operators and clients change is noted: who, what, why, before and after, and what came of it.
func TestChangesAreNoted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		ctx := t.Context()
		def := n.deploy("wait", "1.0.0", waitLong)
		id := n.submit(&orderv1.WorkOrder{Id: "o-1", Definition: def}, orderv1.Wait_WAIT_ACCEPTED).GetId()
		try := func(_ any, err error) {
			t.Helper()
			if err != nil {
				t.Error(err)
			}
		}
		try(n.admin.LimitActivity(ctx, &adminv1.LimitActivityRequest{Activity: "a.b", RatePerSecond: 5, By: "jane", Reason: "slow"}))
		try(n.admin.LimitActivity(ctx, &adminv1.LimitActivityRequest{Activity: "a.b", Concurrency: 2, By: "joe"}))
		try(n.definitions.Retire(ctx, &definitionv1.RetireRequest{Definition: def, By: "jane"}))
		try(n.admin.Operate(ctx, &adminv1.OperateRequest{Id: id, Action: &adminv1.Action{
			By: "jane", Reason: "wrong", Kind: &adminv1.Action_Complete{Complete: &adminv1.Complete{Output: []byte(`"secret"`)}},
		}}))
		_, err := n.adminOrders.Cancel(ctx, &orderv1.CancelRequest{Id: "none", By: "joe"})
		if status.Code(err) != codes.NotFound {
			t.Error(err)
		}
		all, err := n.admin.OperateAll(ctx, &adminv1.OperateAllRequest{
			Selection: &adminv1.Selection{Ids: []string{id, "x"}, Statuses: []orderv1.Status{orderv1.Status_STATUS_FAULTED}},
			Action: &adminv1.Action{By: "jane", Kind: &adminv1.Action_Retry{Retry: &adminv1.Retry{
				DeadlineAfter: durationpb.New(time.Hour),
			}}},
		})
		for err == nil {
			_, err = all.Recv()
		}
		_, err = n.admin.Operate(ctx, &adminv1.OperateRequest{Id: id, DryRun: true, Action: &adminv1.Action{
			Kind: &adminv1.Action_Suspend{Suspend: &adminv1.Suspend{}},
		}})
		if err == nil {
			t.Error("an order that has ended was suspended, on trial")
		}
		want := `opened
Deploy by "" why "" document=92 bytes, HASH
  ended 2: 0  [definition: "" → "test/wait:1.0.0"]
LimitActivity by "jane" why "slow" activity=a.b rate_per_second=5
  ended 4: 0  [limit of a.b: "0 a second, 0 at a time (0: any)" → "5 a second, 0 at a time (0: any)"]
LimitActivity by "joe" why "" activity=a.b concurrency=2
  ended 6: 0  [limit of a.b: "5 a second, 0 at a time (0: any)" → "0 a second, 2 at a time (0: any)"]
Retire by "jane" why "" definition=test/wait:1.0.0
  ended 8: 0  [definition test/wait:1.0.0: "in use" → "retired"]
Operate by "jane" why "wrong" action.complete.output=8 bytes, HASH id=ID
  ended 10: 0  [status of ID: "STATUS_WAITING" → "STATUS_COMPLETED"]
Cancel by "joe" why "" id=none
  ended 12: 5 NO_SUCH_ORDER
OperateAll by "jane" why "" action.retry.deadline_after=1h0m0s selection.ids.0=ID selection.ids.1=x selection.statuses.0=STATUS_FAULTED
  ended 14: 0  [orders that it was done to: "" → "0"] [orders that were not in a state for it: "" → "1"] [orders of which it was not told any more: "" → "0"]
`
		if got := strings.ReplaceAll(n.noted(), id, "ID"); got != want {
			t.Errorf("the audit tells\n%s\nwant\n%s", got, want)
		}
		head, err := n.admin.ShowAuditHead(ctx, &adminv1.ShowAuditHeadRequest{})
		heads, parseErr := audit.ParseHeads([]byte(head.GetHead()))
		if err != nil || parseErr != nil || len(heads) != 1 || heads[0].Sequence != uint64(len(n.entries())) {
			t.Errorf("the head is %q, %v, %v", head.GetHead(), err, parseErr)
		}
	})
}

// unnoted is a journal to whose audit nothing can be added from some entry on.
type unnoted struct {
	persistence.Journal

	from uint64
	// opened: entries can be added all the same.
	opened atomic.Bool
}

func (j *unnoted) AppendAudit(ctx context.Context, chain string, first uint64, entries [][]byte) error {
	if first >= j.from && !j.opened.Load() {
		return persistence.ErrUnavailable
	}
	return j.Journal.AppendAudit(ctx, chain, first, entries)
}

// What can't be noted is not done; of what was done, and can't be noted as done, the caller is told that it may have been.
func TestUnnoted(t *testing.T) {
	t.Parallel()
	for from, did := range map[uint64]bool{2: false, 3: true} {
		synctest.Test(t, func(t *testing.T) {
			n := start(t, func(s *settings) {
				s.wrap = func(j persistence.Journal) persistence.Journal { return &unnoted{Journal: j, from: from} }
			})
			synctest.Wait()
			_, err := n.admin.LimitActivity(t.Context(), &adminv1.LimitActivityRequest{Activity: "a.b", Concurrency: 1})
			if r := refusalOf(t, err); status.Code(err) != codes.Unavailable || r.reason != "JOURNAL_UNAVAILABLE" {
				t.Errorf("a limit that can't be noted: %v", err)
			}
			if strings.Contains(err.Error(), "may have been done") != did || strings.Contains(err.Error(), "nothing was done") == did {
				t.Errorf("the caller is told %v", err)
			}
			list, err := n.admin.ListActivities(t.Context(), &adminv1.ListActivitiesRequest{})
			if err != nil || (len(list.GetActivities()) > 0) != did {
				t.Errorf("activities: %v, %v", list, err)
			}
		})
	}
}

// accepting is a desk at which a loss is accepted, without which the journal takes no notes.
type accepting struct {
	desk

	journal *unnoted
}

func (a *accepting) Accept(ctx context.Context, confirm string) (uint64, error) {
	generation, err := a.desk.Accept(ctx, confirm)
	if err == nil {
		time.AfterFunc(time.Second, func() { a.journal.opened.Store(true) })
	}
	return generation, err
}

// A loss is accepted though the journal takes no note before: it is noted as soon as it does.
func TestLossIsNotedAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &accepting{}
		n := start(t, func(s *settings) {
			s.wrap = func(j persistence.Journal) persistence.Journal {
				a.journal = &unnoted{Journal: j, from: 2}
				return a.journal
			}
		})
		synctest.Wait()
		n.server.LoseBy(a)
		a.refusal = unwanted{"NO_SUCH_LOSS", "confirm"}
		if _, err := n.admin.AcceptLoss(t.Context(), &adminv1.AcceptLossRequest{Confirm: "other"}); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("another loss: %v", err)
		}
		a.refusal = nil
		if r, err := n.admin.AcceptLoss(t.Context(), &adminv1.AcceptLossRequest{Confirm: "word"}); err != nil || r.GetGeneration() != 7 {
			t.Errorf("a loss: %v, %v", r, err)
		}
		want := "opened\nAcceptLoss by \"\" why \"\" confirm=word\n  ended 2: 0  [generation: \"\" → \"7\"]\n"
		if got := n.noted(); got != want {
			t.Errorf("noted is\n%s\nwant\n%s", got, want)
		}
	})
}

// What an adapter says of tasks that it was not given is refused, and counted.
func TestRefusedAdapters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		a := n.connect(1)
		for i := range 5 {
			a.Say(&adapterv1.ConnectRequest{Results: []*adapterv1.Result{{
				Seq: uint64(i + 1), Key: "k", OrderId: "o", Activity: "other.do", Outcome: adapterv1.Outcome_OUTCOME_SUCCEEDED, Output: []byte("1"),
			}}})
		}
		synctest.Wait()
		time.Sleep(2 * time.Minute)
		count := uint64(0)
		for _, e := range n.entries() {
			if r := e.GetRefused(); r != nil {
				count += r.GetCount()
				if r.GetWhat() != "result of adapter x" || r.GetWhy() == "" {
					t.Errorf("refused: %v", r)
				}
			}
		}
		if count != 5 {
			t.Errorf("%d were counted in %s", count, n.noted())
		}
	})
}

func TestPagesOfTheAudit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		for _, token := range []string{"x", "AAAA", "!"} {
			if _, err := n.admin.ListAudit(t.Context(), &adminv1.ListAuditRequest{PageToken: token}); status.Code(err) != codes.InvalidArgument {
				t.Errorf("token %q: %v", token, err)
			}
		}
		if page, err := n.admin.ListAudit(t.Context(), &adminv1.ListAuditRequest{Chain: "none"}); err != nil || len(page.GetEntries()) > 0 {
			t.Errorf("of a chain that is not there: %v, %v", page, err)
		}
	})
}
