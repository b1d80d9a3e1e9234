package gateway_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

const raise = "do: [{a: {raise: {error: {type: 'https://example.com/boom', status: 500}}}}]"

// queue returns the queue of an order key, as text.
func (n *node) queue(key string, limit int32) string {
	n.t.Helper()
	settle()
	r, err := n.admin.ShowKey(n.t.Context(), &adminv1.ShowKeyRequest{OrderKey: key, Limit: limit})
	if err != nil {
		n.t.Fatal(err)
	}
	var b strings.Builder
	for _, o := range r.GetOrders() {
		if o.GetAcceptedAt() == nil || (o.GetEndedAt() == nil) != (o.GetStatus() != orderv1.Status_STATUS_FAULTED) {
			n.t.Errorf("order of a key: %v", o)
		}
		fmt.Fprintf(&b, "%d %s %s %s, ", o.GetPosition(), o.GetId(), o.GetDefinition(), strings.TrimPrefix(o.GetStatus().String(), "STATUS_"))
	}
	return b.String() + fmt.Sprint(r.GetWaiting())
}

// The queue of a key is paged through in its order, however short the pages are, and whoever goes meanwhile.
func TestKeyPages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		one := n.deploy("one", "1.0.0", callOne)
		const orders = 23
		for i := range orders {
			n.submit(&orderv1.WorkOrder{Id: fmt.Sprint("o", i), Definition: one, OrderKey: "k"}, accepted)
		}
		ask := func(limit int32, token string) *adminv1.ShowKeyResponse {
			t.Helper()
			r, err := n.admin.ShowKey(t.Context(), &adminv1.ShowKeyRequest{OrderKey: "k", Limit: limit, PageToken: token})
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		for _, limit := range []int32{1, 2, 5, 22, 23, 24} {
			told, pages, token := 0, 0, ""
			for {
				r := ask(limit, token)
				if r.GetWaiting() != orders-1 || len(r.GetOrders()) > int(limit) {
					t.Errorf("a page of %d has %d orders, and says that %d wait", limit, len(r.GetOrders()), r.GetWaiting())
				}
				for _, o := range r.GetOrders() {
					if o.GetPosition() != int64(told) || o.GetId() != fmt.Sprint("o", told) {
						t.Errorf("at %d with a limit of %d is %v", told, limit, o)
					}
					told++
				}
				pages++
				if token = r.GetNextPageToken(); token == "" {
					break
				}
			}
			if want := (orders + int(limit) - 1) / int(limit); told != orders || pages != want {
				t.Errorf("with a limit of %d, %d orders are told on %d pages, want %d", limit, told, pages, want)
			}
		}
		first := ask(5, "")
		for _, id := range []string{"o2", "o7"} {
			if _, err := n.orders.Cancel(t.Context(), &orderv1.CancelRequest{Id: id}); err != nil {
				t.Fatal(err)
			}
		}
		settle()
		second := ask(5, first.GetNextPageToken())
		var told []string
		for _, o := range second.GetOrders() {
			told = append(told, fmt.Sprint(o.GetPosition(), o.GetId()))
		}
		if got := strings.Join(told, " "); got != "5o5 6o6 7o8 8o9 9o10" || second.GetWaiting() != orders-3 {
			t.Errorf("the second page has %s, and says that %d wait", got, second.GetWaiting())
		}
		for _, token := range []string{"!", "AAAA", strings.Repeat("_", 22)} {
			_, err := n.admin.ShowKey(t.Context(), &adminv1.ShowKeyRequest{OrderKey: "k", PageToken: token})
			wantRefusal(t, err, codes.InvalidArgument, "BAD_REQUEST", "page_token")
		}
	})
}

func TestKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		fault := n.deploy("fault", "1.0.0", raise)
		one := n.deploy("one", "1.0.0", callOne)
		for i, def := range []string{fault, one, one} {
			n.submit(&orderv1.WorkOrder{Id: fmt.Sprint("o", i), Definition: def, OrderKey: "k"}, accepted)
		}
		const all = "0 o0 test/fault:1.0.0 FAULTED, 1 o1 test/one:1.0.0 PENDING, 2 o2 test/one:1.0.0 PENDING, 2"
		if got := n.queue("k", 0); got != all {
			t.Errorf("the queue is %s", got)
		}
		if got, want := n.queue("k", 1), "0 o0 test/fault:1.0.0 FAULTED, 2"; got != want {
			t.Errorf("the first of the queue is %s", got)
		}
		if got := n.queue("free", 0); got != "0" {
			t.Errorf("the queue of a free key is %s", got)
		}
		waits := func(id string) string {
			got, err := n.orders.Get(t.Context(), &orderv1.GetRequest{Id: id})
			if err != nil || len(got.GetOrder().GetWaiting()) != 1 {
				t.Fatalf("%s waits for %v, %v", id, got.GetOrder().GetWaiting(), err)
			}
			return got.GetOrder().GetWaiting()[0].GetReason()
		}
		if got, want := waits("o2"), "its turn under its order key: order o0 has faulted, and holds the key"; got != want {
			t.Errorf("o2 waits for %s", got)
		}
		release := func(r *adminv1.ReleaseKeyRequest) (string, error) {
			answer, err := n.admin.ReleaseKey(t.Context(), r)
			settle()
			return answer.GetId(), err
		}
		_, err := release(&adminv1.ReleaseKeyRequest{OrderKey: "k", Id: "o1"})
		wantRefusal(t, err, codes.FailedPrecondition, "KEY_NOT_HELD")
		_, err = release(&adminv1.ReleaseKeyRequest{OrderKey: "other", Id: "o0"})
		wantRefusal(t, err, codes.InvalidArgument, "BAD_REQUEST", "id")
		_, err = release(&adminv1.ReleaseKeyRequest{OrderKey: "k", Id: "none"})
		wantRefusal(t, err, codes.NotFound, "NO_SUCH_ORDER")
		_, err = release(&adminv1.ReleaseKeyRequest{OrderKey: "free"})
		wantRefusal(t, err, codes.NotFound, "NO_SUCH_KEY")
		_, err = release(&adminv1.ReleaseKeyRequest{By: strings.Repeat("x", 1025), Reason: strings.Repeat("x", 1025)})
		wantRefusal(t, err, codes.InvalidArgument, "BAD_REQUEST", "order_key", "by", "reason")
		_, err = n.admin.ShowKey(t.Context(), &adminv1.ShowKeyRequest{Limit: 1001})
		wantRefusal(t, err, codes.InvalidArgument, "BAD_REQUEST", "order_key", "limit")
		_, err = n.adminOrders.Submit(t.Context(), &orderv1.SubmitRequest{Order: &orderv1.WorkOrder{Id: "x", Definition: one}})
		wantRefusal(t, err, codes.FailedPrecondition, "PUBLIC_ONLY")
		if st, err := n.adminOrders.SubmitStream(t.Context()); err == nil {
			_, err = st.Recv()
			wantRefusal(t, err, codes.FailedPrecondition, "PUBLIC_ONLY")
		}
		if got, err := n.adminOrders.Get(t.Context(), &orderv1.GetRequest{Id: "o0"}); err != nil || got.GetOrder().GetId() != "o0" {
			t.Errorf("an order by the administration: %v, %v", got, err)
		}
		if got := n.queue("k", 0); got != all {
			t.Errorf("afterwards the queue is %s", got)
		}

		n.connect(10)
		for range 2 { // the second time names who held it
			if id, err := release(&adminv1.ReleaseKeyRequest{OrderKey: "k", Id: "o0", By: "jane", Reason: "corrected"}); err != nil || id != "o0" {
				t.Errorf("released %q: %v", id, err)
			}
		}
		if got, want := n.queue("k", 0), "0 o1 test/one:1.0.0 RUNNING, 1 o2 test/one:1.0.0 PENDING, 1"; got != want {
			t.Errorf("after the release the queue is %s", got)
		}
		if got, want := waits("o2"), "its turn under its order key: order o1 has it"; got != want {
			t.Errorf("after the release o2 waits for %s", got)
		}
		_, err = release(&adminv1.ReleaseKeyRequest{OrderKey: "k"})
		wantRefusal(t, err, codes.FailedPrecondition, "KEY_NOT_HELD")
		h, err := n.orders.History(t.Context(), &orderv1.HistoryRequest{Id: "o0"})
		if err != nil {
			t.Fatal(err)
		}
		last := h.GetEvents()[len(h.GetEvents())-1]
		if last.GetType() != "key.released" || last.GetBy() != "jane" || last.GetReason() != "corrected" {
			t.Errorf("the history ends with %v", last)
		}
	})
}
