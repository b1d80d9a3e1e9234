package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence/postgres/pgserver"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// acceptLoss loses the right server for good: an operator has the nodes go on with the promoted standby. What that lacks is lost, and
// nothing else; and when the right server is back all the same, nobody uses it.
func (r *clusterRow) acceptLoss(ctx context.Context, p *replicated, f figures) error {
	lost, err := r.losing(ctx)
	if err != nil {
		return err
	}
	kept, err := orderIDs(ctx, p.standby)
	if err != nil {
		return err
	}
	p.primary.Kill()
	return r.acceptLossOf(ctx, p, lost, kept, f)
}

// acceptLossOf accepts that orders are lost, which the server that is left does not have. It has kept others.
func (r *clusterRow) acceptLossOf(ctx context.Context, p *replicated, lost []*order, kept []string, f figures) (err error) {
	f["to_be_lost"] = len(lost)
	if f["refused_again_by"], err = r.refusals(ctx, refusal); err != nil {
		return err
	}
	admin, err := r.DialAdmin()
	if err != nil {
		return err
	}
	defer admin.Close() //nolint:errcheck // it fails only if it was closed before
	word, err := r.lossShown(ctx, admin, p, f)
	if err != nil {
		return err
	}
	accepted := time.Now()
	if err := persist(ctx, func() error {
		_, err := admin.Admin().AcceptLoss(ctx, &adminv1.AcceptLossRequest{Confirm: word})
		return err
	}); err != nil {
		return fmt.Errorf("accept the loss: %w", err)
	}
	if err := r.goesOn(ctx); err != nil {
		return err
	}
	f["goes_on_within_s"] = round(time.Since(accepted).Seconds(), 2)
	if err := r.found(ctx, lost, kept, f); err != nil {
		return err
	}
	return r.wantUnused(ctx, p, f)
}

// losing has orders accepted, and waits until they have ended: the standby knows nothing of them.
func (r *clusterRow) losing(ctx context.Context) ([]*order, error) {
	p := &pulse{conn: r.conn, name: r.s.row + "-lost", rate: laggingRate(r.s), work: killWork, patience: r.patience}
	beating, stop := context.WithTimeout(ctx, time.Second)
	defer stop()
	p.run(beating)
	return p.orders, errors.Join(errors.Join(p.failed...), r.drained(ctx))
}

// lossShown asks a node what the servers lack, and returns the word that confirms it. What is shown must be what the standby has, and what
// the primary has made since.
func (r *clusterRow) lossShown(ctx context.Context, admin *client.Client, p *replicated, f figures) (word string, err error) {
	shown, err := admin.Admin().ShowLoss(ctx, &adminv1.ShowLossRequest{})
	if err != nil {
		return "", fmt.Errorf("ask what is lost: %w", err)
	}
	wrong := 0
	for _, s := range shown.GetServers() {
		if s.GetUnreachable() != "" {
			continue
		}
		word = s.GetConfirm()
		for _, b := range s.GetLost() {
			has, err := number(ctx, p.standby, fmt.Sprintf(`SELECT COALESCE((SELECT batch FROM holdfast.lanes
				WHERE incarnation = '%s' AND lane = %d), 0)`, b.GetIncarnation(), b.GetLane()))
			if err != nil {
				return "", err
			}
			if has != b.GetHas() || b.GetConfirmed() <= has {
				wrong++
			}
		}
		f["lanes_shown"] = len(s.GetLost())
	}
	f["wrongly_shown"] = wrong
	if word == "" {
		return "", fmt.Errorf("%w: %v", errNothingToConfirm, shown)
	}
	return word, nil
}

var errNothingToConfirm = errors.New("no server is shown whose loss could be accepted")

// goesOn waits until all nodes are ready, and an order that comes now has ended.
func (r *clusterRow) goesOn(ctx context.Context) error {
	for _, n := range r.Nodes {
		if err := n.Ready(ctx); err != nil {
			return err
		}
	}
	return r.submitted(ctx, []string{r.s.row + "-after"})
}

