package remoting

import (
	"errors"
	"fmt"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/remotingv1"
)

// PID returns the PID through which the orders of another node's partitions are reached, in an actor system to which this is attached.
// What is sent there is an Envelope; it is not changed.
func PID(n Node) *actor.PID { return actor.NewPID(n.String(), recipient) }

// resolve implements actor.AddressResolver.
func (r *Remoting) resolve(pid *actor.PID) (actor.Process, bool) {
	if pid.GetId() != recipient {
		return nil, false
	}
	if _, err := ParseNode(pid.GetAddress()); err != nil {
		return nil, false
	}
	return mailbox{r: r, node: pid.GetAddress()}, true
}

// mailbox stands for another node in an actor system.
type mailbox struct {
	r    *Remoting
	node string
}

// SendUserMessage implements actor.Process. It does not block.
func (m mailbox) SendUserMessage(_ *actor.PID, message any) {
	_, message, _ = actor.UnwrapEnvelope(message)
	if e, ok := message.(*nodev1.Envelope); ok {
		m.r.send(m.node, e)
		return
	}
	m.r.metrics.undelivered.WithLabelValues("foreign").Inc()
	m.r.log.Error("only envelopes go to other nodes", "message", fmt.Sprintf("%T", message))
}

// SendSystemMessage implements actor.Process. Nodes do not watch and do not stop each other's actors.
func (mailbox) SendSystemMessage(*actor.PID, any) {}

// Stop implements actor.Process.
func (mailbox) Stop(*actor.PID) {}

// Send sends a message to another node. It may get lost. It does not block. If it certainly does not arrive, and an answer is wanted
// here, the receiver gets that.
func (r *Remoting) Send(n Node, e *nodev1.Envelope) { r.send(n.String(), e) }

func (r *Remoting) send(node string, e *nodev1.Envelope) {
	l, err := pack(envelope, e, r.config.MaxLetter)
	if e.GetAsker() == r.self {
		l.ask = e.GetAsk()
	}
	if err == nil {
		err = r.sendLetter(node, l)
	}
	switch {
	case err == nil:
	case errors.Is(err, errFull):
		r.giveUp([]letter{l}, "queue_full", nodev1.Reason_REASON_BUSY, fmt.Sprintf("queue to node %s is full", node))
	case errors.Is(err, errAway):
		r.giveUp([]letter{l}, "unreachable", nodev1.Reason_REASON_NOT_OWNER, fmt.Sprintf("node %s: %v", node, err))
	default:
		r.log.Error("message can't be sent to another node", "node", node, "partition", e.GetPartition(), "order", e.GetOrderId(), "error", err)
		r.giveUp([]letter{l}, "oversize", nodev1.Reason_REASON_UNSPECIFIED, err.Error())
	}
}

func (r *Remoting) sendLetter(node string, x letter) error {
	l := (*r.links.Load())[node]
	if l == nil {
		return fmt.Errorf("%w: it is no peer", errAway)
	}
	return l.send(x)
}

// Tell tells nodes which partitions this one has, and what the journal has confirmed to it. It may get lost. It does not block.
func (r *Remoting) Tell(h *remotingv1.Holdings, nodes ...Node) {
	l, err := pack(holdings, h, r.config.MaxLetter)
	for _, n := range nodes {
		if err == nil {
			r.countUndelivered(r.sendLetter(n.String(), l))
		}
	}
}

// Instruct tells a node what an operator wants of it. It may get lost. It does not block.
func (r *Remoting) Instruct(i *remotingv1.Instruction, n Node) {
	l, err := pack(instruction, i, r.config.MaxLetter)
	if err == nil {
		err = r.sendLetter(n.String(), l)
	}
	r.countUndelivered(err)
}

// Answer sends an answer to the node that asked, as its envelope names it. It may get lost. It does not block.
func (r *Remoting) Answer(asker string, a *nodev1.Answer) {
	if a.GetAsk() == 0 {
		return
	}
	l, err := pack(answer, a, r.config.MaxLetter)
	if err != nil { // so that the asker hears of it
		r.log.Error("answer can't be sent to another node", "node", asker, "error", err)
		r.metrics.undelivered.WithLabelValues("oversize").Inc()
		l, err = pack(answer, failed(a.GetAsk(), nodev1.Reason_REASON_UNSPECIFIED, err.Error()), r.config.MaxLetter)
	}
	if err == nil {
		err = r.sendLetter(asker, l)
	}
	r.countUndelivered(err)
}

// countUndelivered counts a letter that nobody here waits for, if it was not taken.
func (r *Remoting) countUndelivered(err error) {
	switch {
	case errors.Is(err, errFull):
		r.metrics.undelivered.WithLabelValues("queue_full").Inc()
	case err != nil:
		r.metrics.undelivered.WithLabelValues("unreachable").Inc()
	}
}

// giveUp counts letters that do not arrive, or may not have, and ends the asks among them.
func (r *Remoting) giveUp(letters []letter, metric string, reason nodev1.Reason, text string) {
	if len(letters) == 0 {
		return
	}
	r.metrics.undelivered.WithLabelValues(metric).Add(float64(len(letters)))
	for i := range letters {
		switch l := letters[i]; {
		case l.kind == question:
			r.inquiry.end(l.ask, nil)
		case l.ask != 0:
			r.answered(failed(l.ask, reason, text))
		}
	}
}

func (r *Remoting) answered(a *nodev1.Answer) {
	if to := r.receiver.Load(); to != nil {
		to.Receive(a)
	}
}

func (r *Remoting) found(who messages.Incarnation) {
	if to := r.receiver.Load(); to != nil && who != "" {
		to.Found(who)
	}
}

func (r *Remoting) lost(n Node) {
	if to := r.receiver.Load(); to != nil {
		to.Lost(n)
	}
}
