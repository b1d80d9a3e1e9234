package eventtype

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// all are the names that scripts may rely on, in the order of the types.
const all = `order.accepted order.started order.completed order.faulted order.cancelled order.retried order.skipped order.restarted
order.cancelling order.continued order.suspended order.resumed task.started task.skipped task.completed task.faulted
attempt.scheduled attempt.overflowed attempt.sent attempt.lost attempt.found attempt.overdue attempt.goes_on attempt.succeeded
attempt.failed attempt.not_done attempt.in_doubt result.late wait.started retry.scheduled retry.started catch.started
stop.requested compensation.started compensation.ended compensation.failed inquiry.started inquiry.ended child.scheduled
child.faulted child.ended parent.told key.released loop.started branch.started branch.completed branch.left
order.queued emit.scheduled emit.ended listen.started listener.known event.consumed listener.forgotten`

func TestNames(t *testing.T) {
	t.Parallel()
	want := strings.Fields(all)
	numbers := slices.Sorted(maps.Keys(orderv1.EventType_name))
	if len(numbers) != len(want)+1 || numbers[0] != 0 {
		t.Fatalf("the types are %v, want %d and the unspecified one", numbers, len(want))
	}
	for i, n := range numbers[1:] {
		if got := Name(orderv1.EventType(n)); got != want[i] {
			t.Errorf("type %d is %q, want %q", n, got, want[i])
		}
		if got := Named(want[i]); got != orderv1.EventType(n) {
			t.Errorf("%q is the type %v, want %d", want[i], got, n)
		}
	}
}

func TestUnknown(t *testing.T) {
	t.Parallel()
	for _, typ := range []orderv1.EventType{orderv1.EventType_EVENT_TYPE_UNSPECIFIED, 30_000} {
		if got := Name(typ); got != "" {
			t.Errorf("%v is %q, want no name", typ, got)
		}
	}
	for _, name := range []string{"", "order.eaten", "EVENT_TYPE_ORDER_ACCEPTED", "unspecified."} {
		if got := Named(name); got != orderv1.EventType_EVENT_TYPE_UNSPECIFIED {
			t.Errorf("%q is the type %v, want none", name, got)
		}
	}
}