// submitted has orders accepted, and waits until none is open.
func (r *clusterRow) submitted(ctx context.Context, ids []string) error {
	errs := make([]error, len(ids))
	var all sync.WaitGroup
	for i, id := range ids {
		all.Go(func() {
			work := killWork(i)
			work.Id = id
			errs[i] = persist(ctx, func() error {
				_, err := r.conn.Orders().Submit(ctx, &orderv1.SubmitRequest{Order: work})
				return err
			})
		})
	}
	all.Wait()
	return errors.Join(errors.Join(errs...), r.drained(ctx))
}

// persist tries something again for as long as it is unavailable.
func persist(ctx context.Context, do func() error) error {
	for {
		err := do()
		if code := status.Code(err); code != codes.Unavailable && code != codes.DeadlineExceeded {
			return err
		}
		if paused := stage.Pause(ctx, 100*time.Millisecond); paused != nil {
			return errors.Join(paused, err)
		}
	}
}

// found looks what became of the orders: those that were to be lost are not known, and are accepted as new ones; all others are there, and
// end.
func (r *clusterRow) found(ctx context.Context, lost []*order, kept []string, f figures) error {
	known := 0
	var again []string
	for _, o := range lost {
		_, err := r.conn.Orders().Get(ctx, &orderv1.GetRequest{Id: string(o.id)})
		switch {
		case err == nil:
			known++
		case status.Code(err) != codes.NotFound:
			return fmt.Errorf("look for order %s: %w", o.id, err)
		}
		again = append(again, string(o.id))
	}
	if err := r.submitted(ctx, again); err != nil {
		return err
	}
	missing, failed := 0, 0
	for _, id := range slices.Concat(kept, again) {
		o, err := r.conn.Orders().Get(ctx, &orderv1.GetRequest{Id: id})
		switch {
		case status.Code(err) == codes.NotFound:
			missing++
		case err != nil:
			return fmt.Errorf("look for order %s: %w", id, err)
		case o.GetOrder().GetStatus() != orderv1.Status_STATUS_COMPLETED:
			failed++
		}
	}
	f["known_though_lost"], f["also_lost"], f["not_completed"] = known, missing, failed
	return nil
}

// orderIDs are the ids of the orders that a server has.
func orderIDs(ctx context.Context, server *pgserver.Server) ([]string, error) {
	conn, err := pgx.Connect(ctx, server.Address(postgresDatabase))
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing is under way
	rows, err := conn.Query(ctx, `SELECT convert_from(id, 'UTF8') FROM holdfast.orders WHERE row IS NOT NULL`)
	if err != nil {
		return nil, fmt.Errorf("list orders: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list orders: %w", err)
	}
	return ids, nil
}

// outdated is how a node says that a server is one of before a loss was accepted: by its generation, or by its timeline if the node has
// used the later one.
var outdated = regexp.MustCompile(`generation 1 has begun since|the server is not the primary any more`)

// wantUnused has the right server come back, which has what was lost, and the other one go away: nobody uses the former.
func (r *clusterRow) wantUnused(ctx context.Context, p *replicated, f figures) error {
	if err := p.startPrimary(); err != nil { //nolint:contextcheck // it lives longer than the call
		return err
	}
	before, err := r.acted(ctx, p.primary)
	if err != nil {
		return err
	}
	p.standby.Kill()
	if f["outdated_refused_by"], err = r.refusals(ctx, outdated); err != nil {
		return err
	}
	after, err := r.acted(ctx, p.primary)
	if err != nil {
		return err
	}
	f["written_to_outdated"] = after.written - before.written
	if err := p.standby.Start("shared_buffers=64MB"); err != nil { //nolint:contextcheck // it lives longer than the call
		return err
	}
	return r.goesOn(ctx)
}
