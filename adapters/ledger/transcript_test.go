package ledger_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"go.uber.org/goleak"

	"github.com/holdfast-run/holdfast/adapters/ledger"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestTranscripts drives a ledger with the commands of each file, and compares what it answers. A command's number is the time.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		t.Helper()
		t.Parallel()
		l := ledger.New(ledger.Config{Keep: 2, KeepBytes: 20, KeepFor: 100})
		now, works := int64(0), map[string]*ledger.Work{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			t.Helper()
			var out strings.Builder
			for line := range strings.Lines(d.Input) {
				now++
				fmt.Fprintf(&out, "%s\n", command(t, l, works, strings.Fields(line), &now))
			}
			return out.String()
		})
	})
}

// command runs one line: a verb, and what it is about.
func command(t *testing.T, l *ledger.Ledger, works map[string]*ledger.Work, words []string, now *int64) string {
	t.Helper()
	verb, args := words[0], map[string]string{}
	number := func(name string) (n int64) {
		if text, ok := args[name]; ok {
			if _, err := fmt.Sscan(text, &n); err != nil {
				t.Fatalf("%v: %s: %v", words, name, err)
			}
		}
		return n
	}
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		args[name] = value
	}
	_, flagged := args["maybe"]
	_, awaits := args["await"]
	_, alone := args["alone"]
	key := args["key"]
	switch verb {
	case "offer":
		can := map[string]ledger.Ability{"": ledger.None, "repeat": ledger.Repeatable, "recover": ledger.Recoverable}[args["can"]]
		verdict, w, r := l.Offer(&adapterv1.Task{
			OrderId: "o", Partition: 7, Epoch: uint64(number("epoch")), Key: key, Attempt: uint32(number("attempt")),
			MaybeStarted: flagged, AwaitConfirmation: awaits, Alone: alone,
		}, can, ledger.Stream(number("stream")), *now)
		if w != nil {
			works[key] = w
		}
		return verdicts[verdict] + show(r)
	case "begin":
		return verdicts[l.Begin(works[key])]
	case "finish", "give-up":
		_, permanent := args["permanent"]
		r := &adapterv1.Result{
			Outcome:   adapterv1.Outcome(adapterv1.Outcome_value["OUTCOME_"+args["outcome"]]),
			Output:    []byte(args["output"]),
			Permanent: permanent,
		}
		end := l.Finish
		if verb == "give-up" {
			end = l.GiveUp
		}
		if !end(works[key], r, *now) {
			return "refused"
		}
		return fmt.Sprintf("send on %d%s", works[key].Stream(), show(r))
	case "confirm":
		verdict, _, r := l.Confirm(key, uint32(number("attempt")), flagged, *now)
		return verdicts[verdict] + show(r)
	case "unconfirmed":
		var out []string
		l.Unconfirmed(func(w *ledger.Work) { out = append(out, fmt.Sprintf("attempt %d on %d", w.Attempt(), w.Stream())) })
		return strings.Join(append(out, "-"), "\n")
	case "lost":
		lost := 0
		l.Lost(ledger.Stream(number("stream")), func(*ledger.Work) { lost++ })
		return fmt.Sprint(lost)
	case "cancel":
		verdict, w, r := l.Cancel(key, uint32(number("attempt")), ledger.Stream(number("stream")), *now)
		if r == nil {
			return verdicts[verdict]
		}
		return fmt.Sprintf("%s on %d%s", verdicts[verdict], w.Stream(), show(r))
	case "ack":
		return fmt.Sprint(l.Ack(uint64(number("seq")), *now))
	case "again":
		w, r := l.Again(uint64(number("seq")), *now)
		if r == nil {
			return "nothing"
		}
		return fmt.Sprintf("send on %d%s", w.Stream(), show(r))
	case "due":
		var out []string
		l.Due(*now-number("after"), *now, func(w *ledger.Work, r *adapterv1.Result) {
			out = append(out, fmt.Sprintf("send on %d%s", w.Stream(), show(r)))
		})
		return strings.Join(append(out, "-"), "\n")
	case "reconnect":
		var out []string
		mine := func(w *ledger.Work) bool { return w.Stream() == ledger.Stream(number("stream")) }
		l.Resend(mine, *now, func(_ *ledger.Work, r *adapterv1.Result) { out = append(out, "send"+show(r)) })
		return strings.Join(append(out, "-"), "\n")
	case "expire":
		*now += number("after")
		l.Expire(*now)
		return fmt.Sprint(l.Settled())
	case "serial":
		return fmt.Sprintf("%d of %d", works[key].Serial(), l.Added())
	case "state":
		return fmt.Sprintf("keys %v, open %d, held %d, settled %d", l.Keys(), l.Open(), l.Held(), l.Settled())
	}
	t.Fatalf("unknown command %q", verb)
	return ""
}

var verdicts = map[ledger.Verdict]string{
	ledger.Nothing: "nothing", ledger.Queue: "queue", ledger.Send: "send", ledger.Stale: "stale",
	ledger.Execute: "execute", ledger.Recover: "recover", ledger.Interrupt: "interrupt",
	ledger.Announce: "announce", ledger.Resume: "resume",
}

func show(r *adapterv1.Result) string {
	if r == nil {
		return ""
	}
	s := fmt.Sprintf(" #%d %s/%d %s", r.GetSeq(), r.GetKey(), r.GetAttempt(), strings.TrimPrefix(r.GetOutcome().String(), "OUTCOME_"))
	if len(r.GetOutput()) > 0 {
		s += " " + string(r.GetOutput())
	}
	if r.GetPermanent() {
		s += " permanent"
	}
	return s
}
