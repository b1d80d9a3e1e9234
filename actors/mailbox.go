package actors

import (
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/holdfast-run/holdfast/messages"
)

// mail counts the messages that reached an instance through its partition, over all its incarnations.
type mail struct {
	received atomic.Uint64
	loaded   atomic.Bool   // the state is in memory
	turned   atomic.Uint64 // see mailbox
	poison   bool          // it runs only to fault the order
}

// inline tells whether a message is handled in the partition's turn: if that takes no reading, so that it never holds up
// the other orders. What the journal posts does not come from there.
func (m *mail) inline(message any) bool {
	switch message.(type) {
	case *committed:
		return false
	case *accept:
		return true
	}
	return m.loaded.Load()
}

// refusable is a message whose sender wants to know that it was not taken.
type refusable interface{ refuse(err error) }

// mailbox is a bounded actor.Mailbox. A full one refuses user messages at once, and never blocks a sender; messages of
// the system are never refused. Notes, which the actors send themselves and each other and whose number is bounded by
// what they are about, are not counted. Once its actor is told to stop, what is there and what still comes is refused.
//
// A mailbox may run its actor on the goroutine of whoever posts, which saves waking another one. It is for actors whose
// turns are short, or are part of the turn of their parent, which alone posts to them.
type mailbox struct {
	bound int
	// order is whose it is; empty if it is not that of an order. turned counts the times that the order showed, in the middle of
	// a message, that it goes on.
	order  messages.OrderID
	turned *atomic.Uint64
	// inline tells whether to do so with a user message, and says that it is done with those of the system; nil: never.
	inline     func(message any) bool
	invoker    actor.MessageInvoker
	dispatcher actor.Dispatcher

	mu        sync.Mutex
	system    []any
	user      []any
	head      int
	counted   int
	handed    uint64 // messages that were handed out to be handled
	running   bool
	suspended bool
	stopped   bool
}

// note marks messages that are always taken.
type note interface{ isNote() }

// isNote tells whether a message is a note, or carries one to an order.
func isNote(message any) bool {
	if d, ok := message.(*deliver); ok {
		message = d.message
	}
	_, ok := message.(note)
	return ok
}

func refuse(message any, err error) {
	if r, ok := message.(refusable); ok {
		r.refuse(err)
	}
}

func boundedMailbox(bound int) actor.MailboxProducer {
	return func() actor.Mailbox { return &mailbox{bound: bound} }
}

func inlineMailbox(bound int, inline func(message any) bool) actor.MailboxProducer {
	return func() actor.Mailbox { return &mailbox{bound: bound, inline: inline} }
}

func orderMailbox(bound int, order messages.OrderID, m *mail) actor.MailboxProducer {
	return func() actor.Mailbox { return &mailbox{bound: bound, inline: m.inline, order: order, turned: &m.turned} }
}

func (m *mailbox) PostUserMessage(message any) {
	free := isNote(message)
	m.mu.Lock()
	if !free && m.counted >= m.bound {
		m.mu.Unlock()
		refuse(message, tooMany(m.bound, "order or partition"))
		return
	}
	if !free {
		m.counted++
	}
	if m.head > 1024 && m.head > len(m.user)/2 {
		n := copy(m.user, m.user[m.head:])
		clear(m.user[n:])
		m.user, m.head = m.user[:n], 0
	}
	m.user = append(m.user, message)
	m.schedule(m.inline != nil && m.inline(message))
}

func (m *mailbox) PostSystemMessage(message any) {
	// A restart comes from a timer, and the workers are watched, which timers are not.
	_, restart := message.(*actor.Restart)
	m.mu.Lock()
	m.system = append(m.system, message)
	m.schedule(m.inline != nil && !restart)
}

// schedule is called with the lock held, and releases it.
func (m *mailbox) schedule(inline bool) {
	start := !m.running && (len(m.system) > 0 || !m.suspended || m.stopped)
	if start {
		m.running = true
	}
	m.mu.Unlock()
	switch {
	case !start:
	case inline:
		m.run()
	default:
		m.yield()
	}
}

// yield has the mailbox run by a goroutine of the dispatcher.
func (m *mailbox) yield() {
	if w, ok := m.dispatcher.(*workers); ok {
		w.schedule(m) // which can tell whose it is
		return
	}
	m.dispatcher.Schedule(m.run)
}

func (m *mailbox) RegisterHandlers(invoker actor.MessageInvoker, dispatcher actor.Dispatcher) {
	m.invoker, m.dispatcher = invoker, dispatcher
}

func (m *mailbox) Start() {}

func (m *mailbox) UserMessageCount() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.user) - m.head
}

func (m *mailbox) run() {
	if m.turn() {
		m.yield()
	}
}

// turn handles messages until there is none, or one panics. It returns false when the mailbox went idle.
func (m *mailbox) turn() (again bool) {
	var message any
	defer func() {
		if r := recover(); r != nil {
			if m.order == "" { // an order looks after what it has taken itself
				refuse(message, ErrInterrupted)
			}
			m.invoker.EscalateFailure(r, message)
			again = true
		}
	}()
	for range m.dispatcher.Throughput() {
		var isSystem bool
		if message, isSystem = m.next(); message == nil {
			return false
		}
		switch message.(type) {
		case *actor.SuspendMailbox:
			m.suspend(true)
		case *actor.ResumeMailbox:
			m.suspend(false)
		default:
			switch {
			case isSystem:
				m.invoker.InvokeSystemMessage(message)
			case m.stopped:
				refuse(message, ErrInterrupted)
			default:
				m.invoker.InvokeUserMessage(message)
			}
		}
	}
	return true
}

// next takes the next message; nil when there is none, and then the mailbox is idle.
func (m *mailbox) next() (message any, isSystem bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.handed++
	for len(m.system) > 0 {
		message = m.system[0]
		m.system[0] = nil
		m.system = m.system[1:]
		switch message.(type) {
		case *actor.Stop:
			m.stopped = true
		case *actor.Restart:
			if m.stopped {
				continue // it would revive an actor that nobody knows any more
			}
		}
		return message, true
	}
	if m.suspended && !m.stopped || m.head == len(m.user) {
		m.running = false
		return nil, false
	}
	message = m.user[m.head]
	m.user[m.head] = nil
	m.head++
	if m.head == len(m.user) {
		m.user, m.head = m.user[:0], 0
	}
	if !isNote(message) {
		m.counted--
	}
	return message, false
}

// handedOut counts the messages that were handed out, give or take those that were none.
func (m *mailbox) handedOut() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.handed
}

func (m *mailbox) suspend(yes bool) {
	m.mu.Lock()
	m.suspended = yes
	m.mu.Unlock()
}
