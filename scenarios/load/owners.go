package load

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// spread keeps a number of orders in flight at the nodes of a cluster, each at the one that owns it: the last answer to one submits the
// next. Unlike a loop, it also goes on when a stream breaks.
type spread struct {
	script    *script
	ids       ids
	tally     *tally
	ctx       context.Context //nolint:containedctx // of the run
	submitter *client.Submitter
	under     sync.WaitGroup
}

// byOwners runs orders until the tally's end, and waits for the last answers.
func byOwners(ctx context.Context, conn *client.Client, s *script, t *tally, inFlight int) error {
	x := &spread{script: s, ids: newIDs(time.Now()), tally: t, ctx: ctx}
	x.submitter = conn.NewSubmitter(ctx, client.Submitting{Orders: inFlight, Busy: func(r *orderv1.Refused) {
		//nolint:err113,gosec // for people; a code
		t.fail(fmt.Errorf("an order was refused for now: %v: %s", codes.Code(r.GetCode()), r.GetMessage()))
	}})
	x.under.Add(inFlight)
	for i := range inFlight {
		x.begin(i)
	}
	x.under.Wait()
	return x.submitter.Close()
}

// begin has one order in flight from now on, time and again.
func (x *spread) begin(i int) {
	var submit func()
	var submitted time.Time
	request, number := x.script.request(""), uint64(0)
	answered := func(a client.Answer) {
		now := time.Now()
		err := a.Err
		if err == nil {
			_, err = x.script.last(a.Submission)
		}
		switch {
		case !a.Last:
			return
		case err != nil:
			x.tally.fail(err)
		default:
			x.tally.done(submitted, now)
		}
		if a.Err == nil && now.Before(x.tally.end) {
			submit()
			return
		}
		x.under.Done()
	}
	submit = func() {
		submitted, request.Order.Id = time.Now(), x.ids.id(number, i)
		number++
		if err := x.submitter.Submit(x.ctx, request, answered); err != nil {
			x.under.Done() // Close tells why
		}
	}
	submit()
}
