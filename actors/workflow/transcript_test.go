package workflow_test

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors/definition"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// TestTranscripts drives an order with the commands of each file, and compares what it says.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			t.Parallel()
			e := &env{now: began, limits: workflow.Limits{}.WithDefaults()}
			datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
				t.Helper()
				return e.run(t, d)
			})
		})
	}
}

// began is when the clock of a transcript begins to run.
var began = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// env is a transcript under way: one order of one definition.
type env struct {
	def     *workflow.Definition
	limits  workflow.Limits
	state   *workflow.State
	now     time.Time
	chance  uint64
	history [][]byte // records
}

// verbs are what a transcript can say.
var verbs = map[string]func(*env, *testing.T, *datadriven.TestData) string{
	"define":      (*env).define,      // body: a document, or its part after the header
	"limits":      (*env).limit,       // steps= deeds= events= loops= grace=
	"chance":      (*env).setChance,   // the seed for the next commands
	"accept":      (*env).accept,      // id= order-key= deadline= (after now) hash= queued intake parent= turn= depth=; body: the input
	"start":       (*env).start,       //
	"take-up":     (*env).takeUp,      //
	"sent":        (*env).sent,        // key= attempt= ledger= maybe
	"goes-on":     (*env).goesOn,      // key= attempt=
	"lost":        (*env).lost,        // key= attempt= process= alone suspect
	"found":       (*env).found,       // key= attempt= process= kept
	"overflow":    (*env).overflow,    // frame= epoch=
	"refill":      (*env).refill,      // frame=
	"ok":          (*env).succeeded,   // key= attempt= activity=; body: the output
	"unreported":  (*env).unreported,  // key= attempt= title=
	"doubts":      (*env).doubts,      //
	"failed":      (*env).failed,      // key= attempt= type= status= title= process= ledger=
	"not-done":    (*env).notDone,     // key= attempt= process= ledger=
	"in-doubt":    (*env).inDoubt,     // key= attempt= type= status= title=
	"advance":     (*env).advance,     // the clock, and nothing else
	"fire":        (*env).fire,        // after=: advances the clock before
	"cancel":      (*env).cancel,      // compensate later by= reason=
	"child":       (*env).child,       // id= version= status= type= title=; body: the output
	"told":        (*env).told,        // version=
	"compensable": (*env).compensable, //
	"fault":       (*env).fault,       // title= by= reason=
	"complete":    (*env).complete,    // by= reason=; body: the output
	"retry":       (*env).retry,       // by= reason= not-done deadline= (after now); body: the input
	"skip":        (*env).skip,        // task= by= reason= deadline=; body: the output
	"restart":     (*env).restart,     // task= by= reason= not-done deadline=; body: the input
	"suspend":     (*env).suspend,     // by= reason=
	"resume":      (*env).resume,      // by= reason=
	"release":     (*env).release,     // by= reason=
	"continue":    (*env).goOn,        //
	"state":       (*env).dump,        //
	"outstanding": (*env).outstanding, //
}

func (e *env) run(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	verb := verbs[d.Cmd]
	if verb == nil {
		d.Fatalf(t, "unknown verb %q", d.Cmd)
	}
	return verb(e, t, d)
}

const header = "document: {dsl: '1.0.3', namespace: test, name: test, version: '1.0.0'}\n"

func (e *env) define(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	document := d.Input
	if !strings.HasPrefix(document, "document:") {
		document = header + document
	}
	def, mistakes := definition.Compile([]byte(document), definition.Limits{})
	if len(mistakes) > 0 {
		d.Fatalf(t, "definition is wrong: %v", mistakes)
	}
	*e = env{def: def, limits: e.limits, state: workflow.New(def, new(e.limits.WithDefaults())), now: began}
	return fmt.Sprintf("calls %s\n", def.Activities)
}

func (e *env) limit(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	e.limits = workflow.Limits{}
	d.MaybeScanArgs(t, "steps", &e.limits.Steps)
	d.MaybeScanArgs(t, "deeds", &e.limits.Deeds)
	d.MaybeScanArgs(t, "loops", &e.limits.Loops)
	var events int
	d.MaybeScanArgs(t, "events", &events)
	e.limits.Events = workflowVersion(events)
	if d.HasArg("grace") {
		e.limits.StopGrace = duration(t, d, "grace")
	}
	e.limits = e.limits.WithDefaults()
	return ""
}

func (e *env) setChance(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	d.ScanArgs(t, "seed", &e.chance)
	return ""
}

