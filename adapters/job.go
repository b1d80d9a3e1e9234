package adapters

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/holdfast-run/holdfast/adapters/ledger"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// job is a task that is queued or being executed.
type job struct {
	pool  *pool
	task  *adapterv1.Task
	share *share // the one whose credit the job uses until it is done
	link  *link  // that it came on first
	work  *ledger.Work

	// Guarded by the hub.
	over      bool // it was answered for, or forgotten, maybe before its turn came
	taken     bool // by a worker
	marked    bool // while it was executed, it became known that attempts before may have done the work
	noted     bool // it is in its link's progress
	note      string
	reporting bool          // its link has yet to send that it is about to be executed
	announced int64         // when that was reported last
	resumed   chan struct{} // closed when its worker, which waits for the node's word, is to go on

	// Set when it begins.
	deadline time.Time       // zero: none
	ctx      context.Context //nolint:containedctx // lives as long as the execution
	cancel   context.CancelFunc
	recovers bool   // find out what came of it
	maybe    bool   // attempts before this one may have done the work
	trial    bool   // of the breaker
	saved    uint64 // what must be durable before it is executed
}

// home is the link to the node that asked for it last.
func (j *job) home() *link {
	if l := j.pool.hub.streams[j.work.Stream()]; l != nil {
		return l
	}
	return j.link
}

// resume has a worker go on that waits for the node's confirmation.
func (j *job) resume() {
	select {
	case <-j.resumed:
	default:
		close(j.resumed)
	}
}

// interrupt ends the context of the execution.
func (j *job) interrupt() {
	if j.cancel != nil {
		j.cancel()
	}
}

// jobOf returns the job of a work that is in progress; nil if it is not in progress.
func jobOf(w *ledger.Work) *job {
	j, _ := w.Job.(*job)
	return j
}

func (j *job) expired(now time.Time) bool {
	return j.task.GetDeadline() != 0 && now.UnixNano() >= j.task.GetDeadline()
}

// longest bounds what a node may say in milliseconds, so that it fits into a time.Duration.
const longest = 1 << 40

// begin makes the context of the execution.
func (j *job) begin() {
	now := time.Now()
	if j.task.GetDeadline() != 0 {
		j.deadline = time.Unix(0, j.task.GetDeadline())
	}
	if ms := j.task.GetRunWithinMs(); ms > 0 {
		j.deadline = earlier(j.deadline, now.Add(time.Duration(min(ms, longest))*time.Millisecond))
	}
	end := j.deadline
	if j.pool.act.timeout > 0 {
		end = earlier(end, now.Add(j.pool.act.timeout))
	}
	if end.IsZero() {
		j.ctx, j.cancel = context.WithCancel(context.Background())
		return
	}
	j.ctx, j.cancel = context.WithDeadline(context.Background(), end)
}

// earlier is the earlier of two times; zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// describe is what the activity function learns.
func (j *job) describe() Task {
	t := j.task
	return Task{
		Key: t.GetKey(), OrderID: messages.OrderID(t.GetOrderId()), Attempt: int(t.GetAttempt()), Deadline: j.deadline,
		Ref: t.GetTask(), MaybeStarted: j.work.MaybeStarted(), job: j,
	}
}

var errLate = errors.New("the deadline passed before the attempt was begun")

// late is the result of a job whose deadline passed before it was begun.
func (j *job) late() *adapterv1.Result { return resultOf(late, errLate, j.work.MaybeStarted()) }

// queue is a ring of jobs, first in, first out. Its length is bounded by the activity's credits.
type queue struct {
	ring  []*job
	first int
	len   int
}

func (q *queue) push(j *job) {
	if q.len == len(q.ring) {
		ring := make([]*job, max(2*len(q.ring), 16))
		n := copy(ring, q.ring[q.first:])
		copy(ring[n:], q.ring[:q.first])
		q.ring, q.first = ring, 0
	}
	q.ring[(q.first+q.len)%len(q.ring)] = j
	q.len++
}

func (q *queue) front() *job { return q.ring[q.first] }

func (q *queue) pop() *job {
	j := q.front()
	q.ring[q.first] = nil
	q.first = (q.first + 1) % len(q.ring)
	q.len--
	return j
}

func (q *queue) all() iter.Seq[*job] {
	return func(yield func(*job) bool) {
		for i := range q.len {
			if !yield(q.ring[(q.first+i)%len(q.ring)]) {
				return
			}
		}
	}
}
