package gateway

import (
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// ack is the sequence number of a result that is durable.
type ack uint64

// drain tells the adapter that the node is about to leave.
type drain struct{}

// write sends what is put into the collector, until that is closed or the stream ends. Results that could not be taken are asked for
// again every second, and at once when the journal answers again.
func (c *connection) write(st adapterConn) error {
	for {
		var err error
		more := true
		select {
		case <-st.Context().Done():
			err = st.Context().Err()
		case <-c.turn:
			second := c.second.Swap(false)
			err = c.askAgain(st, second)
			if second && err == nil {
				err = c.sendDepths(st)
			}
		case <-c.changed:
			err = c.announce(st)
		case <-c.out.wake:
			more, err = c.flush(st)
		}
		if err != nil || !more {
			return err
		}
	}
}

// flush sends all that was put into the collector. It returns false when there will be no more.
func (c *connection) flush(st adapterConn) (more bool, err error) {
	for {
		items, more := c.out.take()
		if len(items) == 0 {
			return more, nil
		}
		for len(items) > 0 {
			n := frameOf(items, itemSize)
			if err := c.deliver(st, frame(items[:n])); err != nil {
				return false, err
			}
			for _, x := range items[:n] {
				c.count(x, -1)
			}
			clear(items[:n]) // the first ones are not to be kept while the last ones are being sent
			items = items[n:]
		}
	}
}

// itemSize is about the size of what is put into the collector, encoded.
func itemSize(x any) int {
	if t, ok := x.(*adapterv1.Task); ok {
		return len(t.GetOrderId()) + len(t.GetKey()) + len(t.GetInput()) + len(t.GetTask()) + len(t.GetActivity()) + 48
	}
	return 16
}

func frame(items []any) *adapterv1.ConnectResponse {
	m := &adapterv1.ConnectResponse{}
	for _, x := range items {
		switch x := x.(type) {
		case ack:
			m.Acks = append(m.Acks, uint64(x))
		case *adapterv1.Task:
			m.Tasks = append(m.Tasks, x)
		case *adapterv1.Cancellation:
			m.Cancellations = append(m.Cancellations, x)
		case *adapterv1.Returned:
			m.Returned = append(m.Returned, x)
		case *adapterv1.Confirmation:
			m.Confirmations = append(m.Confirmations, x)
		case *adapterv1.Owned:
			m.Owned = append(m.Owned, x)
		case *adapterv1.NotOwner:
			m.NotOwner = append(m.NotOwner, x)
		case drain:
			m.Drain = true
		}
	}
	return m
}

// sendDepths tells how many tasks wait, if that changed.
func (c *connection) sendDepths(st adapterConn) error {
	depths := c.stream.Depths()
	if len(depths) == 0 {
		return nil
	}
	return c.deliver(st, &adapterv1.ConnectResponse{Depths: depths})
}
