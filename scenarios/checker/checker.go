package checker

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/holdfast-run/holdfast/messages/eventtype"
)

// Listed is the most violations that a Report names; all are counted.
const Listed = 100

// Kind says what is wrong.
type Kind string

// The kinds of violations; the package comment defines them.
const (
	Duplicated  Kind = "duplicated"
	Missing     Kind = "missing"
	Unexplained Kind = "unexplained"
	HistoryGap  Kind = "history_gap"
)

// Violation is one thing that must not be.
type Violation struct {
	Kind     Kind   `json:"kind"`
	Order    string `json:"order,omitempty"`
	Key      string `json:"key,omitempty"`
	Activity string `json:"activity,omitempty"`
	// Where is the file and line that shows it.
	Where  string `json:"where"`
	Detail string `json:"detail"`
}

// Report is what was found.
type Report struct {
	// Pass: nothing is wrong.
	Pass bool `json:"pass"`
	// Orders is the number of histories, Ended how many of them reached an end, Events the length of all.
	Orders int64 `json:"orders"`
	Ended  int64 `json:"ended"`
	Events int64 `json:"events"`
	// Scheduled counts the keys that histories scheduled, Succeeded the attempts that succeeded.
	Scheduled int64 `json:"scheduled"`
	Succeeded int64 `json:"succeeded"`
	// Requests counts the lines of the logs; Applied, Repeated and Refused say what came of them.
	Requests int64 `json:"requests"`
	Applied  int64 `json:"applied"`
	Repeated int64 `json:"repeated"`
	Refused  int64 `json:"refused"`
	// Torn counts logs whose last line was cut short.
	Torn int64 `json:"torn"`
	// The number of violations of each kind. Duplicated counts the applications beyond the first.
	Duplicated  int64 `json:"duplicated"`
	Missing     int64 `json:"missing"`
	Unexplained int64 `json:"unexplained"`
	HistoryGaps int64 `json:"history_gaps"`
	// Violations names the first of them, at most Listed.
	Violations []Violation `json:"violations"`
}

// Files compares downstream logs with histories. It fails if a file can't be read or holds something else, and when ctx
// ends.
func Files(ctx context.Context, logs, histories []string) (*Report, error) {
	if len(logs) == 0 || len(histories) == 0 {
		return nil, errors.New("nothing to compare: give at least one downstream log and one file of histories")
	}
	c := &check{keys: map[id]state{}, versions: map[id]uint64{}, report: &Report{Violations: []Violation{}}}
	for _, name := range histories {
		if err := readLines(ctx, name, c.event); err != nil {
			return nil, err
		}
	}
	for _, name := range logs {
		err := readLines(ctx, name, c.request)
		if errors.Is(err, errTorn) {
			c.report.Torn++
		} else if err != nil {
			return nil, err
		}
	}
	if err := c.missing(ctx, histories); err != nil {
		return nil, err
	}
	r := c.report
	r.Orders = int64(len(c.versions))
	r.Pass = r.Duplicated+r.Missing+r.Unexplained+r.HistoryGaps == 0
	return r, nil
}

// id stands for a key or an order's id.
type id [16]byte

func idOf(s string) id {
	sum := sha256.Sum256([]byte(s))
	return id(sum[:16])
}

// state is what is known of a key.
type state uint8

const (
	scheduled state = 1 << iota
	succeeded
	applied
)

type check struct {
	keys map[id]state
	// versions holds the last version seen of each order.
	versions map[id]uint64
	report   *Report
}

// event is a line of a history.
type event struct {
	Order    string `json:"order"`
	Version  uint64 `json:"version"`
	Type     string `json:"type"`
	Key      string `json:"key"`
	Activity string `json:"activity"`
}

// request is a line of a downstream's log.
type request struct {
	Key      string `json:"key"`
	Order    string `json:"order"`
	Activity string `json:"activity"`
	Outcome  string `json:"outcome"`
}

