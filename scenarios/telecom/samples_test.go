package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
	"github.com/holdfast-run/holdfast/scenarios/checker"
)

// The part of TMF641 v4.1 that the samples use; a field that is not of TMF641 is refused.
type (
	serviceOrder struct {
		ExternalID         string             `json:"externalId"`
		Category           string             `json:"category"`
		Description        string             `json:"description"`
		Priority           string             `json:"priority"`
		RequestedStartDate time.Time          `json:"requestedStartDate"`
		Type               string             `json:"@type"`
		RelatedParty       []relatedParty     `json:"relatedParty"`
		ServiceOrderItem   []serviceOrderItem `json:"serviceOrderItem"`
	}
	relatedParty struct {
		ID           string `json:"id"`
		Name         string `json:"name"`
		Role         string `json:"role"`
		Type         string `json:"@type"`
		ReferredType string `json:"@referredType"`
	}
	serviceOrderItem struct {
		ID      string  `json:"id"`
		Action  string  `json:"action"`
		Type    string  `json:"@type"`
		Service service `json:"service"`
	}
	service struct {
		Name                  string           `json:"name"`
		ServiceType           string           `json:"serviceType"`
		State                 string           `json:"state"`
		Type                  string           `json:"@type"`
		ServiceSpecification  specification    `json:"serviceSpecification"`
		ServiceCharacteristic []characteristic `json:"serviceCharacteristic"`
	}
	specification struct {
		ID      string `json:"id"`
		Name    string `json:"name"`
		Version string `json:"version"`
		Type    string `json:"@type"`
	}
	characteristic struct {
		Name      string `json:"name"`
		ValueType string `json:"valueType"`
		Value     any    `json:"value"`
	}
)

func TestSamplesAreServiceOrders(t *testing.T) {
	t.Parallel()
	present, err := files.ReadDir("orders")
	if err != nil {
		t.Fatal(err)
	}
	if len(present) != len(samples) {
		t.Errorf("%d files in orders/, %d samples", len(present), len(samples))
	}
	numbers := map[string]string{}
	for _, s := range samples {
		raw, msisdn, err := s.body(time.Now())
		if err != nil {
			t.Error(err)
			continue
		}
		var o serviceOrder
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		if err := d.Decode(&o); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
		if other := numbers[msisdn]; other != "" {
			t.Errorf("%s and %s have the same number, so one would wait for the other", s.name, other)
		}
		numbers[msisdn] = s.name
		for _, item := range o.ServiceOrderItem {
			if item.ID == "" || !slices.Contains([]string{"add", "modify", "delete", "noChange"}, item.Action) {
				t.Errorf("%s: item %q has the action %q", s.name, item.ID, item.Action)
			}
			for _, c := range item.Service.ServiceCharacteristic {
				if c.Name == "" || c.Value == nil {
					t.Errorf("%s: characteristic %q is %v", s.name, c.Name, c.Value)
				}
			}
		}
	}
}

func TestSampleWindowMoves(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 5, 6, 7, 8, 9, 500_000_000, time.UTC)
	for _, s := range samples {
		raw, _, err := s.body(now)
		if err != nil {
			t.Fatal(err)
		}
		if moved := strings.Contains(string(raw), now.Add(s.opensIn).Format("2006-01-02T15:04:05Z")); moved != (s.opensIn > 0) {
			t.Errorf("%s: opens in %v: %s", s.name, s.opensIn, raw)
		}
	}
}

func TestAdaptersOfferWhatDownstreamsUnderstand(t *testing.T) {
	t.Parallel()
	if got, want := slices.Sorted(maps.Keys(activities)), systemNames(); !slices.Equal(got, want) {
		t.Errorf("adapters %v, downstreams %v", got, want)
	}
	for name := range faults {
		if systems[name] == nil {
			t.Errorf("faults of %q, which is no downstream", name)
		}
	}
}

