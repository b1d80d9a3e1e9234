package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/client/shown"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// standingTimeout is how long the question may take how an order stands, when the time for watching it is over.
const standingTimeout = 3 * time.Second

// Standing asks how an order stands that could not be watched to its end, also when the time of ctx is over, and says what is known
// of it and what a person can do; the order is nil if nothing is known.
func (c *Client) Standing(ctx context.Context, id string) (*orderv1.Order, string) {
	if errors.Is(ctx.Err(), context.Canceled) { // nobody waits any more
		return nil, "See how it fares with: holdfast order watch " + id
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), standingTimeout)
	defer cancel()
	answer, err := c.Orders().Get(ctx, &orderv1.GetRequest{Id: id})
	if err != nil {
		return nil, "How it stands now is not known. Ask with: holdfast order get " + id
	}
	o := answer.GetOrder()
	if shown.HasEnded(o.GetStatus()) {
		return o, fmt.Sprintf("It has ended, and is %s. See what came of it with: holdfast order get %s", shown.StatusWord(o.GetStatus()), id)
	}
	var waits strings.Builder
	for _, w := range o.GetWaiting() {
		waits.WriteString(" It waits for " + shown.WaitingText(w) + ".")
	}
	return o, fmt.Sprintf("It is %s, after %d events, and goes on.%s Watch the rest with: holdfast order watch %s --from %d",
		shown.StatusWord(o.GetStatus()), o.GetVersion(), waits.String(), id, o.GetVersion()+1)
}
