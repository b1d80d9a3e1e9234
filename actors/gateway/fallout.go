package gateway

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/actors/access"
	failures "github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/actors/view"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

const (
	defaultGroups = 100
	// mostGroups bounds how many groups are kept while orders are counted; the orders of further ones count in the sum only.
	mostGroups = 10_000
	// selectPage is how many orders are read at once.
	selectPage = 1000
	// mostTold is how many things of each kind are told of one order at the most, and lateBytes how many bytes of late results.
	mostTold  = 1000
	lateBytes = 512 << 10
	// mostIDs bounds a selection by ids.
	mostIDs = 10_000
)

// selection is a checked adminv1.Selection.
type selection struct {
	*adminv1.Selection

	query view.Query
	// from and to bound when an order has ended; zero: they don't.
	from, to time.Time
	limit    bool // there is a condition other than statuses
}

// selects checks a selection; otherwise are the statuses if it names none.
func (a admin) selects(m *mistakes, r *adminv1.Selection, otherwise ...orderv1.Status) selection {
	s := selection{Selection: r, query: view.Query{
		Statuses: r.GetStatuses(), Definition: r.GetDefinition(), OrderKey: r.GetOrderKey(), Labels: labels(r.GetLabels()),
		Limit: selectPage, Scan: listScan,
	}}
	if len(s.query.Statuses) == 0 {
		s.query.Statuses = otherwise
	}
	checkStatuses(m, "selection.statuses", r.GetStatuses())
	checkDefinition(m, "selection.definition", r.GetDefinition())
	s.from, s.to = checkTime(m, "selection.ended_from", r.GetEndedFrom()), checkTime(m, "selection.ended_to", r.GetEndedTo())
	if len(r.GetIds()) > mostIDs {
		m.add("selection.ids", fmt.Sprintf("has %d ids, more than %d", len(r.GetIds()), mostIDs))
	}
	s.limit = len(r.GetIds()) > 0 || r.GetDefinition() != "" || r.GetTask() != "" || r.GetErrorType() != "" || r.GetErrorTitle() != "" ||
		r.GetErrorDetail() != "" ||
		r.GetEndedFrom() != nil || r.GetEndedTo() != nil || len(r.GetLabels()) > 0 || r.GetOrderKey() != ""
	return s
}

// matches tells whether an order meets the conditions that the journal does not know.
func (s selection) matches(row *journalv1.OrderRow) bool {
	at := row.GetEndedAt()
	return (s.GetTask() == "" || s.GetTask() == row.GetFaultTask()) &&
		(s.GetErrorType() == "" || s.GetErrorType() == row.GetFaultType()) &&
		(s.GetErrorTitle() == "" || s.GetErrorTitle() == row.GetFaultTitle()) &&
		(s.GetErrorDetail() == "" || s.GetErrorDetail() == row.GetFaultDetail()) &&
		(s.from.IsZero() || at != 0 && at >= s.from.UnixNano()) &&
		(s.to.IsZero() || at != 0 && at < s.to.UnixNano())
}

// each visits the rows of the orders selected, until visit fails. missing is told of each id that is unknown; nil: such ids
// are passed over.
func (a admin) each(ctx context.Context, s selection, visit func(*journalv1.OrderRow) error, missing func(id string) error) error {
	if len(s.GetIds()) > 0 {
		return a.eachOf(ctx, s, visit, missing)
	}
	q := s.query
	for {
		var found []view.FoundOrder
		var next messages.Handle
		err := a.reading(ctx, func() (err error) {
			found, next, err = a.engine.View().List(ctx, q)
			return err
		})
		if err != nil {
			return fmt.Errorf("select orders: %w", err)
		}
		for _, f := range found {
			if !s.matches(f.Row) {
				continue
			}
			if err := visit(f.Row); err != nil {
				return err
			}
		}
		if next.IsZero() {
			return nil
		}
		q.After = next
	}
}