func TestSampleCheck(t *testing.T) {
	t.Parallel()
	at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	event := func(kind orderv1.EventType, after, due time.Duration) *orderv1.HistoryEvent {
		e := &orderv1.HistoryEvent{EventType: kind, At: timestamppb.New(at.Add(after))}
		if due > 0 {
			e.Due = timestamppb.New(at.Add(due))
		}
		return e
	}
	waits := sample{status: orderv1.Status_STATUS_COMPLETED, events: []oneOf{{eventtype.WaitStarted}}}
	faults := sample{status: orderv1.Status_STATUS_FAULTED, title: "Refused"}
	cancelled := sample{status: orderv1.Status_STATUS_CANCELLED, events: []oneOf{{eventtype.StopRequested}, attemptEnded}}
	cancelledOrder := &orderv1.Order{Status: orderv1.Status_STATUS_CANCELLED}
	completed := &orderv1.Order{Status: orderv1.Status_STATUS_COMPLETED, Output: []byte(`{"state":"completed"}`)}
	for name, tt := range map[string]struct {
		sample  sample
		order   *orderv1.Order
		history []*orderv1.HistoryEvent
		mention string // empty: all is well
	}{
		"as expected": {waits, completed, []*orderv1.HistoryEvent{event(eventtype.WaitStarted, 0, 1e9), event(eventtype.TaskCompleted, 1e9, 0)}, ""},
		"went on too early": {
			waits, completed, []*orderv1.HistoryEvent{event(eventtype.WaitStarted, 0, 1e9), event(eventtype.TaskCompleted, 1e9-1, 0)}, "before",
		},
		"did not wait":  {waits, completed, nil, "in this order: wait.started"},
		"wrong order":   {cancelled, cancelledOrder, []*orderv1.HistoryEvent{event(eventtype.AttemptFailed, 0, 0), event(eventtype.StopRequested, 0, 0)}, ": attempt.succeeded or"},
		"right order":   {cancelled, cancelledOrder, []*orderv1.HistoryEvent{event(eventtype.StopRequested, 0, 0), event(eventtype.AttemptFailed, 0, 0)}, ""},
		"wrong output":  {waits, &orderv1.Order{Status: orderv1.Status_STATUS_COMPLETED, Output: []byte(`{}`)}, nil, "output {}"},
		"wrong status":  {faults, completed, nil, "is completed, not faulted"},
		"another error": {faults, &orderv1.Order{Status: orderv1.Status_STATUS_FAULTED, Error: &problemv1.Problem{Title: "Timeout"}}, nil, `"Timeout"`},
	} {
		got := strings.Join(tt.sample.check(tt.order, tt.history), "; ")
		if (got == "") != (tt.mention == "") || !strings.Contains(got, tt.mention) {
			t.Errorf("%s: got %q, want a mention of %q", name, got, tt.mention)
		}
	}
}

func TestHistoriesAreWhatTheCheckerReads(t *testing.T) {
	t.Parallel()
	o := &following{id: "order-k", events: []*orderv1.HistoryEvent{
		{Version: 1, Type: eventtype.Name(eventtype.AttemptScheduled), Key: "k", Attempt: 1, Task: "/do/0/a", Activity: "hss.createSubscriber"},
		{Version: 2, Type: eventtype.Name(eventtype.AttemptSucceeded), Key: "k", Attempt: 1, Task: "/do/0/a", Activity: "hss.createSubscriber"},
		{Version: 3, Type: eventtype.Name(eventtype.OrderCompleted)},
	}}
	histories := filepath.Join(t.TempDir(), "histories.jsonl")
	if err := writeHistories(histories, []*following{o}); err != nil {
		t.Fatal(err)
	}
	d := startDownstream(t, "hss", logFile(t))
	check := func() *checker.Report {
		r, err := checker.Files(t.Context(), []string{d.log}, []string{histories})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := check(); r.Pass || r.Missing != 1 {
		t.Errorf("before it was applied: %+v", r)
	}
	d.send(t, "createSubscriber", "k", subscriberArgs("+1"))
	if r := check(); !r.Pass || r.Ended != 1 || r.Succeeded != 1 || r.Applied != 1 {
		t.Errorf("after it was applied: %+v", r)
	}
}
