package kit

import (
	"errors"
	"testing"

	"github.com/cucumber/godog"

	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// TestUnlike: what is not as a scenario says is found, and what is as it says is not.
func TestUnlike(t *testing.T) {
	t.Parallel()
	doc := func(text string) *godog.DocString { return &godog.DocString{Content: text} }
	output, err := decode([]byte(`{"pet": {"id": 7, "tags": ["a", "b"]}, "n": null}`))
	if err != nil {
		t.Fatal(err)
	}
	s := &scenario{
		output: output, ran: []string{"one", "two", "three"},
		order: &orderv1.Order{Status: orderv1.Status_STATUS_COMPLETED},
	}
	faulted := &scenario{order: &orderv1.Order{
		Status: orderv1.Status_STATUS_FAULTED, Error: &problemv1.Problem{Type: "t", Status: 400, Instance: "/do/0/a"},
	}}
	ctx := t.Context()
	for name, err := range map[string]error{
		"completes": s.completes(ctx), "completes with": s.completesWith(ctx, doc("pet: {id: 7, tags: [a, b]}\nn:")),
		"faults": faulted.faults(ctx), "faults with": faulted.faultsWith(ctx, doc("type: t\nstatus: 400\ninstance: /do/0/a")),
		"has": s.hasAll(ctx, "'pet', 'pet.id', 'n'"), "has value": s.hasValue(ctx, "pet.tags", doc("[a, b]")),
		"has items": s.hasItems(ctx, "pet.tags", 2), "first": s.runsFirst(ctx, "one"), "last": s.runsLast(ctx, "three"), "after": s.runsAfter(ctx, "three", "one"),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, err := range map[string]error{
		"completes": faulted.completes(ctx), "completes with": s.completesWith(ctx, doc("pet: {id: 8}")), "faults": s.faults(ctx),
		"faults with": faulted.faultsWith(ctx, doc("type: t\nstatus: 400")), "has": s.hasAll(ctx, "'pet', 'pet.name'"),
		"has inside": s.hasAll(ctx, "'pet.tags.a'"), "has value": s.hasValue(ctx, "pet.id", doc("'7'")), "has items": s.hasItems(ctx, "pet.tags", 1),
		"has no items": s.hasItems(ctx, "pet", 1), "first": s.runsFirst(ctx, "two"), "last": s.runsLast(ctx, "two"), "never": s.runsFirst(ctx, "four"),
		"before": s.runsAfter(ctx, "one", "two"), "after what never ran": s.runsAfter(ctx, "one", "four"),
	} {
		if !errors.Is(err, errUnlike) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNoKit: a folder without features is told.
func TestNoKit(t *testing.T) {
	t.Parallel()
	if _, err := Run(t.Context(), t.TempDir(), nil, nil, t.Output()); !errors.Is(err, ErrNoKit) {
		t.Errorf("%v", err)
	}
}
