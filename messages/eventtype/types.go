package eventtype

import "github.com/holdfast-run/holdfast/messages/orderv1"

// The types, under names that are short enough to be read. What each means is said where they are declared.
const (
	OrderAccepted       = orderv1.EventType_EVENT_TYPE_ORDER_ACCEPTED
	OrderStarted        = orderv1.EventType_EVENT_TYPE_ORDER_STARTED
	OrderCompleted      = orderv1.EventType_EVENT_TYPE_ORDER_COMPLETED
	OrderFaulted        = orderv1.EventType_EVENT_TYPE_ORDER_FAULTED
	OrderCancelled      = orderv1.EventType_EVENT_TYPE_ORDER_CANCELLED
	OrderRetried        = orderv1.EventType_EVENT_TYPE_ORDER_RETRIED
	OrderSkipped        = orderv1.EventType_EVENT_TYPE_ORDER_SKIPPED
	OrderRestarted      = orderv1.EventType_EVENT_TYPE_ORDER_RESTARTED
	OrderCancelling     = orderv1.EventType_EVENT_TYPE_ORDER_CANCELLING
	OrderContinued      = orderv1.EventType_EVENT_TYPE_ORDER_CONTINUED
	OrderSuspended      = orderv1.EventType_EVENT_TYPE_ORDER_SUSPENDED
	OrderResumed        = orderv1.EventType_EVENT_TYPE_ORDER_RESUMED
	TaskStarted         = orderv1.EventType_EVENT_TYPE_TASK_STARTED
	TaskSkipped         = orderv1.EventType_EVENT_TYPE_TASK_SKIPPED
	TaskCompleted       = orderv1.EventType_EVENT_TYPE_TASK_COMPLETED
	TaskFaulted         = orderv1.EventType_EVENT_TYPE_TASK_FAULTED
	AttemptScheduled    = orderv1.EventType_EVENT_TYPE_ATTEMPT_SCHEDULED
	AttemptOverflowed   = orderv1.EventType_EVENT_TYPE_ATTEMPT_OVERFLOWED
	AttemptSent         = orderv1.EventType_EVENT_TYPE_ATTEMPT_SENT
	AttemptLost         = orderv1.EventType_EVENT_TYPE_ATTEMPT_LOST
	AttemptFound        = orderv1.EventType_EVENT_TYPE_ATTEMPT_FOUND
	AttemptOverdue      = orderv1.EventType_EVENT_TYPE_ATTEMPT_OVERDUE
	AttemptGoesOn       = orderv1.EventType_EVENT_TYPE_ATTEMPT_GOES_ON
	AttemptSucceeded    = orderv1.EventType_EVENT_TYPE_ATTEMPT_SUCCEEDED
	AttemptFailed       = orderv1.EventType_EVENT_TYPE_ATTEMPT_FAILED
	AttemptNotDone      = orderv1.EventType_EVENT_TYPE_ATTEMPT_NOT_DONE
	AttemptInDoubt      = orderv1.EventType_EVENT_TYPE_ATTEMPT_IN_DOUBT
	ResultLate          = orderv1.EventType_EVENT_TYPE_RESULT_LATE
	WaitStarted         = orderv1.EventType_EVENT_TYPE_WAIT_STARTED
	RetryScheduled      = orderv1.EventType_EVENT_TYPE_RETRY_SCHEDULED
	RetryStarted        = orderv1.EventType_EVENT_TYPE_RETRY_STARTED
	CatchStarted        = orderv1.EventType_EVENT_TYPE_CATCH_STARTED
	StopRequested       = orderv1.EventType_EVENT_TYPE_STOP_REQUESTED
	CompensationStarted = orderv1.EventType_EVENT_TYPE_COMPENSATION_STARTED
	CompensationEnded   = orderv1.EventType_EVENT_TYPE_COMPENSATION_ENDED
	CompensationFailed  = orderv1.EventType_EVENT_TYPE_COMPENSATION_FAILED
	InquiryStarted      = orderv1.EventType_EVENT_TYPE_INQUIRY_STARTED
	InquiryEnded        = orderv1.EventType_EVENT_TYPE_INQUIRY_ENDED
	ChildScheduled      = orderv1.EventType_EVENT_TYPE_CHILD_SCHEDULED
	ChildFaulted        = orderv1.EventType_EVENT_TYPE_CHILD_FAULTED
	ChildEnded          = orderv1.EventType_EVENT_TYPE_CHILD_ENDED
	ParentTold          = orderv1.EventType_EVENT_TYPE_PARENT_TOLD
	KeyReleased         = orderv1.EventType_EVENT_TYPE_KEY_RELEASED
	LoopStarted         = orderv1.EventType_EVENT_TYPE_LOOP_STARTED
	BranchStarted       = orderv1.EventType_EVENT_TYPE_BRANCH_STARTED
	BranchCompleted     = orderv1.EventType_EVENT_TYPE_BRANCH_COMPLETED
	BranchLeft          = orderv1.EventType_EVENT_TYPE_BRANCH_LEFT
	OrderQueued         = orderv1.EventType_EVENT_TYPE_ORDER_QUEUED
	EmitScheduled       = orderv1.EventType_EVENT_TYPE_EMIT_SCHEDULED
	EmitEnded           = orderv1.EventType_EVENT_TYPE_EMIT_ENDED
	ListenStarted       = orderv1.EventType_EVENT_TYPE_LISTEN_STARTED
	ListenerKnown       = orderv1.EventType_EVENT_TYPE_LISTENER_KNOWN
	EventConsumed       = orderv1.EventType_EVENT_TYPE_EVENT_CONSUMED
	ListenerForgotten   = orderv1.EventType_EVENT_TYPE_LISTENER_FORGOTTEN
)
