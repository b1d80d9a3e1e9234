package actors_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// logbook is a log that tests read.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

var timeOfLine = regexp.MustCompile(`(?m)^time=\S+ `)

// take returns the lines about orders since it was called last, without their times.
func (l *logbook) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var about strings.Builder
	for line := range strings.Lines(timeOfLine.ReplaceAllString(l.text.String(), "")) {
		if strings.Contains(line, "order=") || strings.Contains(line, "left_out=") {
			about.WriteString(line)
		}
	}
	l.text.Reset()
	return about.String()
}

func withLog(out *logbook, level slog.Level) option {
	return func(s *settings) { s.log, s.level = out, level }
}

// The log tells what failed and what people did, with all that one needs to look further; and the whole story on demand.
func TestLogTellsStories(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log logbook
		n := start(t, withLog(&log, slog.LevelInfo))
		def := n.deploy("x", "do: [{try: {try: [{one: {call: x.do}}], catch: {retry: {delay: PT1S, limit: {attempt: {count: 1}}}}}}]")
		n.worker(func(*worker, *adapterv1.Task) *adapterv1.Result { return failing(503) })
		n.mustSubmit(order{id: "A", def: def, input: `{"secret":1}`})
		n.sleep(time.Minute)
		const task = "/do/0/try/try/0/one"
		const failed = ` status=503 type=` + workflow.ErrorTypeCommunication + ` title=no`
		attempt := func(n int) string {
			return fmt.Sprintf("level=WARN msg=\"attempt failed\" order=A task=%s activity=x.do key=A:%s attempt=%d process=p%s\n", task, task, n, failed)
		}
		fault := func(n int) string {
			return fmt.Sprintf("level=ERROR msg=\"order has faulted, and waits for an operator\" order=A task=%s activity=x.do key=A:%s attempt=%d%s "+
				"definition=test/x:1.0.0\n", task, task, n, failed)
		}
		want := func(want string) {
			t.Helper()
			if got := log.take(); got != want {
				t.Errorf("the log has\n%s\nwant\n%s", got, want)
			}
		}
		want(attempt(1) + attempt(2) + fault(2))
		n.mustOperate("A", retry)
		want("level=INFO msg=\"order goes on after its fault\" order=A task=" + task + " how=retry by=test reason=corrected\n" + attempt(3))
		n.sleep(time.Minute)
		want(attempt(4) + fault(4))
		if err := n.cancel("A"); err != nil {
			t.Fatal(err)
		}
		want("level=INFO msg=\"order is cancelled\" order=A reason=test\n")
		n.restart() // what is read again is no news
		want("")
	})
}

func TestLogTellsEverythingOnDemand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log logbook
		n := start(t, withLog(&log, slog.LevelDebug))
		def := n.deploy("x", "do: [{one: {call: x.do}}]")
		n.worker(succeed(`"done"`))
		n.mustSubmit(order{id: "A", def: def, input: `{"secret":1}`, key: "k"})
		got := log.take()
		for _, want := range []string{
			`msg="order accepted" order=A definition=test/x:1.0.0 order_key=k`,
			`msg="task started" order=A task=/do/0/one`,
			`msg="attempt scheduled" order=A task=/do/0/one activity=x.do key=A:/do/0/one attempt=1`,
			`msg="attempt ended" order=A task=/do/0/one activity=x.do key=A:/do/0/one attempt=1`,
			`msg="order completed" order=A`,
		} {
			if strings.Count(got, "level=DEBUG "+want) != 1 {
				t.Errorf("%q is not there once:\n%s", want, got)
			}
		}
		if strings.Contains(got, "secret") || strings.Contains(got, "done\"") {
			t.Errorf("inputs and outputs are in the log:\n%s", got)
		}
	})
}

// A storm of failures gets some lines, and the number of the others.
func TestLogIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log logbook
		n := start(t, withLog(&log, slog.LevelInfo), withEngine(actors.Config{LogRate: 5}))
		def := n.deploy("x", "do: [{one: {raise: {error: {type: 'https://example.com/e', status: 500, title: no}}}}]")
		for i := range 20 {
			n.mustSubmit(order{id: fmt.Sprint("A", i), def: def, input: "{}"})
		}
		n.sleep(2 * time.Second)
		got := log.take()
		if strings.Count(got, "order has faulted") != 5 || strings.Count(got, "left_out=15 most_per_second=5") != 1 {
			t.Errorf("want 5 lines, and the number of the others:\n%s", got)
		}
	})
}
