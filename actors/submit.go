package actors

import (
	"sync"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
)

// Submit has an order accepted. answer is called once: with what was wanted when the order is durable, or with why it was refused. It
// must not block.
//
// The order is passed on to the owner of its partition. If none is known, or the owner can't be reached or does not answer, this node
// inserts the order itself, as far as its tokens go; the order's id decides if both do. What this node owns it does not insert.
func (e *Engine) Submit(o *journalv1.OrderAccepted, wanted nodev1.Wanted, answer func(*nodev1.Answer)) {
	id := messages.OrderID(o.GetOrderId())
	var letter struct { // one allocation
		nodev1.Envelope
		submission

		is     nodev1.Envelope_Accept
		accept nodev1.Accept
	}
	l := &letter
	l.partition = messages.PartitionOf(id, o.GetOrderKey())
	l.Partition, l.OrderId, l.Message = uint32(l.partition), string(id), &l.is
	l.is.Accept = &l.accept
	l.accept.Order, l.accept.Queued, l.accept.Wanted = o, o.GetOrderKey() != "", wanted
	l.engine, l.message, l.answer, l.asking = e, &l.accept, answer, true
	e.post.AskMeanwhile(&l.Envelope, &l.submission)
}

// submission is an order on its way to be accepted: by the owner of its partition, or by this node. Whoever is first answers; both mean
// the same order. It implements post.Waiter.
type submission struct {
	engine    *Engine
	partition messages.Partition
	message   *nodev1.Accept
	answer    func(*nodev1.Answer)

	mu sync.Mutex
	// asking: the owner was asked, and may answer. inserting: this node inserts the order. tried: it did so once, and that is enough.
	asking, inserting, tried, over bool
}

// Over implements post.Waiter.
func (s *submission) Over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over
}

// Missed implements post.Waiter. What is here is late because this node is.
func (s *submission) Missed(late bool) {
	if late && s.engine.ownership.Here(s.partition) {
		return
	}
	s.mu.Lock()
	inserts := s.mayInsert()
	s.mu.Unlock()
	if inserts {
		s.insert(late)
	}
}

// mayInsert tells whether this node is to insert the order now, and notes that it does; mu is held.
func (s *submission) mayInsert() bool {
	if s.over || s.tried || !s.engine.tokens.Allow() {
		return false
	}
	s.tried, s.inserting = true, true
	return true
}

// Answered implements post.Waiter.
func (s *submission) Answered(a *nodev1.Answer) {
	s.mu.Lock()
	s.asking = false
	inserts := s.saysNothing(a) && s.mayInsert()
	if s.saysNothing(a) && s.inserting { // whatever comes of that is the answer
		s.mu.Unlock()
	} else {
		s.tell(a)
	}
	if inserts {
		s.insert(false)
	}
}

// saysNothing tells whether an answer says nothing about the order, but that its owner can't be reached, or can't write now. If this
// node is the one, there is nothing more to be tried.
func (s *submission) saysNothing(a *nodev1.Answer) bool {
	switch a.GetFailure().GetReason() {
	case nodev1.Reason_REASON_NOT_OWNER, nodev1.Reason_REASON_INTERRUPTED, nodev1.Reason_REASON_STOPPING,
		nodev1.Reason_REASON_JOURNAL_UNAVAILABLE:
		return !s.engine.stopping.Load() && !s.engine.ownership.Here(s.partition)
	default: // the others are about the order, or have it wait
		return false
	}
}

// insert has this node accept the order, and tells the owner, if there is one. late: the owner was asked, and may be able to if this node
// is not.
func (s *submission) insert(late bool) {
	s.engine.acceptor.Insert(s.message.GetOrder(), s.message.GetWanted(), func(a *nodev1.Answer, h messages.Handle) {
		if !h.IsZero() {
			s.engine.post.Tell(&nodev1.Envelope{
				Partition: uint32(s.partition), OrderId: s.message.GetOrder().GetOrderId(), Handle: h[:],
				Message: &nodev1.Envelope_Inserted{Inserted: &nodev1.Inserted{}},
			})
		}
		s.mu.Lock()
		s.inserting = false
		if f := a.GetFailure(); late && s.asking && f != nil && f.GetReason() != nodev1.Reason_REASON_ORDER_ID_TAKEN {
			s.mu.Unlock()
			return
		}
		s.tell(a)
	})
}

// tell answers, unless that was done; mu is held, and released.
func (s *submission) tell(a *nodev1.Answer) {
	first := !s.over
	s.over = true
	s.mu.Unlock()
	if first {
		s.answer(a)
	}
}
