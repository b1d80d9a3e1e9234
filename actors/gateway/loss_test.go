package gateway_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/holdfast-run/holdfast/actors/gateway"
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

// A node that starts has no audit yet: its log tells who has accepted a loss, and who was not allowed to.
func TestWhoAcceptsALossOfANodeThatStarts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newAccessFile(t)
		root := f.caller("root", "{role: administrator, namespaces: ['*']}")
		viewer := f.caller("viewer", "{role: viewer, namespaces: ['*']}")
		d, log := &desk{}, &bytes.Buffer{}
		g := gateway.NewStarting(d, f.open(), slog.New(slog.NewTextHandler(log, nil)))
		listener := bufconn.Listen(1 << 20)
		served := make(chan error, 1)
		go func() { served <- g.Serve(listener) }()
		conn, err := grpc.NewClient("passthrough:///node", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
		if err != nil {
			t.Fatal(err)
		}
		accept := func(token string) error {
			_, err := adminv1.NewAdminServiceClient(conn).AcceptLoss(bearing(t.Context(), token), &adminv1.AcceptLossRequest{Confirm: "word"})
			return err
		}
		wantCode(t, codes.PermissionDenied, accept(viewer))
		if d.accepted != "" {
			t.Error("a viewer has accepted a loss")
		}
		wantCode(t, codes.OK, accept(root))
		d.refusal = unwanted{"NO_SUCH_LOSS", "confirm"}
		wantCode(t, codes.FailedPrecondition, accept(root))
		_ = conn.Close()
		g.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		for _, want := range []string{
			`msg="caller refused" name=viewer`, `msg="a loss was accepted: what the database lacks is given up" name=root known_by="token root"`,
			`msg="a loss was not accepted" name=root`, "confirm=word generation=7",
		} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log does not tell %q:\n%s", want, log)
			}
		}
	})
}
