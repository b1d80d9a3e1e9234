package gateway_test

import (
	"testing"

	"github.com/holdfast-run/holdfast/actors/gateway"
	"github.com/holdfast-run/holdfast/messages/adminv1"
)

func TestCancelActionTellsWhetherToCompensate(t *testing.T) {
	t.Parallel()
	for act, want := range map[*adminv1.Action_Cancel]bool{
		{}: false, {Cancel: &adminv1.Cancel{}}: false, {Cancel: &adminv1.Cancel{Compensate: true}}: true,
	} {
		m := gateway.CommandOf(&adminv1.Action{By: "jane", Reason: "enough", Kind: act})
		if c := m.GetCancel(); c == nil || c.GetCompensate() != want || c.GetBy() != "jane" || c.GetReason() != "enough" {
			t.Errorf("%v means %v", act, m)
		}
	}
}
