package eventtype

// The types, as histories have them.
const (
	AttemptFailed       = "attempt.failed"
	AttemptInDoubt      = "attempt.in_doubt"
	AttemptLost         = "attempt.lost"
	AttemptNotDone      = "attempt.not_done"
	AttemptScheduled    = "attempt.scheduled"
	AttemptSent         = "attempt.sent"
	AttemptSucceeded    = "attempt.succeeded"
	CatchStarted        = "catch.started"
	ChildScheduled      = "child.scheduled"
	CompensationEnded   = "compensation.ended"
	CompensationStarted = "compensation.started"
	OrderAccepted       = "order.accepted"
	OrderCancelled      = "order.cancelled"
	OrderCancelling     = "order.cancelling"
	OrderCompleted      = "order.completed"
	OrderFaulted        = "order.faulted"
	OrderRetried        = "order.retried"
	OrderStarted        = "order.started"
	RetryScheduled      = "retry.scheduled"
	RetryStarted        = "retry.started"
	StopRequested       = "stop.requested"
	TaskCompleted       = "task.completed"
	WaitStarted         = "wait.started"
)