func (e *env) accept(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	order := &journalv1.OrderAccepted{
		OrderId: "o", Definition: e.def.Ref.String(), Input: []byte(d.Input), ContentHash: []byte(d.Input),
	}
	d.MaybeScanArgs(t, "id", &order.OrderId)
	d.MaybeScanArgs(t, "order-key", &order.OrderKey)
	if parent := text(t, d, "parent"); parent != "" {
		order.Parent = &journalv1.Parent{OrderId: parent}
		d.MaybeScanArgs(t, "depth", &order.Parent.Depth)
		if turn := text(t, d, "turn"); turn != "" {
			order.Parent.Turns = []string{turn}
		}
	}
	order.Intake = d.HasArg("intake")
	if d.HasArg("hash") {
		order.ContentHash = []byte(text(t, d, "hash"))
	}
	if d.HasArg("deadline") {
		order.Deadline = e.now.Add(duration(t, d, "deadline")).UnixNano()
	}
	return e.decide(t, workflow.Accept{Order: order, Queued: d.HasArg("queued")})
}

func (e *env) start(t *testing.T, _ *datadriven.TestData) string {
	t.Helper()
	return e.decide(t, workflow.Start{})
}

func (e *env) takeUp(t *testing.T, _ *datadriven.TestData) string {
	t.Helper()
	return e.decide(t, workflow.TakeUp{})
}

func (e *env) sent(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	return e.decide(t, workflow.Sent{Key: key(t, d), Attempt: attempt(t, d), Ledger: text(t, d, "ledger"), MaybeStarted: d.HasArg("maybe")})
}

func (e *env) lost(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	return e.decide(t, workflow.Lost{
		Key: key(t, d), Attempt: attempt(t, d), Process: text(t, d, "process"), Alone: d.HasArg("alone"), Suspect: d.HasArg("suspect"),
	})
}

func (e *env) found(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	return e.decide(t, workflow.Found{Key: key(t, d), Attempt: attempt(t, d), Process: text(t, d, "process"), Kept: d.HasArg("kept")})
}

func (e *env) goesOn(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	return e.decide(t, workflow.GoesOn{Key: key(t, d), Attempt: attempt(t, d)})
}

func (e *env) unreported(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	return e.decide(t, workflow.TaskResult{
		Key: key(t, d), Attempt: attempt(t, d), Outcome: journalv1.Outcome_OUTCOME_SUCCEEDED,
		Error: &problemv1.Problem{Title: text(t, d, "title"), Status: 500},
	})
}

func (e *env) doubts(t *testing.T, _ *datadriven.TestData) string {
	t.Helper()
	var out strings.Builder
	for _, doubt := range e.state.InDoubt() {
		fmt.Fprintf(&out, "%+v\n", doubt)
	}
	return out.String()
}

func (e *env) overflow(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	var frame, epoch uint64
	d.ScanArgs(t, "frame", &frame)
	d.ScanArgs(t, "epoch", &epoch)
	return e.decide(t, workflow.Overflow{Frame: uint32(frame), Epoch: messages.Epoch(epoch)})
}

func (e *env) refill(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	var frame uint64
	d.ScanArgs(t, "frame", &frame)
	dispatch, wanted := e.state.Refill(uint32(frame))
	if !wanted {
		return "not wanted\n"
	}
	return effects([]workflow.Effect{dispatch})
}

func (e *env) succeeded(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	return e.decide(t, workflow.TaskResult{
		Key: key(t, d), Attempt: attempt(t, d), Activity: text(t, d, "activity"), Outcome: journalv1.Outcome_OUTCOME_SUCCEEDED,
		Output: []byte(d.Input),
	})
}

func (e *env) failed(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	return e.decide(t, workflow.TaskResult{
		Key: key(t, d), Attempt: attempt(t, d), Outcome: journalv1.Outcome_OUTCOME_FAILED, Error: said(t, d),
		Process: text(t, d, "process"), Ledger: text(t, d, "ledger"),
	})
}

func said(t *testing.T, d *datadriven.TestData) *problemv1.Problem {
	t.Helper()
	p := &problemv1.Problem{Type: text(t, d, "type"), Title: text(t, d, "title"), Detail: text(t, d, "detail")}
	var status int64
	d.MaybeScanArgs(t, "status", &status)
	p.Status = int32(status)
	return p
}

func (e *env) notDone(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	return e.decide(t, workflow.TaskResult{
		Key: key(t, d), Attempt: attempt(t, d), Outcome: journalv1.Outcome_OUTCOME_NOT_DONE,
		Process: text(t, d, "process"), Ledger: text(t, d, "ledger"),
	})
}

func (e *env) inDoubt(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	r := workflow.TaskResult{Key: key(t, d), Attempt: attempt(t, d), Outcome: journalv1.Outcome_OUTCOME_IN_DOUBT}
	if d.HasArg("status") {
		r.Error = said(t, d)
	}
	return e.decide(t, r)
}

func (e *env) advance(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	e.now = e.now.Add(duration(t, d, "by"))
	return ""
}

func (e *env) fire(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	if d.HasArg("after") {
		e.now = e.now.Add(duration(t, d, "after"))
	}
	return e.decide(t, workflow.TimerFired{})
}

