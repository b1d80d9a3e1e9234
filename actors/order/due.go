package order

import (
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
)

// unknownDue is no time: an instance that was just loaded does not know what those before it told its partition.
const unknownDue = -1

// tellDue tells the partition when the order has to be fired, and whether the journal's index knows. After a load only a time
// that is far away stands there for sure.
func (i *instance) tellDue(due int64) {
	indexed := due != 0 && i.rows.Open.GetDue() == due && time.Unix(0, due).Sub(i.Now()) >= i.Config.LongWait
	if due != i.due || indexed != i.indexed {
		i.due, i.indexed = due, indexed
		i.home.Tell(Due{ID: i.id, Handle: i.handle, At: due, Indexed: indexed})
	}
}

// tellKey tells the partition that an order with a key has joined its queue, or lets the next one run, before anybody else is
// told. Telling it again does no harm.
func (i *instance) tellKey(joined bool) {
	key := i.state.Key()
	switch {
	case key == "":
	case i.state.Ended() && !i.state.HoldsKey():
		i.home.Tell(KeyEnded{ID: i.id, Key: key})
	case joined:
		i.home.Tell(Queued{ID: i.id, Key: key, Since: i.state.QueuedSince()})
	case i.state.HoldsKey():
		i.home.Tell(KeyHeld{ID: i.id, Key: key, Held: true})
	}
}

// withTurn gives a command that may have an order queue again a place.
func (i *instance) withTurn(cmd workflow.Command) workflow.Command {
	switch c := cmd.(type) {
	case workflow.Reopen:
		c.Turn = i.turn()
		return c
	case workflow.Cancel:
		if c.Compensate {
			c.Turn = i.turn()
		}
		return c
	}
	return cmd
}

// turn is a place in the queue of a key, behind those of all orders that were accepted before.
func (i *instance) turn() []byte {
	h := messages.NewHandle(i.home.Owner().Partition, i.Now())
	return h[:]
}
