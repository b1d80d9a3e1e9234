package actors

import (
	"context"
	"fmt"
	"strings"

	"github.com/holdfast-run/holdfast/actors/catalog"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// Users are orders that have not ended and run a definition.
type Users struct {
	// Count is how many there are; with More there are at least so many.
	Count int
	More  bool
	// Orders are some of them, the newest first: at most namedUsers.
	Orders []messages.OrderID
}

const (
	namedUsers = 3
	// countedUsers is how many of the orders that run a definition are counted. The counting is not what makes a removal safe.
	countedUsers = 1000
	scannedUsers = 1000
)

func (u Users) String() string {
	names := make([]string, len(u.Orders))
	for i, id := range u.Orders {
		names[i] = string(id)
	}
	text := fmt.Sprintf("%d orders that have not ended run it", u.Count)
	if u.Count == 1 {
		text = "1 order that has not ended runs it"
	}
	if u.More {
		text = "at least " + text
	}
	if u.Count > len(names) {
		return text + ", such as " + strings.Join(names, ", ")
	}
	return text + ": " + strings.Join(names, ", ")
}

// RemoveDefinition takes a retired definition from what is deployed, unless orders that have not ended run it: then it tells of these.
// An order that is accepted meanwhile, by a node that does not know yet that the definition is retired, goes on with it all the same, as
// histories of orders do: the journal keeps the document.
func (e *Engine) RemoveDefinition(ctx context.Context, ref messages.DefinitionRef) (*journalv1.DefinitionRow, Users, error) {
	row, err := catalog.Look(ctx, e.catalog, func() (*journalv1.DefinitionRow, error) { return e.catalog.Row(ref) })
	if err != nil {
		return nil, Users{}, err
	}
	if row.GetRetirement() != nil {
		users, err := e.users(ctx, ref)
		if err != nil || len(users.Orders) > 0 {
			return nil, users, err
		}
	}
	row, err = e.catalog.Remove(ctx, ref, e.deps.Now())
	return row, Users{}, err
}

// users finds the orders that have not ended and run a definition.
func (e *Engine) users(ctx context.Context, ref messages.DefinitionRef) (Users, error) {
	var u Users
	q := persistence.Query{
		Definition: ref.String(), Limit: scannedUsers, Scan: scannedUsers,
		Statuses: []orderv1.Status{
			orderv1.Status_STATUS_PENDING, orderv1.Status_STATUS_RUNNING, orderv1.Status_STATUS_WAITING,
			orderv1.Status_STATUS_SUSPENDED, orderv1.Status_STATUS_FAULTED,
		},
	}
	for {
		found, next, err := e.deps.Journal.List(ctx, q)
		if err != nil {
			return Users{}, fmt.Errorf("look for orders that run %s: %w", ref, err)
		}
		for _, o := range found {
			if len(u.Orders) < namedUsers {
				u.Orders = append(u.Orders, messages.OrderID(o.Row.GetId()))
			}
		}
		u.Count += len(found)
		if u.More = !next.IsZero(); !u.More || u.Count >= countedUsers {
			return u, nil
		}
		q.After = next
	}
}
