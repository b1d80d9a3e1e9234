package supervision

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// Policy says how often a child may fail, and how soon it is restarted.
type Policy struct {
	// MaxRestarts is how many times a child is restarted Within a period; the next failure escalates. 0 escalates the
	// first.
	MaxRestarts int
	// Within is the period. Longer than 0.
	Within time.Duration
	// Backoff delays each restart, by the number of failures within the period.
	Backoff Backoff
}

// Validate says everything that is wrong with the settings.
func (p Policy) Validate() error {
	var errs []error
	if p.MaxRestarts < 0 || p.MaxRestarts > maxRestarts {
		errs = append(errs, fmt.Errorf("restarts %d is not between 0 and %d", p.MaxRestarts, maxRestarts))
	}
	if p.Within <= 0 {
		errs = append(errs, fmt.Errorf("period %v of restarts is not longer than 0", p.Within))
	}
	if err := p.Backoff.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("backoff: %w", err))
	}
	return errors.Join(errs...)
}

// maxRestarts bounds what is remembered of a child: the times of its failures.
const maxRestarts = 1000

// Strategy supervises the children of an actor one for one. Each child is counted by itself. A child that fails is
// restarted after a delay, in which its messages wait in its mailbox; the one that it failed on is lost. A child
// that has failed too often is stopped, after onEscalate was told why and who; its watchers see it terminate.
//
// onEscalate runs in the parent's turn, so it may change the parent's state, and must not block. (Given to
// actor.WithGuardian, the strategy has no parent, and onEscalate runs in the turn of the child.)
//
// A restart that comes due while the child is being stopped is not sent. One that crosses with the stop in the child's
// mailbox would revive it, outside of the registry: a mailbox should drop a *actor.Restart behind a *actor.Stop.
//
// It panics if the policy is not valid, or log or onEscalate is nil.
func (p Policy) Strategy(log *slog.Logger, onEscalate func(reason any, who *actor.PID)) actor.SupervisorStrategy {
	if err := p.Validate(); err != nil {
		panic(fmt.Errorf("supervision policy: %w", err))
	}
	if log == nil || onEscalate == nil {
		panic(errors.New("supervision policy: log and onEscalate must be given"))
	}
	return &strategy{policy: p, log: log, onEscalate: onEscalate, rnd: rand.Float64}
}

type strategy struct {
	policy     Policy
	log        *slog.Logger
	onEscalate func(any, *actor.PID)
	rnd        func() float64
}

// HandleFailure implements actor.SupervisorStrategy.
func (s *strategy) HandleFailure(
	system *actor.ActorSystem, supervisor actor.Supervisor, child *actor.PID, rs *actor.RestartStatistics, reason, message any,
) {
	failures := s.count(rs)
	log := s.log.With("actor", child.GetId(), "reason", fmt.Sprint(reason), "message", fmt.Sprintf("%T", message),
		"failures", failures, "within", s.policy.Within)
	if failures > s.policy.MaxRestarts {
		rs.Reset()
		log.Error("actor failed too often and is stopped")
		system.EventStream.Publish(&actor.SupervisorEvent{Child: child, Reason: reason, Directive: actor.StopDirective})
		s.onEscalate(reason, child)
		supervisor.StopChildren(child)
		return
	}
	delay := s.policy.Backoff.Next(failures, s.rnd)
	log.Warn("actor failed and is restarted", "delay", delay)
	system.EventStream.Publish(&actor.SupervisorEvent{Child: child, Reason: reason, Directive: actor.RestartDirective})
	if delay <= 0 {
		supervisor.RestartChildren(child)
		return
	}
	// The timer needs no owner: it ends within the longest delay, and finds nothing to restart once the child is gone.
	time.AfterFunc(delay, func() {
		if _, alive := system.ProcessRegistry.Get(child); alive {
			supervisor.RestartChildren(child)
		}
	})
}

// count adds a failure and returns how many there were within the period, this one included.
func (s *strategy) count(rs *actor.RestartStatistics) int {
	recent := rs.NumberOfFailures(s.policy.Within)
	switch {
	case recent == 0:
		rs.Reset()
	case rs.FailureCount() > 2*maxRestarts:
		// A child that fails steadily, but never too often, would be remembered for ever. Dating its recent failures
		// later than they were is the stricter side.
		rs.Reset()
		for range recent {
			rs.Fail()
		}
	}
	rs.Fail()
	return recent + 1
}
