package gateway_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

func describe(events []*orderv1.HistoryEvent) string {
	var lines []string
	for _, ev := range events {
		line := fmt.Sprintf("%d %s", ev.GetVersion(), ev.GetType())
		if ev.GetTask() != "" {
			line += " " + ev.GetTask()
		}
		if ev.GetKey() != "" {
			line += " " + ev.GetKey()
		}
		if ev.GetAttempt() != 0 {
			line += fmt.Sprintf("#%d %s", ev.GetAttempt(), ev.GetActivity())
		}
		if ev.GetChildId() != "" {
			line += " child " + ev.GetChildId()
		}
		if len(ev.GetData()) > 0 {
			line += " " + string(ev.GetData())
		}
		if ev.GetDue() != nil {
			line += " due " + ev.GetDue().AsTime().Format("15:04:05")
		}
		if ev.GetError() != nil {
			line += " error " + ev.GetError().GetTitle()
		}
		if ev.GetReason() != "" {
			line += " because " + ev.GetReason()
		}
		if ev.GetCompensate() {
			line += " compensating"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// watch reads the history of order a to its end.
func (n *node) watch(from uint64) []*orderv1.HistoryEvent {
	n.t.Helper()
	st, err := n.orders.Watch(n.t.Context(), &orderv1.WatchRequest{Id: "a", FromVersion: from})
	if err != nil {
		n.t.Fatal(err)
	}
	var events []*orderv1.HistoryEvent
	for {
		m, err := st.Recv()
		if errors.Is(err, io.EOF) {
			return events
		}
		if err != nil {
			n.t.Fatal(err)
		}
		events = append(events, m.GetEvents()...)
	}
}

func TestHistory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		def := n.deploy("steps", "1.0.0", `timeout: {after: PT1H}
do:
- skipped: {if: '${ false }', set: {x: 1}}
- retried: {try: [{a: {call: x.do}}], catch: {retry: {delay: PT5S, limit: {attempt: {count: 1}}}}}
- caught: {try: [{b: {raise: {error: {type: 'https://example.com/e', status: 400, title: Oops}}}}], catch: {do: [{c: {set: {y: 1}}}]}}
- waits: {wait: PT10S}
- last: {call: x.do}`)
		a := n.connect(10)
		n.submit(&orderv1.WorkOrder{Id: "a", Definition: def, Input: []byte("1")}, accepted)
		watched := make(chan []*orderv1.HistoryEvent, 2)
		go func() { watched <- n.watch(0) }()
		go func() { watched <- n.watch(8) }()
		task := a.Tasks(1)[0]
		failed := adaptertest.ResultOf(task, 1)
		failed.Outcome, failed.Output, failed.Error = adapterv1.Outcome_OUTCOME_FAILED, nil, &problemv1.Problem{Title: "Busy"}
		a.Report(failed)
		a.Say(&adapterv1.ConnectRequest{Results: []*adapterv1.Result{adaptertest.ResultOf(a.Tasks(1)[0], 2)}, Heartbeat: &adapterv1.Heartbeat{}})
		time.Sleep(9 * time.Second)
		a.Say(&adapterv1.ConnectRequest{Heartbeat: &adapterv1.Heartbeat{}})
		a.Tasks(1)
		if _, err := n.orders.Cancel(t.Context(), &orderv1.CancelRequest{Id: "a", Reason: "enough"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		a.Say(&adapterv1.ConnectRequest{Heartbeat: &adapterv1.Heartbeat{}})
		time.Sleep(10 * time.Second)
		a.Say(&adapterv1.ConnectRequest{Heartbeat: &adapterv1.Heartbeat{}})
		time.Sleep(11 * time.Second)
		const want = `1 order.accepted 1
2 order.started due 01:00:00
3 task.skipped /do/0/skipped
4 task.started /do/1/retried
5 task.started /do/1/retried/try/0/a
6 attempt.scheduled /do/1/retried/try/0/a a:/do/1/retried/try/0/a#1 x.do due 01:00:00
7 attempt.failed /do/1/retried/try/0/a a:/do/1/retried/try/0/a#1 x.do error Busy
8 task.faulted /do/1/retried/try/0/a error Busy
9 retry.scheduled /do/1/retried due 00:00:05 error Busy
10 retry.started /do/1/retried
11 task.started /do/1/retried/try/0/a
12 attempt.scheduled /do/1/retried/try/0/a a:/do/1/retried/try/0/a#2 x.do due 01:00:00
13 attempt.succeeded /do/1/retried/try/0/a a:/do/1/retried/try/0/a#2 x.do "done"
14 task.completed /do/1/retried/try/0/a
15 task.completed /do/1/retried
16 task.started /do/2/caught
17 task.started /do/2/caught/try/0/b
18 task.faulted /do/2/caught/try/0/b error Oops
19 catch.started /do/2/caught error Oops
20 task.started /do/2/caught/catch/do/0/c
21 task.completed /do/2/caught/catch/do/0/c {"y":1}
22 task.completed /do/2/caught
23 task.started /do/3/waits
24 wait.started /do/3/waits due 00:00:15
25 task.completed /do/3/waits
26 task.started /do/4/last
27 attempt.scheduled /do/4/last a:/do/4/last#1 x.do due 01:00:00
28 stop.requested due 01:00:00 because enough
`
		history := func(from uint64, size int32) (*orderv1.HistoryResponse, string) {
			r, err := n.orders.History(t.Context(), &orderv1.HistoryRequest{Id: "a", FromVersion: from, PageSize: size})
			if err != nil {
				t.Fatal(err)
			}
			return r, describe(r.GetEvents())
		}
		if _, got := history(0, 0); got != strings.TrimSpace(want) {
			t.Errorf("the history is\n%s\nwant\n%s", got, want)
		}
		a.Say(&adapterv1.ConnectRequest{Results: []*adapterv1.Result{{
			Seq: 3, OrderId: "a", Partition: task.GetPartition(), Key: "a:/do/4/last", Attempt: 1, Activity: "do",
			Outcome: adapterv1.Outcome_OUTCOME_NOT_DONE,
		}}})
		all := <-watched
		part := <-watched
		if len(all) < len(part) {
			all, part = part, all
		}
		_, got := history(0, 0)
		if !strings.HasSuffix(got, "\n30 order.cancelled because enough") {
			t.Errorf("the history ends with %s", got[len(got)-100:])
		}
		if w := describe(all); w != got {
			t.Errorf("watched\n%s\nwant\n%s", w, got)
		}
		lines := strings.Split(got, "\n")
		if w := describe(part); w != strings.Join(lines[7:], "\n") {
			t.Errorf("watched from version 8\n%s", w)
		}
		// Page by page.
		var paged []string
		for from := uint64(1); from != 0; {
			r, text := history(from, 7)
			paged = append(paged, text)
			from = r.GetNextVersion()
		}
		if strings.Join(paged, "\n") != got || len(paged) != 5 {
			t.Errorf("%d pages are\n%s", len(paged), strings.Join(paged, "\n--\n"))
		}
		if r, _ := history(31, 7); len(r.GetEvents()) != 0 || r.GetNextVersion() != 0 {
			t.Errorf("behind the end are %v", r)
		}
		if got := n.watch(31); len(got) != 0 {
			t.Errorf("watched behind the end: %v", got)
		}
		for _, size := range []int32{-1, 1001} {
			_, err := n.orders.History(t.Context(), &orderv1.HistoryRequest{Id: "a", PageSize: size})
			wantRefusal(t, err, codes.InvalidArgument, "BAD_REQUEST", "page_size")
		}
	})
}

// listed counts the runs of TestList.
var listed atomic.Int64 //nolint:gochecknoglobals // of the process, as is the clock of handles

func TestList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// Handles never go back, not even behind those of other tests, or of this one when it ran before.
		time.Sleep(time.Duration(listed.Add(1)) * 5 * 365 * 24 * time.Hour)
		n := start(t)
		set, set2, wait := n.deploy("set", "1.0.0", nothing), n.deploy("set", "2.0.0", nothing), n.deploy("wait", "1.0.0", waitLong)
		began := time.Now()
		for i := range 30 {
			o := &orderv1.WorkOrder{Id: fmt.Sprintf("o%02d", i), Definition: [...]string{set, set2, wait}[i%3], Labels: map[string]string{"n": fmt.Sprint(i % 2)}}
			if i%3 == 0 {
				o.OrderKey = "k"
			}
			n.submit(o, accepted)
			time.Sleep(time.Second)
		}
		list := func(r *orderv1.ListRequest) string {
			var ids []string
			for {
				page, err := n.orders.List(t.Context(), r)
				if err != nil {
					t.Fatal(err)
				}
				if size := r.GetPageSize(); size > 0 && len(page.GetOrders()) > int(size) {
					t.Errorf("%d orders on a page of %d", len(page.GetOrders()), size)
				}
				for _, o := range page.GetOrders() {
					ids = append(ids, o.GetId()[1:])
				}
				if r.PageToken = page.GetNextPageToken(); r.GetPageToken() == "" {
					return strings.Join(ids, " ")
				}
			}
		}
		at := func(i int) *timestamppb.Timestamp { return timestamppb.New(began.Add(time.Duration(i) * time.Second)) }
		for name, tt := range map[string]struct {
			request *orderv1.ListRequest
			want    string
		}{
			"a page of all": {&orderv1.ListRequest{AcceptedFrom: at(24)}, "29 28 27 26 25 24"},
			"pages":         {&orderv1.ListRequest{PageSize: 2, AcceptedFrom: at(22), AcceptedTo: at(27)}, "26 25 24 23 22"},
			"status":        {&orderv1.ListRequest{Statuses: []orderv1.Status{orderv1.Status_STATUS_WAITING}, PageSize: 3}, "29 26 23 20 17 14 11 08 05 02"},
			"definition":    {&orderv1.ListRequest{Definition: set2, PageSize: 4}, "28 25 22 19 16 13 10 07 04 01"},
			"name":          {&orderv1.ListRequest{Definition: "test/set", AcceptedFrom: at(25)}, "28 27 25"},
			"key":           {&orderv1.ListRequest{OrderKey: "k", AcceptedTo: at(10)}, "09 06 03 00"},
			"label":         {&orderv1.ListRequest{Labels: map[string]string{"n": "1"}, AcceptedTo: at(10)}, "09 07 05 03 01"},
			"all at once": {&orderv1.ListRequest{
				Labels: map[string]string{"n": "1"}, OrderKey: "k", Definition: set, Statuses: []orderv1.Status{orderv1.Status_STATUS_COMPLETED},
			}, "27 21 15 09 03"},
			"none": {&orderv1.ListRequest{OrderKey: "none"}, ""},
		} {
			if got := list(tt.request); got != tt.want {
				t.Errorf("%s: %s, want %s", name, got, tt.want)
			}
		}
		one, err := n.orders.List(t.Context(), &orderv1.ListRequest{OrderKey: "k", PageSize: 1})
		if err != nil {
			t.Fatal(err)
		}
		if o := one.GetOrders()[0]; o.GetDefinition() != set || !maps.Equal(o.GetLabels(), map[string]string{"n": "1"}) ||
			o.GetOrderKey() != "k" || !o.GetAcceptedAt().AsTime().Equal(began.Add(27*time.Second)) || o.GetEndedAt() == nil {
			t.Errorf("listed as %v", o)
		}
		_, err = n.orders.List(t.Context(), &orderv1.ListRequest{
			Statuses: []orderv1.Status{99}, Definition: "set", PageSize: -1, PageToken: "?",
			AcceptedFrom: &timestamppb.Timestamp{Nanos: -1}, AcceptedTo: &timestamppb.Timestamp{Nanos: -1},
		})
		wantRefusal(t, err, codes.InvalidArgument, "BAD_REQUEST", "statuses", "definition", "page_size", "page_token", "accepted_from", "accepted_to")
		for _, r := range []*orderv1.ListRequest{{Definition: "test/set:latest"}, {PageToken: "AAAA"}} {
			_, err = n.orders.List(t.Context(), r)
			if got := refusalOf(t, err); got.code != codes.InvalidArgument || len(got.fields) != 1 {
				t.Errorf("%v was refused as %v", r, got)
			}
		}
	})
}