func (e *env) cancel(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	return e.decide(t, workflow.Cancel{
		Compensate: d.HasArg("compensate"), Later: d.HasArg("later"), By: text(t, d, "by"), Reason: text(t, d, "reason"), Turn: []byte("T"),
	})
}

func (e *env) child(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	r := workflow.ChildResult{
		ID:     messages.OrderID(text(t, d, "id")),
		Status: orderv1.Status(orderv1.Status_value["STATUS_"+strings.ToUpper(text(t, d, "status"))]), Output: []byte(d.Input),
	}
	var version int
	d.MaybeScanArgs(t, "version", &version)
	r.Version = workflowVersion(version)
	if d.HasArg("type") || d.HasArg("title") {
		r.Error = &problemv1.Problem{Type: text(t, d, "type"), Title: text(t, d, "title"), Status: 500, Instance: "/do/0/inside"}
	}
	return e.decide(t, r)
}

func (e *env) told(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	var version int
	d.ScanArgs(t, "version", &version)
	return e.decide(t, workflow.Told{Version: workflowVersion(version)})
}

func (e *env) compensable(t *testing.T, _ *datadriven.TestData) string {
	t.Helper()
	var out strings.Builder
	for _, c := range e.state.Compensable() {
		fmt.Fprintf(&out, "%+v\n", c)
	}
	return out.String()
}

func (e *env) fault(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	return e.decide(t, workflow.Fault{Error: &problemv1.Problem{
		Type: workflow.ErrorTypeRuntime, Title: text(t, d, "title"), Status: 500,
	}, By: text(t, d, "by"), Reason: text(t, d, "reason")})
}

func (e *env) complete(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	return e.decide(t, workflow.Complete{Output: []byte(d.Input), By: text(t, d, "by"), Reason: text(t, d, "reason")})
}

func (e *env) retry(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	return e.reopen(t, d, journalv1.Reopening_REOPENING_RETRY)
}

func (e *env) skip(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	return e.reopen(t, d, journalv1.Reopening_REOPENING_SKIP)
}

func (e *env) restart(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	return e.reopen(t, d, journalv1.Reopening_REOPENING_RESTART)
}

func (e *env) reopen(t *testing.T, d *datadriven.TestData, how journalv1.Reopening) string {
	t.Helper()
	c := workflow.Reopen{
		How: how, Task: text(t, d, "task"), NotDone: d.HasArg("not-done"), By: text(t, d, "by"), Reason: text(t, d, "reason"),
	}
	if d.Input != "" {
		c.Value = []byte(d.Input)
	}
	if d.HasArg("deadline") {
		c.Deadline = e.now.Add(duration(t, d, "deadline")).UnixNano()
	}
	return e.decide(t, c)
}

func (e *env) suspend(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	return e.decide(t, workflow.Suspend{By: text(t, d, "by"), Reason: text(t, d, "reason")})
}

func (e *env) resume(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	return e.decide(t, workflow.Resume{By: text(t, d, "by"), Reason: text(t, d, "reason")})
}

func (e *env) release(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	return e.decide(t, workflow.ReleaseKey{By: text(t, d, "by"), Reason: text(t, d, "reason")})
}

func (e *env) goOn(t *testing.T, _ *datadriven.TestData) string {
	t.Helper()
	return e.decide(t, workflow.Continue{})
}

func (e *env) dump(t *testing.T, _ *datadriven.TestData) string {
	t.Helper()
	return e.state.Dump(show)
}

func (e *env) outstanding(t *testing.T, _ *datadriven.TestData) string {
	t.Helper()
	return effects(e.state.Outstanding())
}

// decide tells the order something, and prints what came of it. It always does so with a twin too, whose state was read
// back from the history: that must decide alike, and be alike afterwards.
func (e *env) decide(t *testing.T, cmd workflow.Command) string {
	t.Helper()
	var out strings.Builder
	twin := refold(t, e.def, e.limits, e.history)
	before := int(e.state.Version())
	events, err := e.state.Decide(e.now, e.chance, cmd)
	again, errAgain := twin.Decide(e.now, e.chance, cmd)
	if fmt.Sprint(errAgain) != fmt.Sprint(err) || !proto.Equal(record(events), record(again)) {
		t.Fatalf("state decided on %v\n%v\n(%v), but refolded on\n%v\n(%v)", cmd, record(events), err, record(again), errAgain)
	}
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	for i, ev := range events {
		out.WriteString(strconv.Itoa(before+i+1) + " " + show(ev) + "\n")
	}
	out.WriteString(effects(e.state.Effects(events)))
	if len(events) > 0 {
		raw, err := proto.Marshal(record(events))
		if err != nil {
			t.Fatal(err)
		}
		e.history = append(e.history, raw)
		if a, b := e.state.Dump(show), refold(t, e.def, e.limits, e.history).Dump(show); a != b {
			t.Fatalf("state is\n%s\nbut refolded\n%s", a, b)
		}
	}
	out.WriteString(summary(e.state))
	return out.String()
}
