package runtime

import (
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"
)

// Courier knows the messages that actors send to each other.
type Courier interface {
	// Counts tells whether a message counts for the bound of a mailbox. Those that don't are always taken: the things that they are
	// about bound their number.
	Counts(message any) bool
	// Refuse tells the sender of a message that it was not taken, or got lost, if the sender waits for an answer. It is called for
	// every such message, and must not block.
	Refuse(message any, err error)
}

// Mailbox says how messages wait for an actor. A mailbox that is full refuses at once what counts, and never blocks a sender;
// messages of the system are never refused. Once its actor is told to stop, what is there and what still comes is refused.
type Mailbox struct {
	// Bound is the most messages that may wait, of those that count.
	Bound int
	// Whose is what the refusal calls the owner of the mailbox, such as "partition": for people.
	Whose   string
	Courier Courier
	// Name tells an actor from others of its kind that is watched here, because it has no loop of its own: see Workers.Stuck. Turned
	// counts the times that the actor showed, in the middle of a message, that it goes on.
	Name   string
	Turned *atomic.Uint64
	// Keeps: the actor itself answers for the message at which it panics. Else that message is refused.
	Keeps bool
	// Inline tells whether a user message is handled on the goroutine that posts it, which saves waking another one, and is asked again
	// before each further one that is handled there. If it is set, messages of the system are, too; nil: none is. It is for actors whose
	// turns are short, or are part of the turn of their parent, which alone posts to them.
	Inline func(message any) bool
}

// New makes a mailbox. It is an actor.MailboxProducer.
func (m Mailbox) New() actor.Mailbox { return &mailbox{Mailbox: m} }

type mailbox struct {
	Mailbox

	invoker    actor.MessageInvoker
	dispatcher actor.Dispatcher

	mu        sync.Mutex
	system    []any
	user      queue[letter]
	counted   int
	handed    uint64 // messages that were handed out to be handled
	running   bool
	suspended bool
	stopped   bool
}

// letter is a message that waits.
type letter struct {
	message any
	counts  bool
}

// PostUserMessage implements actor.Mailbox.
func (m *mailbox) PostUserMessage(message any) {
	counts := m.Courier.Counts(message)
	m.mu.Lock()
	if counts && m.counted >= m.Bound {
		m.mu.Unlock()
		m.Courier.Refuse(message, TooMany(m.Bound, m.Whose))
		return
	}
	if counts {
		m.counted++
	}
	m.user.push(letter{message, counts})
	m.schedule(m.Inline != nil && m.Inline(message))
}

// PostSystemMessage implements actor.Mailbox.
func (m *mailbox) PostSystemMessage(message any) {
	// A restart comes from a timer, whose goroutine the watchdog does not see: it is left to a worker, which the watchdog sees.
	_, restart := message.(*actor.Restart)
	m.mu.Lock()
	m.system = append(m.system, message)
	m.schedule(m.Inline != nil && !restart)
}

// schedule is called with the lock held, and releases it.
func (m *mailbox) schedule(inline bool) {
	start := !m.running && (len(m.system) > 0 || !m.suspended || m.stopped)
	if start {
		m.running = true
	}
	m.mu.Unlock()
	if start && (!inline || m.turn(true)) {
		m.yield()
	}
}

// yield has the mailbox run by a goroutine of the dispatcher.
func (m *mailbox) yield() {
	if w, ok := m.dispatcher.(*Workers); ok {
		w.schedule(m) // which can tell whose it is
		return
	}
	m.dispatcher.Schedule(m.run)
}

// RegisterHandlers implements actor.Mailbox.
func (m *mailbox) RegisterHandlers(invoker actor.MessageInvoker, dispatcher actor.Dispatcher) {
	m.invoker, m.dispatcher = invoker, dispatcher
}

// Start implements actor.Mailbox.
func (m *mailbox) Start() {}

// UserMessageCount implements actor.Mailbox.
func (m *mailbox) UserMessageCount() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.user.len()
}

func (m *mailbox) run() {
	if m.turn(false) {
		m.yield()
	}
}

// turn handles messages until there is none, one panics, or one is not to be handled inline. It returns false when the mailbox went idle.
func (m *mailbox) turn(inline bool) (again bool) {
	var message any
	defer func() {
		if r := recover(); r != nil {
			if !m.Keeps {
				m.Courier.Refuse(message, ErrInterrupted)
			}
			m.invoker.EscalateFailure(r, message)
			again = true
		}
	}()
	for n := range m.dispatcher.Throughput() {
		var isSystem bool
		if message, isSystem, again = m.next(inline && n > 0); message == nil { // of the first one that is known
			return again
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
				m.Courier.Refuse(message, ErrInterrupted)
			default:
				m.invoker.InvokeUserMessage(message)
			}
		}
	}
	return true
}

// next takes the next message; nil when there is none, and then the mailbox is idle, or when it waits to be handled elsewhere.
func (m *mailbox) next(inline bool) (message any, isSystem, elsewhere bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.handed++
	for len(m.system) > 0 {
		message = m.system[0]
		rest := copy(m.system, m.system[1:]) // there are few, and their memory is used again
		m.system[rest] = nil
		m.system = m.system[:rest]
		switch message.(type) {
		case *actor.Stop:
			m.stopped = true
		case *actor.Restart:
			if m.stopped {
				continue // a restart would revive an actor that nobody knows any more
			}
		}
		return message, true, false
	}
	if m.suspended && !m.stopped || m.user.len() == 0 {
		m.running = false
		return nil, false, false
	}
	if inline && !m.stopped && !m.Inline(m.user.peek().message) {
		return nil, false, true
	}
	l := m.user.pop()
	if l.counts {
		m.counted--
	}
	return l.message, false, false
}

// handedOut counts the messages that were handed out to be handled, about.
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
