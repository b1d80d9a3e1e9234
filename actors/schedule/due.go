package schedule

import (
	"time"

	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// atOnce is how many due times are made up for in one decision.
const atOnce = 100

// due fires what is due, as far as there is room for it.
func (m *machine) due(now int64) {
	s, rule := m.s, m.rule()
	for n := 0; n < atOnce && rule != nil && s.next != 0 && s.next <= now && s.waiting < s.limits.Firings; n++ {
		if rule.Times == nil {
			m.fireDue(s.next, 0)
			continue
		}
		due := s.next
		if rule.Missed != workflow.MissedAll {
			if due = m.passOver(rule, now); due == 0 {
				continue
			}
		}
		m.fireDue(due, m.after(rule, due, s.armedAt))
	}
}

// passOver passes over what was missed, and returns the due time that is not; 0: there is none.
func (m *machine) passOver(rule *workflow.Schedule, now int64) int64 {
	s := m.s
	before, due := m.latest(rule, now)
	if rule.Missed == workflow.MissedSkip && now-due > int64(s.limits.Grace) {
		m.skip(&journalv1.ScheduleSkipped{
			Why: journalv1.Skip_SKIP_MISSED, From: s.next, To: due, Next: m.after(rule, due, s.armedAt),
		})
		return 0
	}
	if before != 0 {
		m.skip(&journalv1.ScheduleSkipped{Why: journalv1.Skip_SKIP_MISSED, From: s.next, To: before, Next: due})
	}
	return due
}

// latest returns the last due time that has passed, and the one before, from the one that is next on; 0: there is none.
func (m *machine) latest(rule *workflow.Schedule, now int64) (before, latest int64) {
	const firstWindow, growth, lastWindow = time.Hour, 24, 24 * 365 * 24 * time.Hour
	for window := firstWindow; ; window *= growth { // from the end, as there may be very many
		from := m.s.next - 1
		if window < lastWindow {
			from = max(from, now-int64(window))
		}
		before, latest = 0, 0
		for due := m.after(rule, from, m.s.armedAt); due != 0 && due <= now; due = m.after(rule, due, m.s.armedAt) {
			before, latest = latest, due
		}
		whole := from == m.s.next-1
		if whole && latest == 0 { // the times are others than they were
			latest = m.s.next
		}
		if whole || before != 0 {
			return before, latest
		}
	}
}

// fireDue fires for a due time, unless the order before has not ended and that is to be waited for, or the order can't be accepted.
func (m *machine) fireDue(due, next int64) {
	if m.rule().Single && m.s.awaits(nil) {
		m.skip(&journalv1.ScheduleSkipped{Why: journalv1.Skip_SKIP_OVERLAP, From: due, To: due, Next: next})
		return
	}
	input := workflow.ScheduledInput(m.rule())
	agreed, err := m.agree(input)
	if err != nil {
		if m.rule().After > 0 { // there is no order to count from its end
			next = m.now + int64(m.rule().After)
		}
		m.skip(&journalv1.ScheduleSkipped{
			Why: journalv1.Skip_SKIP_UNFIT, From: due, To: due, Next: next, Detail: messages.Clip(err.Error(), mostDetail),
		})
		return
	}
	m.fire(&journalv1.ScheduleFired{
		OrderId: string(messages.DueOrderID(m.s.opened, time.Unix(0, due))), Due: due, Next: next, Input: input,
	}, agreed)
}

func (m *machine) skip(e *journalv1.ScheduleSkipped) {
	m.emit(&journalv1.Event_ScheduleSkipped{ScheduleSkipped: e})
}