func (c *check) event(at place, line []byte) error {
	e, err := decodeEvent(line)
	if err != nil {
		return err
	}
	c.report.Events++
	order := idOf(e.Order)
	if want := c.versions[order] + 1; e.Version != want {
		c.report.HistoryGaps++
		c.add(Violation{
			Kind: HistoryGap, Order: e.Order, Where: at.String(),
			Detail: fmt.Sprintf("version %d stands where version %d belongs", e.Version, want),
		})
	}
	c.versions[order] = e.Version
	switch eventtype.Named(e.Type) {
	case eventtype.AttemptScheduled:
		if s := c.keys[idOf(e.Key)]; s&scheduled == 0 {
			c.keys[idOf(e.Key)] = s | scheduled
			c.report.Scheduled++
		}
	case eventtype.AttemptSucceeded:
		c.keys[idOf(e.Key)] |= succeeded
		c.report.Succeeded++
	case eventtype.OrderCompleted, eventtype.OrderFaulted, eventtype.OrderCancelled:
		c.report.Ended++
	default:
	}
	return nil
}

func (c *check) request(at place, line []byte) error {
	q, err := decodeRequest(line)
	if err != nil {
		return err
	}
	c.report.Requests++
	switch q.Outcome {
	case "repeated":
		c.report.Repeated++
	case "refused":
		c.report.Refused++
	case "applied":
		c.report.Applied++
		key := idOf(q.Key)
		s := c.keys[key]
		found := Violation{Order: q.Order, Key: q.Key, Activity: q.Activity, Where: at.String()}
		if s&applied != 0 {
			found.Kind, found.Detail = Duplicated, "applied again under a key that was applied before"
			c.report.Duplicated++
			c.add(found)
		} else if s&scheduled == 0 {
			found.Kind, found.Detail = Unexplained, "applied, but no history scheduled this key"
			c.report.Unexplained++
			c.add(found)
		}
		c.keys[key] = s | applied
	}
	return nil
}

// missing finds what succeeded and was not applied, and reads the histories again to name it.
func (c *check) missing(ctx context.Context, histories []string) error {
	for _, s := range c.keys {
		if s&(succeeded|applied) == succeeded {
			c.report.Missing++
		}
	}
	if c.report.Missing == 0 {
		return nil
	}
	for _, name := range histories {
		err := readLines(ctx, name, func(at place, line []byte) error {
			e, err := decodeEvent(line)
			if err != nil || eventtype.Named(e.Type) != eventtype.AttemptSucceeded || c.keys[idOf(e.Key)]&applied != 0 {
				return err
			}
			c.add(Violation{
				Kind: Missing, Order: e.Order, Key: e.Key, Activity: e.Activity, Where: at.String(),
				Detail: "succeeded by its history, but no downstream applied it",
			})
			c.keys[idOf(e.Key)] |= applied // named once
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *check) add(v Violation) {
	if len(c.report.Violations) < Listed {
		c.report.Violations = append(c.report.Violations, v)
	}
}

func decodeEvent(line []byte) (event, error) {
	var e event
	if err := decode(line, &e); err != nil {
		return e, err
	}
	switch typ := eventtype.Named(e.Type); {
	case e.Order == "":
		return e, errors.New(`an event must name its order: "order" is missing or empty`)
	case e.Version == 0 || e.Type == "":
		return e, errors.New(`an event must have a "version" from 1 and a "type"`)
	case e.Key == "" && (typ == eventtype.AttemptScheduled || typ == eventtype.AttemptSucceeded):
		return e, fmt.Errorf(`an event of type %s must have a "key"`, e.Type)
	}
	return e, nil
}

func decodeRequest(line []byte) (request, error) {
	var q request
	if err := decode(line, &q); err != nil {
		return q, err
	}
	switch q.Outcome {
	case "applied", "repeated", "refused":
	default:
		return q, fmt.Errorf(`"outcome" is %q: expected applied, repeated or refused`, q.Outcome)
	}
	if q.Key == "" {
		return q, errors.New(`a request must have a "key"`)
	}
	return q, nil
}
