package dispatch_test

import (
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/holdfast-run/holdfast/actors/dispatch"
	"github.com/holdfast-run/holdfast/messages"
)

// TestTranscripts drives a queue with the commands of each file, one a line, and compares what it says to each. Every
// block named new begins with an empty queue, whose Grace is a second, RecoverGrace five, LedgerGrace a minute and AgeAfter five;
// three deaths set a task apart.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			t.Parallel()
			e := &env{}
			datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
				t.Helper()
				if d.Cmd == "new" {
					*e = env{queue: dispatch.New(dispatch.Config{
						Grace: time.Second, LedgerGrace: time.Minute, RecoverGrace: 5 * time.Second, Deaths: 3, AgeAfter: 5 * time.Minute,
					}), now: began}
				}
				var out strings.Builder
				for line := range strings.Lines(d.Input) {
					out.WriteString(strings.TrimSuffix(line, "\n") + "\n" + indent(e.run(t, strings.Fields(line))))
					if err := e.queue.Check(); err != nil {
						t.Fatalf("after %s: %v", line, err)
					}
				}
				return out.String()
			})
		})
	}
}

var began = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// env is a transcript under way.
type env struct {
	queue *dispatch.Queue
	now   time.Time
}

// run runs one line: a verb, and what it is about.
func (e *env) run(t *testing.T, words []string) string {
	t.Helper()
	q, args := e.queue, arguments(words[1:])
	stream, key, attempt := dispatch.StreamID(args.number(t, "stream", 0)), args["key"], uint32(args.number(t, "attempt", 1))
	switch words[0] {
	case "offer": // key= attempt= version= priority= ledger= partition= size= deaths=P,Q maybe again ages suspect
		since := time.Time{}
		if args.has("ages") {
			since = e.now
		}
		return show(q.Offer(&dispatch.Task{
			Since: since, Size: int(args.number(t, "size", 1)),
			Key: key, Attempt: attempt, Version: args["version"], Priority: int(args.number(t, "priority", 0)), Ledger: args["ledger"],
			MaybeStarted: args.has("maybe"), Again: args.has("again"), OfferedAt: e.now, Suspect: args.has("suspect"),
			Deaths:    deathsOf(args.list("deaths")),
			Partition: messages.Partition(args.number(t, "partition", 0)),
		}))
	case "attach": // stream= process= ledger= version= idempotent begun recoverable lists keys=a,b
		keys := dispatch.Set{}
		for _, k := range args.list("keys") {
			keys.Add(k)
		}
		return show(q.Attach(dispatch.Stream{
			ID: stream, Process: args["process"], Ledger: args["ledger"], Version: args["version"],
			Idempotent: args.has("idempotent"), Begun: args.has("begun"), Recoverable: args.has("recoverable"), Lists: args.has("lists"),
			Keys: keys,
		}))
	case "detach": // stream= alone= closed left
		return show(q.Detach(stream, dispatch.End{Closed: args.has("closed"), Left: args.has("left"), Alone: args["alone"]}, e.now))
	case "owned": // partition= within= patient
		within, err := time.ParseDuration(args["within"])
		if err != nil {
			t.Fatal(err)
		}
		q.Owned(messages.Partition(args.number(t, "partition", 0)), e.now.Add(within), args.has("patient"))
		return ""
	case "list": // stream= keys=a,b
		of, own := args["of"]
		partition, _ := strconv.Atoi(of)
		return show(q.List(stream, dispatch.Listed{Keys: args.list("keys"), Partition: messages.Partition(partition), Own: own}))
	case "forget": // stream= key=
		return show(q.Forget(stream, key))
	case "under":
		return fmt.Sprintf("%d under way, %d could be sent, starved %t\n", q.Under(), q.Sendable(), q.Starved())
	case "answered": // stream= partition=
		return show(q.Answered(stream, messages.Partition(args.number(t, "partition", 0))))
	case "wait": // key=
		w, there := q.Wait(key)
		return fmt.Sprintf("%t: for %d until %s\n", there, w.For, w.Until.Format("15:04:05"))
	case "begun": // stream= key= attempt=
		return show(q.Begun(stream, key, attempt))
	case "elsewhere": // stream= key=
		return fmt.Sprintln(q.Elsewhere(stream, key))
	case "unheard": // stream= key=
		return show(q.Unheard(stream, key))
	case "credit": // stream= total=
		return show(q.Credit(stream, uint64(args.number(t, "total", 0))))
	case "revoke": // stream= count=
		return fmt.Sprintf("revoked %d\n", q.Revoke(stream, uint64(args.number(t, "count", 0))))
	case "confirm": // key= attempt= ledger=
		return show(q.Confirm(key, attempt, args["ledger"]))
	case "refuse": // key= attempt=
		q.Refuse(key, attempt)
		return ""
	case "done": // key= attempt=, or success
		if args.has("success") {
			attempt = math.MaxUint32
		}
		return show(q.Done(key, attempt))
	case "cancel": // key= attempt=
		return show(q.Cancel(key, attempt))
	case "stale": // key= attempt=
		return show(q.Stale(key, attempt))
	case "withdraw":
		return show(q.Withdraw(key, attempt))
	case "drop": // partition=
		return show(q.DropPartition(messages.Partition(args.number(t, "partition", 0))))
	case "tick": // after=
		after, err := time.ParseDuration(args["after"])
		if err != nil {
			t.Fatal(err)
		}
		e.now = e.now.Add(after)
		return show(q.Tick(e.now))
	case "limit": // rate= concurrency=
		return show(q.SetLimit(limitOf(float64(args.number(t, "rate", 0)), int(args.number(t, "concurrency", 0))), e.now))
	case "load": // priority=
		return fmt.Sprintf("%d, throttled %t\n", q.Load("")[args.number(t, "priority", 0)], q.Throttled())
	case "oldest":
		if q.Oldest().IsZero() {
			return "none\n"
		}
		return e.now.Sub(q.Oldest()).String() + " ago\n"
	case "state":
		return q.Dump()
	}
	t.Fatalf("unknown verb %q", words[0])
	return ""
}

