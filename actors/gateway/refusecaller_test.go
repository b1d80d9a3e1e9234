package gateway_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/tokens"
)

// Callers that are refused because of who they are can be found in the audit: at the beginning of a call, within a stream, and when a stream ends because its
// caller may do other things. Who has done something is there by the same name, and what it was known by.
func TestRefusedCallersAreNoted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newAccessFile(t)
		root := f.caller("root", "{role: administrator, namespaces: ['*']}")
		own := f.caller("own", "{role: submitter, namespaces: [test]}")
		adapter := f.caller("x", "{role: adapter, activities: [x.do]}")
		k := f.open()
		n := prepared(t, k, root)
		const orders, adapters = "holdfast.order.v1.OrderService/", "holdfast.adapter.v1.AdapterService/"
		for range 3 {
			wantCode(t, codes.Unauthenticated, try(t.Context(), n.conn, orders+"List", requestIn("test", orders+"List")))
		}
		wantCode(t, codes.Unauthenticated, try(bearing(t.Context(), tokens.New()), n.conn, orders+"Watch", requestIn("test", orders+"Watch")))
		wantCode(t, codes.PermissionDenied, try(bearing(t.Context(), own), n.conn, orders+"Get", requestIn("other", orders+"Get")))
		wantCode(t, codes.PermissionDenied, try(bearing(t.Context(), own), n.conn, orders+"SubmitStream", requestIn("other", orders+"SubmitStream")))
		wantCode(t, codes.PermissionDenied, try(bearing(t.Context(), own), n.conn, adapters+"Connect", requestIn("test", adapters+"Connect")))
		wantCode(t, codes.PermissionDenied, try(bearing(t.Context(), adapter), n.conn, adapters+"Connect", &adapterv1.ConnectRequest{
			Hello: adaptertest.Hello(func(h *adapterv1.Hello) {
				h.Activities = []*adapterv1.Activity{{Name: "do"}, {Name: "granted_to_nobody"}}
			}),
		}))
		// Nothing of the hello stays: it was refused before the engine had it.
		list, err := n.admin.ListActivities(bearing(t.Context(), root), &adminv1.ListActivitiesRequest{})
		if err != nil || slices.ContainsFunc(list.GetActivities(), func(a *adminv1.ActivityStatus) bool {
			return a.GetActivity() != "x.do" || a.GetAdapters() > 0
		}) {
			t.Errorf("activities: %v %v", list, err)
		}
		st, err := n.orders.Watch(bearing(t.Context(), own), &orderv1.WatchRequest{Id: "order-test"})
		if err == nil {
			_, err = st.Recv()
		}
		if err != nil {
			t.Fatal(err)
		}
		text := f.text.String()
		f.text.Reset()
		f.text.WriteString(strings.ReplaceAll(text, "{role: submitter, namespaces: [test]}", "{role: viewer, namespaces: [test]}"))
		f.write()
		if taken, err := k.Reload(); !taken || err != nil {
			t.Fatal(taken, err)
		}
		k.Review(t.Context())
		for err == nil {
			_, err = st.Recv()
		}
		wantCode(t, codes.Unavailable, err)
		time.Sleep(2 * time.Minute)
		got, did := map[string]uint64{}, map[string]bool{}
		for _, e := range n.entriesAs(root) {
			if r := e.GetRefused(); r != nil {
				_, what, _ := strings.Cut(r.GetWhat(), "Service/")
				got[fmt.Sprintf("%s %s: %s", r.GetCaller().GetName(), r.GetCaller().GetKnownBy(), what)] += r.GetCount()
			}
			if b := e.GetBegun(); b != nil {
				did[b.GetCaller().GetName()+" by "+b.GetCaller().GetKnownBy()] = true
			}
		}
		want := map[string]uint64{
			" : List": 3, " : Watch": 1, "own token own: Get": 1, "own token own: SubmitStream": 1, "own token own: Connect": 1,
			"x token x: Connect": 1, "own token own: Watch": 1,
		}
		if !maps.Equal(got, want) {
			t.Errorf("refused: %v, want %v", got, want)
		}
		if !did["root by token root"] || len(did) != 1 {
			t.Errorf("done by %v", did)
		}
	})
}

func wantCode(t *testing.T, want codes.Code, err error) {
	t.Helper()
	if status.Code(err) != want {
		t.Errorf("%v, want %v", err, want)
	}
}
