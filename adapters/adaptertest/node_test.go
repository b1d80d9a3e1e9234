package adaptertest_test

import (
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder takes the place of a test that is to fail.
type recorder struct {
	testing.TB

	errors   []string
	cleanups []func()
}

func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

// dial opens a stream to a node by hand.
func dial(t *testing.T, n *adaptertest.Node, first *adapterv1.ConnectRequest) *adaptertest.Stream {
	t.Helper()
	conn, err := grpc.NewClient(n.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return adaptertest.Dial(t, conn, first)
}

func hello() *adapterv1.Hello {
	return adaptertest.Hello(func(h *adapterv1.Hello) { h.Keys, h.Activities[0].Name = []string{"k"}, "work" })
}

func TestWrongHellosAreRefused(t *testing.T) {
	t.Parallel()
	for want, m := range map[string]*adapterv1.ConnectRequest{
		"no hello":        {Drain: true},
		"protocol 2":      {Hello: change(func(h *adapterv1.Hello) { h.Protocol = 2 })},
		"is not a name":   {Hello: change(func(h *adapterv1.Hello) { h.Adapter = "a.b" })},
		"process must":    {Hello: change(func(h *adapterv1.Hello) { h.Process = "" })},
		"ledger is empty": {Hello: change(func(h *adapterv1.Hello) { h.Ledger = "" })},
		"no activities":   {Hello: change(func(h *adapterv1.Hello) { h.Activities = nil })},
		"offered twice":   {Hello: change(func(h *adapterv1.Hello) { h.Activities = append(h.GetActivities(), h.GetActivities()...) })},
	} {
		test := &recorder{TB: t}
		n := adaptertest.Start(test)
		if err := dial(t, n, m).End(); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
		test.cleanups[0]()
		if len(test.errors) != 1 || !strings.Contains(test.errors[0], want) {
			t.Errorf("%q: the test failed with %q", want, test.errors)
		}
	}
}

func change(f func(*adapterv1.Hello)) *adapterv1.Hello {
	h := hello()
	f(h)
	return h
}

func TestABrokenProtocolFailsTheTest(t *testing.T) {
	t.Parallel()
	result := func(r *adapterv1.Result) *adapterv1.ConnectRequest {
		r.Key = "k"
		return &adapterv1.ConnectRequest{Results: []*adapterv1.Result{r}}
	}
	succeeded, failed := adapterv1.Outcome_OUTCOME_SUCCEEDED, adapterv1.Outcome_OUTCOME_FAILED
	for want, messages := range map[string][]*adapterv1.ConnectRequest{
		"fell from 2 to 1": {
			{Credits: []*adapterv1.Credit{{Activity: "work", Total: 2}}}, {Credits: []*adapterv1.Credit{{Activity: "work", Total: 1}}},
		},
		"credit for activity":     {{Credits: []*adapterv1.Credit{{Activity: "play", Total: 2}}}},
		"revocation for activity": {{Revocations: []*adapterv1.Revocation{{Activity: "play", Count: 2}}}},
		"number was that of":      {result(&adapterv1.Result{Seq: 1, Outcome: succeeded}), result(&adapterv1.Result{Seq: 1, Outcome: succeeded, Attempt: 2})},
		"is not JSON":             {result(&adapterv1.Result{Seq: 1, Outcome: succeeded, Output: []byte("x")})},
		"more than 20":            {result(&adapterv1.Result{Seq: 1, Outcome: succeeded, Output: []byte(`"1234567890123456789"`)})},
		"and there is one":        {result(&adapterv1.Result{Seq: 1, Outcome: succeeded, Output: []byte("7"), Error: &problemv1.Problem{}})},
		"no error says why":       {result(&adapterv1.Result{Seq: 1, Outcome: failed})},
		"no outcome":              {result(&adapterv1.Result{Seq: 1})},
		"unknown outcome":         {result(&adapterv1.Result{Seq: 1, Outcome: 99})},
		"begin with 1":            {result(&adapterv1.Result{Outcome: succeeded})},
	} {
		test := &recorder{TB: t}
		n := adaptertest.Start(test, adaptertest.Options{MaxOutput: 20})
		stream := dial(t, n, &adapterv1.ConnectRequest{Hello: hello()})
		for _, m := range messages {
			stream.Say(m)
		}
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		_ = stream.End()
		test.cleanups[0]()
		if len(test.errors) != 1 || !strings.Contains(test.errors[0], want) {
			t.Errorf("%q: the test failed with %q", want, test.errors)
		}
	}
}

// What is executed without a confirmation, or beside what is to be alone, fails the test.
func TestExecutionsThatNobodyAllowedFailTheTest(t *testing.T) {
	t.Parallel()
	begun := func(key string, attempt uint32) *adapterv1.ConnectRequest {
		return &adapterv1.ConnectRequest{Begun: []*adapterv1.Begun{{Key: key, Attempt: attempt}}}
	}
	result := func(key string, outcome adapterv1.Outcome) *adapterv1.ConnectRequest {
		return &adapterv1.ConnectRequest{Results: []*adapterv1.Result{{
			Seq: 1, Key: key, OrderId: "o", Activity: "work", Attempt: 1, Outcome: outcome, Error: &problemv1.Problem{},
		}}}
	}
	for want, messages := range map[string][]*adapterv1.ConnectRequest{
		"executed before that was confirmed": {result("awaits", adapterv1.Outcome_OUTCOME_SUCCEEDED)},
		"before that was confirmed":          {result("awaits", adapterv1.Outcome_OUTCOME_IN_DOUBT)},
		"nobody asked for that":              {begun("plain", 1)},
		"attempt 1 was sent last":            {begun("awaits", 2)},
		"neither sent on this stream":        {begun("unknown", 1)},
		"its key was neither sent":           {result("unknown", adapterv1.Outcome_OUTCOME_NOT_DONE)},
		"progress of key":                    {{Heartbeat: &adapterv1.Heartbeat{Progress: []*adapterv1.Progress{{Key: "unknown"}}}}},
		`executing "awaits"`:                 {begun("awaits", 1), begun("alone", 1)},
		`executing "alone"`:                  {begun("alone", 1), begun("awaits", 1)},
		"":                                   {begun("awaits", 1), result("awaits", adapterv1.Outcome_OUTCOME_SUCCEEDED), begun("alone", 1)},
	} {
		test := &recorder{TB: t}
		n := adaptertest.Start(test)
		stream := dial(t, n, &adapterv1.ConnectRequest{Hello: hello(), Credits: []*adapterv1.Credit{{Activity: "work", Total: 3}}})
		for _, task := range []*adapterv1.Task{
			{Key: "awaits", AwaitConfirmation: true}, {Key: "alone", Alone: true}, {Key: "plain"},
		} {
			task.OrderId, task.Activity, task.Attempt = "o", "work", 1
			n.Send(t.Context(), task)
		}
		for _, m := range messages {
			stream.Say(m)
		}
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		_ = stream.End()
		test.cleanups[0]()
		switch {
		case want == "" && len(test.errors) > 0:
			t.Errorf("the test failed with %q", test.errors)
		case want != "" && (len(test.errors) != 1 || !strings.Contains(test.errors[0], want)):
			t.Errorf("%q: the test failed with %q", want, test.errors)
		}
	}
}

func TestTheNodeKeepsToCredits(t *testing.T) {
	t.Parallel()
	n := adaptertest.Start(t)
	stream := dial(t, n, &adapterv1.ConnectRequest{Hello: hello(), Credits: []*adapterv1.Credit{{Activity: "work", Total: 2}}})
	if w := stream.Hear().GetWelcome(); w.GetNode() != "test-node" || w.GetHeartbeatMs() != 1000 {
		t.Errorf("%v", w)
	}
	task := n.Task("work", map[string]int{"a": 1})
	n.Send(t.Context(), task)
	if got := stream.Hear().GetTasks()[0]; got.GetKey() != task.GetKey() || string(got.GetInput()) != `{"a":1}` {
		t.Errorf("%v", got)
	}
	n.AwaitCredits(t.Context(), "work", 1)
	stream.Say(&adapterv1.ConnectRequest{Revocations: []*adapterv1.Revocation{{Activity: "work", Count: 5}}})
	if r := stream.Hear().GetReturned()[0]; r.GetCount() != 1 {
		t.Errorf("%v", r)
	}
	n.AwaitCredits(t.Context(), "work", 0)
	stream.Report(adaptertest.ResultOf(task, 1))
	if acks := stream.Hear().GetAcks(); len(acks) != 1 || acks[0] != 1 {
		t.Errorf("%v", acks)
	}
	n.Await(t.Context(), task.GetKey(), 1)
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	n.AwaitStreams(t.Context(), 0)
}

// Listings that nobody asked for, or that are wrong, fail the test.
func TestWrongListingsFailTheTest(t *testing.T) {
	t.Parallel()
	listing := func(l *adapterv1.Listing) *adapterv1.ConnectRequest {
		return &adapterv1.ConnectRequest{Listings: []*adapterv1.Listing{l}}
	}
	work := []string{"work"}
	for want, c := range map[string]struct {
		lists bool
		says  *adapterv1.ConnectRequest
	}{
		"does not say that the node takes any": {false, listing(&adapterv1.Listing{})},
		"which were not asked for":             {true, listing(&adapterv1.Listing{Partition: 3, Epoch: 5})},
		`"plain", which is of partition 0`:     {true, listing(&adapterv1.Listing{Partition: 3, Keys: []string{"plain"}, Activities: work})},
		"of 1 keys names 0 activities":         {true, listing(&adapterv1.Listing{Keys: []string{"plain"}})},
		`is of activity "play", not "work"`:    {true, listing(&adapterv1.Listing{Keys: []string{"plain"}, Activities: []string{"play"}})},
		"":                                     {true, listing(&adapterv1.Listing{Keys: []string{"plain", "another"}, Activities: []string{"work", "play"}})},
	} {
		test := &recorder{TB: t}
		n := adaptertest.Start(test, adaptertest.Options{Lists: c.lists})
		stream := dial(t, n, &adapterv1.ConnectRequest{Hello: hello(), Credits: []*adapterv1.Credit{{Activity: "work", Total: 3}}})
		n.Send(t.Context(), &adapterv1.Task{Key: "plain", Attempt: 1, Activity: "work"})
		stream.Say(c.says)
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		_ = stream.End()
		test.cleanups[0]()
		if want == "" && len(test.errors) > 0 || want != "" && (len(test.errors) != 1 || !strings.Contains(test.errors[0], want)) {
			t.Errorf("%q: the test failed with %q", want, test.errors)
		}
	}
}