func TestDefinitions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		ctx := t.Context()
		doc := func(version, title, tasks string) []byte {
			return fmt.Appendf(nil, "document: {dsl: 1.0.3, namespace: test, name: one, version: %s, title: %s}\n%s", version, title, tasks)
		}
		deploy := func(d []byte) (*definitionv1.DeployResponse, error) {
			return n.definitions.Deploy(ctx, &definitionv1.DeployRequest{Document: d})
		}
		first, err := deploy(doc("1.0.0", "First", callOne))
		if err != nil {
			t.Fatal(err)
		}
		d := first.GetDefinition()
		if d.GetNamespace() != "test" || d.GetName() != "one" || d.GetVersion() != "1.0.0" || d.GetTitle() != "First" ||
			!slices.Equal(d.GetActivities(), []string{"x.do"}) || len(d.GetHash()) != 32 || len(first.GetWarnings()) != 1 {
			t.Errorf("deployed as %v", first)
		}
		n.connect(0)
		time.Sleep(time.Second)
		again, err := deploy(doc("1.0.0", "First", callOne))
		if err != nil || !again.GetDefinition().GetDeployedAt().AsTime().Equal(d.GetDeployedAt().AsTime()) || len(again.GetWarnings()) != 0 {
			t.Errorf("deployed again: %v, %v", again, err)
		}
		_, err = deploy(doc("1.0.0", "Other", callOne))
		wantRefusal(t, err, codes.AlreadyExists, "DEFINITION_TAKEN")
		_, err = deploy([]byte("document: {dsl: 1.0.3}\ndo: []"))
		if got := refusalOf(t, err); got.code != codes.InvalidArgument || got.reason != "BAD_DEFINITION" || len(got.fields) < 2 {
			t.Errorf("a bad document was refused as %v", got)
		}
		for _, v := range []string{"1.10.0", "1.9.0", "2.0.0-rc.1"} {
			if _, err := deploy(doc(v, "Next", callOne)); err != nil {
				t.Fatal(err)
			}
		}
		for ref, want := range map[string]string{"test/one": "1.10.0", "test/one:latest": "1.10.0", "test/one:2.0.0-rc.1": "2.0.0-rc.1"} {
			g, err := n.definitions.Get(ctx, &definitionv1.GetRequest{Definition: ref})
			if err != nil || g.GetDefinition().GetVersion() != want || len(g.GetDefinition().GetDocument()) == 0 {
				t.Errorf("%s is %v, %v", ref, g, err)
			}
		}
		_, err = n.definitions.Get(ctx, &definitionv1.GetRequest{Definition: "one"})
		wantRefusal(t, err, codes.InvalidArgument, "BAD_REQUEST", "definition")
		_, err = n.definitions.Get(ctx, &definitionv1.GetRequest{Definition: "test/two"})
		wantRefusal(t, err, codes.NotFound, "NO_SUCH_DEFINITION")

		var versions []string
		r := &definitionv1.ListRequest{PageSize: 3}
		for {
			page, err := n.definitions.List(ctx, r)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range page.GetDefinitions() {
				versions = append(versions, d.GetVersion())
				if len(d.GetDocument()) > 0 {
					t.Error("a document in a list")
				}
			}
			if r.PageToken = page.GetNextPageToken(); r.GetPageToken() == "" {
				break
			}
		}
		if got := strings.Join(versions, " "); got != "1.0.0 1.9.0 1.10.0 2.0.0-rc.1" {
			t.Errorf("listed %s", got)
		}
		if page, err := n.definitions.List(ctx, &definitionv1.ListRequest{Namespace: "other"}); err != nil || len(page.GetDefinitions()) != 0 {
			t.Errorf("listed %v, %v", page, err)
		}
		_, err = n.definitions.List(ctx, &definitionv1.ListRequest{PageSize: 5000})
		wantRefusal(t, err, codes.InvalidArgument, "BAD_REQUEST", "page_size")
		_, err = n.definitions.List(ctx, &definitionv1.ListRequest{PageToken: "-1"})
		wantRefusal(t, err, codes.InvalidArgument, "BAD_REQUEST", "page_token")

		v, err := n.definitions.Validate(ctx, &definitionv1.ValidateRequest{Document: doc("3.0.0", "x", callOne)})
		if err != nil || v.GetDefinition() != "test/one:3.0.0" || len(v.GetMistakes()) != 0 {
			t.Errorf("validated: %v, %v", v, err)
		}
		v, err = n.definitions.Validate(ctx, &definitionv1.ValidateRequest{Document: []byte("do: 5")})
		if err != nil || len(v.GetMistakes()) == 0 {
			t.Errorf("validated: %v, %v", v, err)
		}
	})
}

// Who watches an order to which nothing happens learns that the node is there.
func TestWatchIsTakenAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		n.submit(&orderv1.WorkOrder{Id: "a", Definition: n.deploy("wait", "1.0.0", waitLong)}, orderv1.Wait_WAIT_ACCEPTED)
		settle()
		watch, err := n.orders.Watch(t.Context(), &orderv1.WatchRequest{Id: "a", FromVersion: 100})
		if err != nil {
			t.Fatal(err)
		}
		submit, err := n.orders.SubmitStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for name, st := range map[string]grpc.ClientStream{"Watch": watch, "SubmitStream": submit} {
			if header, err := st.Header(); err != nil || header == nil {
				t.Errorf("%s: %v, %v", name, header, err)
			}
		}
	})
}
