package lifecycle_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/client/lifecycle"
	"github.com/holdfast-run/holdfast/client/shown"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// tell tells a history, of which each line is the type of an event and perhaps its task, and returns a line for each lifecycle event: its
// id, the end of its type, and its task.
func tell(t *testing.T, history string) []string {
	t.Helper()
	teller, err := lifecycle.New(&orderv1.Order{Id: "A-1", Definition: "telecom/activate:1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for n, line := range strings.Split(strings.TrimSpace(history), "\n") {
		kind, task, _ := strings.Cut(strings.TrimSpace(line), " ")
		ev := &orderv1.HistoryEvent{Version: uint64(n + 1), At: timestamppb.New(time.Unix(int64(n), 0)), Type: kind, Task: task}
		if strings.HasSuffix(kind, "faulted") {
			ev.Error = &problemv1.Problem{Type: "https://example.com/refused", Status: 409}
		}
		events, err := teller.Events(ev)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			var data struct {
				Task string `json:"task"`
			}
			if err := json.Unmarshal(e.GetData(), &data); err != nil {
				t.Fatal(err)
			}
			what := strings.TrimSuffix(strings.TrimPrefix(e.GetType(), "io.serverlessworkflow."), ".v1")
			told = append(told, strings.TrimSpace(e.GetId()+" "+what+" "+data.Task))
		}
	}
	return told
}