// eachOf visits those of the orders named that are selected. Their statuses don't count: an order that is not in a state
// for what is wanted says so.
func (a admin) eachOf(ctx context.Context, s selection, visit func(*journalv1.OrderRow) error, missing func(id string) error) error {
	for _, id := range s.GetIds() {
		var row *journalv1.OrderRow
		err := a.reading(ctx, func() (err error) {
			row, err = a.engine.View().Row(ctx, messages.OrderID(id))
			return err
		})
		switch {
		case failures.IsGone(failures.Of(err)):
			err = missing(id)
		case err != nil:
		case s.matches(row) && s.allows(row):
			err = visit(row)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// allows tells whether an order that was named meets the conditions that the journal looks at.
func (s selection) allows(row *journalv1.OrderRow) bool {
	q := s.query
	q.Statuses = s.GetStatuses()
	return q.Matches(row)
}

// signature is what the orders of a group have in common.
type signature struct{ definition, task, errorType, errorTitle, errorDetail string }

// ListFallout implements adminv1.AdminServiceServer.
func (a admin) ListFallout(ctx context.Context, r *adminv1.ListFalloutRequest) (*adminv1.ListFalloutResponse, error) {
	var m mistakes
	s := a.selects(&m, r.GetSelection())
	s.query.Statuses = faultedOnly
	s.query.Sees = access.Of(ctx).Sees(access.Viewer)
	if len(r.GetSelection().GetStatuses()) > 0 {
		m.add("selection.statuses", "is not for this call: it tells faulted orders")
	}
	limit := checkLimit(&m, "limit", r.GetLimit(), defaultGroups)
	if err := m.err(); err != nil {
		return nil, a.fail(err)
	}
	out := &adminv1.ListFalloutResponse{}
	groups := map[signature]*adminv1.FalloutGroup{}
	err := a.each(ctx, s, func(row *journalv1.OrderRow) error {
		if orderv1.Status(row.GetStatus()) == orderv1.Status_STATUS_FAULTED {
			out.Orders++
			count(groups, row, r.GetAnyDetail())
		}
		return nil
	}, func(string) error { return nil })
	if err != nil {
		return nil, a.fail(err)
	}
	for _, g := range groups {
		out.Groups = append(out.Groups, g)
	}
	slices.SortFunc(out.GetGroups(), func(x, y *adminv1.FalloutGroup) int {
		return cmp.Or(cmp.Compare(y.GetCount(), x.GetCount()), cmp.Compare(x.GetDefinition(), y.GetDefinition()),
			cmp.Compare(x.GetTask(), y.GetTask()), cmp.Compare(x.GetErrorType(), y.GetErrorType()),
			cmp.Compare(x.GetErrorTitle(), y.GetErrorTitle()), cmp.Compare(x.GetErrorDetail(), y.GetErrorDetail()))
	})
	out.Groups = out.GetGroups()[:min(len(out.GetGroups()), limit)]
	out.Groups = out.GetGroups()[:fit(out.GetGroups(), pageBytes)]
	return out, nil
}

// count counts an order in its group: of those with the same error, whatever the detail, or with the same detail, too.
func count(groups map[signature]*adminv1.FalloutGroup, row *journalv1.OrderRow, anyDetail bool) {
	sig := signature{row.GetDefinition(), row.GetFaultTask(), row.GetFaultType(), row.GetFaultTitle(), row.GetFaultDetail()}
	if anyDetail {
		sig.errorDetail = ""
	}
	at := stamp(row.GetEndedAt())
	g := groups[sig]
	switch {
	case g != nil:
	case len(groups) == mostGroups:
		return
	default:
		g = &adminv1.FalloutGroup{
			Definition: sig.definition, Task: sig.task, ErrorType: sig.errorType, ErrorTitle: sig.errorTitle, ErrorDetail: sig.errorDetail,
			Oldest: at, Newest: at, ExampleId: row.GetId(),
		}
		groups[sig] = g
	}
	g.Count++
	if at.AsTime().Before(g.GetOldest().AsTime()) {
		g.Oldest = at
	}
	if at.AsTime().After(g.GetNewest().AsTime()) {
		g.Newest, g.ExampleId = at, row.GetId()
	}
}

// ShowFallout implements adminv1.AdminServiceServer.
func (a admin) ShowFallout(ctx context.Context, r *adminv1.ShowFalloutRequest) (*adminv1.ShowFalloutResponse, error) {
	if err := checkID(r.GetId()); err != nil {
		return nil, a.fail(err)
	}
	out, err := a.engine.View().Fallout(ctx, messages.OrderID(r.GetId()), mostTold, lateBytes)
	if err != nil {
		return nil, a.fail(err)
	}
	return out, nil
}
