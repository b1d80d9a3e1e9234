package adapters_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
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

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logbook) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Reset()
}

func TestAttemptsThatFailedAreLogged(t *testing.T) {
	t.Parallel()
	inBubble(t, adaptertest.Options{}, func(t *testing.T, node *adaptertest.Node, c adapters.Config) {
		t.Helper()
		a := adapters.New("test")
		fail := func(context.Context, adapters.Task, string) (string, error) {
			return "", errors.New("connection refused")
		}
		adapters.Handle(a, "fails", fail)
		adapters.Handle(a, "succeeds", func(context.Context, adapters.Task, string) (string, error) { return "", nil })
		adapters.Handle(a, "says", func(context.Context, adapters.Task, string) (json.RawMessage, error) {
			return json.RawMessage("{"), nil
		})
		var log logbook
		c.Log, c.LogRate = slog.New(slog.NewTextHandler(&log, nil)), 100
		node.Run(a, c)
		synctest.Wait()
		log.Reset()
		lines := func() []string {
			synctest.Wait()
			defer log.Reset()
			return strings.Split(strings.TrimSpace(log.String()), "\n")
		}
		task := node.Task("fails", "")
		node.Send(t.Context(), task)
		node.Await(t.Context(), task.GetKey(), 1)
		node.Do(t.Context(), "succeeds", "")
		told := lines()
		for _, part := range []string{
			"level=WARN", `"attempt failed"`, "order=" + task.GetOrderId(), "task=" + task.GetTask(), "activity=test.fails", "key=" + task.GetKey(),
			"attempt=1", "process=", "status=503", `"connection refused"`,
		} {
			if len(told) != 1 || !strings.Contains(told[0], part) {
				t.Errorf("no %s in %q", part, told)
			}
		}
		doubtful := node.Task("fails", "")
		doubtful.MaybeStarted = true
		node.Send(t.Context(), doubtful)
		node.Await(t.Context(), doubtful.GetKey(), 1)
		if told := lines(); len(told) != 1 || !strings.Contains(told[0], "in doubt") {
			t.Errorf("%q", told)
		}
		node.Do(t.Context(), "says", "")
		if told := lines(); len(told) != 1 || !strings.Contains(told[0], "output can't be reported") {
			t.Errorf("%q", told)
		}
		time.Sleep(time.Minute)
		for range 200 {
			node.Do(t.Context(), "fails", "")
		}
		if told := lines(); len(told) != 100 {
			t.Errorf("%d lines about 200 attempts at once", len(told))
		}
		time.Sleep(time.Second)
		if told := lines(); len(told) != 1 || !strings.Contains(told[0], "left_out=100") {
			t.Errorf("%q", told)
		}
	})
}

// A result that is sent again is no news.
func TestWhatIsSentAgainIsNotLoggedAgain(t *testing.T) {
	t.Parallel()
	inBubble(t, adaptertest.Options{HoldAcks: true}, func(t *testing.T, node *adaptertest.Node, c adapters.Config) {
		t.Helper()
		a := adapters.New("test")
		adapters.Handle(a, "fails", func(context.Context, adapters.Task, string) (string, error) { panic("boom") })
		var log logbook
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
		node.Run(a, c)
		task := node.Task("fails", "")
		node.Send(t.Context(), task)
		node.Await(t.Context(), task.GetKey(), 1)
		node.Send(t.Context(), task)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := strings.Count(log.String(), "attempt is in doubt"); n != 1 {
			t.Errorf("logged %d times: %s", n, log.String())
		}
		if n := len(node.Results()); n < 3 || node.Results()[0].GetOutcome() != adapterv1.Outcome_OUTCOME_IN_DOUBT {
			t.Errorf("%d results", n)
		}
	})
}

// On demand, the log tells of every attempt, but not what goes in and comes out.
func TestEveryAttemptIsLoggedOnDemand(t *testing.T) {
	t.Parallel()
	inBubble(t, adaptertest.Options{}, func(t *testing.T, node *adaptertest.Node, c adapters.Config) {
		t.Helper()
		a := adapters.New("test")
		adapters.Handle(a, "work", func(_ context.Context, _ adapters.Task, in string) (string, error) { return in, nil })
		var log logbook
		c.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		node.Run(a, c)
		task := node.Task("work", "secret")
		node.Send(t.Context(), task)
		node.Await(t.Context(), task.GetKey(), 1)
		synctest.Wait()
		for _, message := range []string{"attempt begins", "attempt succeeded"} {
			n := 0
			for line := range strings.Lines(log.String()) {
				if strings.Contains(line, `level=DEBUG msg="`+message+`" process=`) && strings.Contains(line, " key="+task.GetKey()+" ") {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%q is there %d times:\n%s", message, n, log.String())
			}
		}
		if strings.Contains(log.String(), "secret") {
			t.Errorf("what goes in is in the log:\n%s", log.String())
		}
	})
}
