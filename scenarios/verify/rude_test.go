package main

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// TestJudgeAsk: a request is as it should be, or it is said what is not.
func TestJudgeAsk(t *testing.T) {
	t.Parallel()
	event := func(kind orderv1.EventType, status int32) *orderv1.HistoryEvent {
		e := &orderv1.HistoryEvent{EventType: kind}
		if status != 0 {
			e.Error = &problemv1.Problem{Status: status}
		}
		return e
	}
	done, lost := event(eventtype.AttemptSucceeded, 0), event(eventtype.AttemptSucceeded, 500)
	failed, doubted, completed := event(eventtype.AttemptFailed, 404), event(eventtype.AttemptInDoubt, 503), event(eventtype.OrderCompleted, 0)
	now := time.Now()
	for name, c := range map[string]struct {
		method   string
		want     wanted
		events   []*orderv1.HistoryEvent
		requests int
		wrong    string
		twice    bool
	}{
		"done":                     {"post", wanted{end: askDone}, []*orderv1.HistoryEvent{done, completed}, 1, "", false},
		"done, and lost":           {"post", wanted{end: askLost, status: 500}, []*orderv1.HistoryEvent{lost}, 1, "", false},
		"done, and not lost":       {"post", wanted{end: askLost, status: 500}, []*orderv1.HistoryEvent{done, completed}, 1, "its status is 0", false},
		"done twice":               {"post", wanted{end: askDone}, []*orderv1.HistoryEvent{done, completed}, 2, "2 requests came", true},
		"failed":                   {"post", wanted{end: askFailed, status: 404}, []*orderv1.HistoryEvent{failed, failed}, 2, "", false},
		"failed, and not repeated": {"get", wanted{end: askFailed, status: 404}, []*orderv1.HistoryEvent{failed}, 1, "2 are to be failed", false},
		"refused":                  {"post", wanted{end: askRefused, status: 404}, []*orderv1.HistoryEvent{failed, failed}, 1, "", false},
		"refused, and sent again":  {"get", wanted{end: askRefused}, []*orderv1.HistoryEvent{failed, failed}, 2, "2 requests came", false},
		"another status":           {"get", wanted{end: askFailed, status: 403}, []*orderv1.HistoryEvent{failed, failed}, 2, "its status is 404", false},
		"in doubt, and repeated":   {"put", wanted{end: askDoubted}, []*orderv1.HistoryEvent{doubted, doubted}, 2, "", false},
		"in doubt":                 {"patch", wanted{end: askDoubted}, []*orderv1.HistoryEvent{doubted, doubted}, 1, "", false},
		"in doubt, but repeated":   {"patch", wanted{end: askDoubted}, []*orderv1.HistoryEvent{doubted, doubted}, 2, "2 requests came", true},
		"failed, not in doubt":     {"get", wanted{end: askDoubted}, []*orderv1.HistoryEvent{failed, failed}, 2, "are to be in_doubt", false},
		"too soon":                 {"get", wanted{end: askDone, requests: 2, after: time.Hour}, []*orderv1.HistoryEvent{done, completed}, 2, "is to come after", false},
		"not to be asked":          {"get", wanted{end: askFailed, requests: noRequests}, []*orderv1.HistoryEvent{failed, failed}, 1, "0 are to come", false},
		"never asked":              {"get", wanted{end: askFailed, requests: anyRequests}, []*orderv1.HistoryEvent{failed, failed}, 0, "", false},
	} {
		a := ask{&rudeCase{want: always(c.want)}, c.method, "content"}
		wrong, twice := judgeAsk(a, c.events, make([]time.Time, c.requests))
		if (wrong == "") != (c.wrong == "") || !strings.Contains(wrong, c.wrong) || twice != c.twice {
			t.Errorf("%s: %q, twice %t", name, wrong, twice)
		}
	}
	a := ask{&rudeCase{want: always(wanted{end: askDone, requests: 2, after: time.Second})}, "get", "raw"}
	if wrong, _ := judgeAsk(a, []*orderv1.HistoryEvent{done, completed}, []time.Time{now, now.Add(time.Second)}); wrong != "" {
		t.Error(wrong)
	}
}
