package journaltest

import (
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// testKinds has an instance of another kind beside an order whose id ends alike. It is stored and recovered as the order is, and
// no list has it.
func testKinds(t env) {
	j := open(t)
	o, other := newOrder(), newOrder()
	other.id = "schedule/" + o.id
	other.in(messages.PartitionOf(other.id, ""))
	other.row.Id, other.open.Id = string(other.id), string(other.id)
	for _, x := range []*order{o, other} {
		x.must(t, j, x.accept(1))
		x.must(t, j, x.wait(42))
		x.check(t, j)
		due, err := j.Due(t.Context(), x.partition, persistence.DuePlace{}, 10)
		if err != nil || len(due) == 0 || !proto.Equal(due[len(due)-1].Row, x.open) {
			t.Errorf("due with %q are %v, %v", x.id, due, err)
		}
	}
	for _, status := range []orderv1.Status{orderv1.Status_STATUS_WAITING, orderv1.Status_STATUS_FAULTED} {
		if status == orderv1.Status_STATUS_FAULTED {
			o.must(t, j, o.end(status))
			other.must(t, j, other.end(status))
		}
		for _, q := range []persistence.Query{
			{}, {Statuses: []orderv1.Status{status}}, {Definition: "test/activate"},
		} {
			q.Limit, q.Scan = 10, 100
			if found := listAll(t, j, q); len(found) != 1 || found[0].Handle != o.handle {
				t.Errorf("%s: a list has %v, want the order alone", status, found)
			}
		}
	}
	if n, err := j.Fallout(t.Context()); err != nil || n.Faulted != 1 {
		t.Errorf("fallout is %+v, %v", n, err)
	}
}
