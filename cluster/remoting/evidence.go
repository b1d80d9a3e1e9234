package remoting

import (
	"context"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/messages/remotingv1"
)

// Witness knows what evidence this node has that its own registration was renewed. It must not block, nor wait for the engine.
type Witness interface {
	// Evidence returns when the newest evidence was asked for that came; false: there is none.
	Evidence() (dated time.Time, seen bool)
	// Watermarks returns what the journal has confirmed to this node, and to others that can't tell it any more.
	Watermarks() []*remotingv1.Watermarks
}

// Testimony is what a peer has said.
type Testimony struct {
	Node Node
	// Answered: the node can be reached.
	Answered bool
	// Seen: it has evidence, which is not older than Dated, by this node's clock. A message on its way makes it seem older, never newer.
	Seen  bool
	Dated time.Time
	// Watermarks are what the journal has confirmed to it, and to others of which it knows.
	Watermarks []*remotingv1.Watermarks
}

// inquiry holds the questions that have no answer yet.
type inquiry struct {
	mu   sync.Mutex
	last uint64
	open map[uint64]asked
}

type asked struct {
	node   Node
	answer chan *remotingv1.Evidence // holds one; nil: there is none, as the node can't be reached
}

// Inquire asks nodes whether they have evidence, all at once, and returns what they have said, in their order, when all have answered or
// the context ends. A node that can't be reached is not waited for.
func (r *Remoting) Inquire(ctx context.Context, nodes ...Node) []Testimony {
	return r.inquire(ctx, nodes, false)
}

// InquireWatermarks asks nodes for watermarks alone, in the same way: who is asked for evidence has to look for newer, and owes it to
// whoever asked that it removes nobody before.
func (r *Remoting) InquireWatermarks(ctx context.Context, nodes ...Node) (all []*remotingv1.Watermarks) {
	for _, t := range r.inquire(ctx, nodes, true) {
		all = append(all, t.Watermarks...)
	}
	return all
}

func (r *Remoting) inquire(ctx context.Context, nodes []Node, onlyWatermarks bool) []Testimony {
	said, open := make([]Testimony, len(nodes)), make([]*asked, len(nodes))
	at := r.config.Now()
	for i, n := range nodes {
		said[i].Node = n
		number, q := r.inquiry.ask(n)
		defer r.inquiry.forget(number)
		l, err := pack(question, &remotingv1.Question{Number: number, OnlyWatermarks: onlyWatermarks}, r.config.MaxLetter)
		l.ask = number
		if err == nil {
			err = r.sendLetter(n.String(), l)
		}
		if r.countUndelivered(err); err == nil {
			open[i] = q
		}
	}
	for i, q := range open {
		if q == nil {
			continue
		}
		select {
		case e := <-q.answer:
			said[i].Answered, said[i].Seen, said[i].Watermarks = e != nil, e.GetSeen(), e.GetWatermarks()
			if e.GetSeen() {
				said[i].Dated = at.Add(-max(time.Duration(e.GetAge()), 0))
			}
		case <-ctx.Done():
		}
	}
	return said
}

func (q *inquiry) ask(n Node) (uint64, *asked) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.open == nil {
		q.open = map[uint64]asked{}
	}
	q.last++
	a := asked{node: n, answer: make(chan *remotingv1.Evidence, 1)}
	q.open[q.last] = a
	return q.last, &a
}

func (q *inquiry) forget(number uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.open, number)
}

// hearEvidence takes an answer. One that nobody waits for, or that another node gives, says nothing.
func (r *Remoting) hearEvidence(from Node, e *remotingv1.Evidence) {
	r.inquiry.mu.Lock()
	asked := r.inquiry.open[e.GetNumber()].node
	r.inquiry.mu.Unlock()
	if asked == from {
		r.inquiry.end(e.GetNumber(), e)
	}
}

// end ends a question.
func (q *inquiry) end(number uint64, e *remotingv1.Evidence) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if a, open := q.open[number]; open {
		delete(q.open, number)
		a.answer <- e
	}
}

// testify answers a question.
func (r *Remoting) testify(to Node, q *remotingv1.Question) {
	e := &remotingv1.Evidence{Number: q.GetNumber(), Watermarks: r.witness.Watermarks()}
	if !q.GetOnlyWatermarks() {
		if dated, seen := r.witness.Evidence(); seen {
			e.Seen, e.Age = true, int64(max(r.config.Now().Sub(dated), 0))
		}
	}
	l, err := pack(evidence, e, r.config.MaxLetter)
	if err == nil {
		err = r.sendLetter(to.String(), l)
	}
	r.countUndelivered(err)
}
