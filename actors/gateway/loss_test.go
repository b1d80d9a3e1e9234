package gateway_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/messages/adminv1"
)

// desk is where losses are accepted, as a test has it.
type desk struct {
	refusal  error
	accepted string
}

func (d *desk) Show(context.Context) ([]*adminv1.JournalServer, error) {
	return []*adminv1.JournalServer{{Confirm: "word"}}, d.refusal
}

func (d *desk) Accept(_ context.Context, confirm string) (uint64, error) {
	d.accepted = confirm
	return 7, d.refusal
}

// What is lacking is shown, and accepted by a word, in a cluster only; refusals are told with their reasons.
func TestLosses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, d := start(t), &desk{}
		ctx := t.Context()
		show := func() (*adminv1.ShowLossResponse, error) { return n.admin.ShowLoss(ctx, &adminv1.ShowLossRequest{}) }
		accept := func(word string) (*adminv1.AcceptLossResponse, error) {
			return n.admin.AcceptLoss(ctx, &adminv1.AcceptLossRequest{Confirm: word})
		}
		_, shown := show()
		_, accepted := accept("word")
		for what, err := range map[string]error{"show": shown, "accept": accepted} {
			if status.Code(err) != codes.FailedPrecondition || refusalOf(t, err).reason != "NO_CLUSTER" {
				t.Errorf("%s in no cluster: %v", what, err)
			}
		}
		n.server.LoseBy(d)
		if a, err := show(); err != nil || len(a.GetServers()) != 1 || a.GetServers()[0].GetConfirm() != "word" {
			t.Errorf("show: %v %v", a, err)
		}
		if _, err := accept(""); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "confirm is empty") || d.accepted != "" {
			t.Errorf("accept nothing: %v", err)
		}
		if a, err := accept("word"); err != nil || a.GetGeneration() != 7 || d.accepted != "word" {
			t.Errorf("accept: %v %v", a, err)
		}
		d.refusal = unwanted{"CONSUL_AWAY", ""}
		if _, err := show(); status.Code(err) != codes.FailedPrecondition || refusalOf(t, err).reason != "CONSUL_AWAY" {
			t.Errorf("show without Consul: %v", err)
		}
		d.refusal = unwanted{"NO_SUCH_LOSS", "confirm"}
		if _, err := accept("other"); status.Code(err) != codes.FailedPrecondition || len(refusalOf(t, err).fields) != 1 {
			t.Errorf("accept another loss: %v", err)
		}
	})
}