func TestLives(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ history, want string }{
		"in order": {`
			order.accepted
			order.started
			task.started /do/0/a
			attempt.scheduled /do/0/a
			attempt.succeeded /do/0/a
			task.completed /do/0/a
			task.skipped /do/1/b
			order.suspended
			order.resumed
			order.completed`, `
			2.1 workflow.started
			3.1 task.created /do/0/a
			3.2 task.started /do/0/a
			6.1 task.completed /do/0/a
			8.1 workflow.suspended
			9.1 workflow.resumed
			10.1 workflow.completed`},
		"tried again, and faulted; an operator has it go on": {`
			task.started /do/0/a
			task.started /do/0/a/try/0/b
			task.faulted /do/0/a/try/0/b
			retry.scheduled /do/0/a
			retry.started /do/0/a
			task.started /do/0/a/try/0/b
			task.faulted /do/0/a/try/0/b
			task.faulted /do/0/a
			order.faulted
			order.skipped /do/0/a
			order.completed`, `
			1.1 task.created /do/0/a
			1.2 task.started /do/0/a
			2.1 task.created /do/0/a/try/0/b
			2.2 task.started /do/0/a/try/0/b
			3.1 task.faulted /do/0/a/try/0/b
			5.1 task.retried /do/0/a
			6.1 task.created /do/0/a/try/0/b
			6.2 task.started /do/0/a/try/0/b
			7.1 task.faulted /do/0/a/try/0/b
			8.1 task.faulted /do/0/a
			9.1 workflow.faulted
			10.1 workflow.resumed
			11.1 workflow.completed`},
		"what its time leaves is cancelled, the innermost first": {`
			task.started /do/0/a
			task.started /do/0/a/do/0/b
			task.started /do/0/a/do/0/b/do/0/c
			stop.requested /do/0/a
			task.faulted /do/0/a
			order.faulted`, `
			1.1 task.created /do/0/a
			1.2 task.started /do/0/a
			2.1 task.created /do/0/a/do/0/b
			2.2 task.started /do/0/a/do/0/b
			3.1 task.created /do/0/a/do/0/b/do/0/c
			3.2 task.started /do/0/a/do/0/b/do/0/c
			5.1 task.cancelled /do/0/a/do/0/b/do/0/c
			5.2 task.cancelled /do/0/a/do/0/b
			5.3 task.faulted /do/0/a
			6.1 workflow.faulted`},
		"a cancelled order, and a task whose name begins as another's": {`
			task.started /do/0/a
			task.started /do/0/ab
			task.completed /do/0/a
			order.cancelled`, `
			1.1 task.created /do/0/a
			1.2 task.started /do/0/a
			2.1 task.created /do/0/ab
			2.2 task.started /do/0/ab
			3.1 task.completed /do/0/a
			4.1 task.cancelled /do/0/ab
			4.2 workflow.cancelled`},
		"branches that run the same task": {`
			task.started /do/0/f
			task.started /do/0/f/do/0/a
			task.started /do/0/f/do/0/a
			task.started /do/0/f/do/0/a/do/0/b
			task.completed /do/0/f/do/0/a
			task.completed /do/0/f
			order.completed`, `
			1.1 task.created /do/0/f
			1.2 task.started /do/0/f
			2.1 task.created /do/0/f/do/0/a
			2.2 task.started /do/0/f/do/0/a
			3.1 task.created /do/0/f/do/0/a
			3.2 task.started /do/0/f/do/0/a
			4.1 task.created /do/0/f/do/0/a/do/0/b
			4.2 task.started /do/0/f/do/0/a/do/0/b
			5.1 task.completed /do/0/f/do/0/a
			6.1 task.cancelled /do/0/f/do/0/a/do/0/b
			6.2 task.cancelled /do/0/f/do/0/a
			6.3 task.completed /do/0/f
			7.1 workflow.completed`},
		"listening": {`
			task.started /do/0/l
			listen.started /do/0/l
			event.consumed /do/0/l
			task.completed /do/0/l
			task.started /do/1/l
			listen.started /do/1/l
			task.faulted /do/1/l`, `
			1.1 task.created /do/0/l
			1.2 task.started /do/0/l
			2.1 workflow.correlation-started
			4.1 task.completed /do/0/l
			4.2 workflow.correlation-completed
			5.1 task.created /do/1/l
			5.2 task.started /do/1/l
			6.1 workflow.correlation-started
			7.1 task.faulted /do/1/l`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := strings.Split(strings.ReplaceAll(strings.TrimSpace(test.want), "\t", ""), "\n")
			if got := tell(t, test.history); !slices.Equal(got, want) {
				t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// Each event has what the specification says, and can be read again as a CloudEvent.
func TestEvent(t *testing.T) {
	t.Parallel()
	teller, err := lifecycle.New(&orderv1.Order{Id: "A-1", Definition: "telecom/activate:1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	at := timestamppb.New(time.Date(2030, 1, 31, 12, 0, 0, 500, time.UTC))
	for kind, want := range map[string]string{
		"order.started": `"type":"io.serverlessworkflow.workflow.started.v1","data":{"definition":{"name":"activate","namespace":"telecom",` +
			`"version":"1.0.0"},"name":"activate-A-1.telecom","startedAt":"2030-01-31T12:00:00.0000005Z"}`,
		"order.completed": `"type":"io.serverlessworkflow.workflow.completed.v1","data":{"completedAt":"2030-01-31T12:00:00.0000005Z",` +
			`"name":"activate-A-1.telecom","output":{"n":1.0}}`,
		"task.faulted": `"type":"io.serverlessworkflow.task.faulted.v1","data":{"error":{"type":"https://example.com/refused","title":"",` +
			`"status":409,"detail":"","instance":""},"faultedAt":"2030-01-31T12:00:00.0000005Z","task":"/do/0/a",` +
			`"workflow":"activate-A-1.telecom"}`,
	} {
		ev := &orderv1.HistoryEvent{Version: 7, At: at, Type: kind, Data: []byte(`{"n":1.0}`)}
		if kind == "task.faulted" {
			ev.Task, ev.Error = "/do/0/a", &problemv1.Problem{Type: "https://example.com/refused", Status: 409}
		}
		events, err := teller.Events(ev)
		if err != nil || len(events) != 1 {
			t.Fatalf("%s: %v, %v", kind, events, err)
		}
		text, err := json.Marshal(shown.CloudEventOf(events[0]))
		if err != nil {
			t.Fatal(err)
		}
		var form struct {
			Type            string          `json:"type"`
			ID              string          `json:"id"`
			Source          string          `json:"source"`
			Subject         string          `json:"subject"`
			Time            string          `json:"time"`
			SpecVersion     string          `json:"specversion"`
			DataContentType string          `json:"datacontenttype"`
			Data            json.RawMessage `json:"data"`
		}
		if err := json.Unmarshal(text, &form); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf(`"type":"%s","data":%s`, form.Type, form.Data); got != want {
			t.Errorf("%s is told as\n%s\nwant\n%s", kind, got, want)
		}
		got := []string{form.ID, form.Source, form.Subject, form.Time, form.SpecVersion, form.DataContentType}
		if want := []string{"7.1", "/orders/A-1", "A-1", "2030-01-31T12:00:00.0000005Z", "1.0", "application/json"}; !slices.Equal(got, want) {
			t.Errorf("%s has %q, want %q", kind, got, want)
		}
		again, err := client.EventOf(text)
		if err != nil || again.GetType() != form.Type || string(again.GetData()) != string(form.Data) {
			t.Errorf("%s can't be read again: %v, %v", text, again, err)
		}
	}
}

func TestNoDefinition(t *testing.T) {
	t.Parallel()
	for _, definition := range []string{"", "telecom/activate", "activate:1.0.0"} {
		if _, err := lifecycle.New(&orderv1.Order{Id: "A-1", Definition: definition}); err == nil {
			t.Errorf("definition %q was taken", definition)
		}
	}
}

// The specification's lifecycle events are all told that it requires, but those of tasks that are suspended: orders are, as a whole.
func TestSpecification(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "conformance", "spec", "dsl.md"))
	if err != nil {
		t.Skip("the specification is not there: ", err)
	}
	rows := regexp.MustCompile("`io\\.serverlessworkflow\\.([a-z.-]+)\\.v1`</pre> \\|[^|]*\\| `(yes|no)`").FindAllStringSubmatch(string(text), -1)
	var want []string
	for _, row := range rows {
		if row[2] == "yes" && row[1] != "task.suspended" && row[1] != "task.resumed" {
			want = append(want, row[1])
		}
	}
	told := map[string]bool{}
	for _, line := range tell(t, `
		order.started
		order.suspended
		order.resumed
		task.started /do/0/a
		task.started /do/0/a/try/0/b
		listen.started /do/0/a/try/0/b
		retry.started /do/0/a
		task.started /do/0/a/try/0/b
		listen.started /do/0/a/try/0/b
		task.completed /do/0/a/try/0/b
		task.faulted /do/0/a
		order.faulted
		order.completed
		order.cancelled`) {
		told[strings.Fields(line)[1]] = true
	}
	slices.Sort(want)
	var got []string
	for what := range told {
		got = append(got, what)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) || len(want) == 0 {
		t.Errorf("told are\n%q\nwant\n%q", got, want)
	}
}