// indent sets what a command says apart from the command.
func indent(said string) string {
	var out strings.Builder
	for line := range strings.Lines(said) {
		out.WriteString("    " + line)
	}
	return out.String()
}

type args map[string]string

func arguments(words []string) args {
	out := args{}
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		out[name] = value
	}
	return out
}

func (a args) has(name string) bool { _, ok := a[name]; return ok }

// list returns what a comma parts.
func (a args) list(name string) []string {
	return strings.FieldsFunc(a[name], func(r rune) bool { return r == ',' })
}

func (a args) number(t *testing.T, name string, otherwise int64) int64 {
	t.Helper()
	if !a.has(name) {
		return otherwise
	}
	n, err := strconv.ParseInt(a[name], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// deathsOf are deaths of processes that executed nothing else.
func deathsOf(processes []string) []messages.Death {
	var out []messages.Death
	for _, p := range processes {
		out = append(out, messages.Death{Process: p, Alone: true})
	}
	return out
}

func show(outputs []dispatch.Output) string {
	if len(outputs) == 0 {
		return ""
	}
	var words []string
	for _, o := range outputs {
		switch o := o.(type) {
		case dispatch.Send:
			word := "send"
			if o.Await {
				word = "hand"
			}
			words = append(words, fmt.Sprintf("%s %s on %d", word, task(o.Task), o.Stream)+alone(o.Alone))
		case dispatch.Adopt:
			words = append(words, fmt.Sprintf("adopt %s on %d", task(o.Task), o.Stream)+alone(o.Alone))
		case dispatch.JournalLedger:
			words = append(words, fmt.Sprintf("journal %s for %s", task(o.Task), o.Ledger))
		case dispatch.SendConfirm:
			words = append(words, fmt.Sprintf("confirm %s on %d", task(o.Task), o.Stream)+alone(o.Alone))
		case dispatch.SendCancel:
			words = append(words, fmt.Sprintf("cancel %s/%d on %d", o.Key, o.Attempt, o.Stream))
		case dispatch.NotDone:
			words = append(words, "not done "+task(o.Task))
		case dispatch.GoesOn:
			words = append(words, task(o.Task)+" goes on")
		case dispatch.InDoubt:
			words = append(words, "in doubt "+task(o.Task))
		case dispatch.Lost:
			word := fmt.Sprintf("%s lost with %s", task(o.Task), o.Process) + alone(o.Alone)
			if !o.Suspect {
				word += ", no suspect"
			}
			words = append(words, word)
		case dispatch.Found:
			word := fmt.Sprintf("%s found: %s is back", task(o.Task), o.Process)
			if o.Kept {
				word += ", and has kept it"
			}
			words = append(words, word)
		case dispatch.Quarantine:
			words = append(words, fmt.Sprintf("set %s apart after %d deaths, the last %s", task(o.Task), o.Deaths, o.Process))
		}
	}
	return strings.Join(words, ", ") + "\n"
}

func task(t *dispatch.Task) string {
	s := fmt.Sprintf("%s/%d", t.Key, t.Attempt)
	if t.MaybeStarted {
		s += " (maybe started)"
	}
	return s
}

func alone(yes bool) string {
	if yes {
		return " alone"
	}
	return ""
}

// limitOf is a limit as a node alone has it: zero means no bound.
func limitOf(rate float64, concurrency int) dispatch.Limit {
	return dispatch.Limit{Rated: rate > 0, Rate: rate, Burst: 1 + rate/10, Bounded: concurrency > 0, Concurrency: concurrency}
}
