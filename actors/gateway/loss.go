package gateway

import (
	"context"
	"log/slog"
	"strconv"

	"google.golang.org/grpc"

	"github.com/holdfast-run/holdfast/messages/adminv1"
)

// Losses shows what the servers of the journal's databases lack of what was confirmed, and has nodes go on with one of them.
type Losses interface {
	// Show tells what each server lacks.
	Show(ctx context.Context) ([]*adminv1.JournalServer, error)
	// Accept accepts the loss of what a server lacks, which Show has given a word to confirm it by. It returns the generation that begins.
	Accept(ctx context.Context, confirm string) (generation uint64, err error)
}

// LoseBy says how losses are shown and accepted. It is to be called before operators connect; without it the node is in no cluster.
func (s *Server) LoseBy(l Losses) { s.losses = l }

// ShowLoss implements adminv1.AdminServiceServer.
func (a admin) ShowLoss(ctx context.Context, _ *adminv1.ShowLossRequest) (*adminv1.ShowLossResponse, error) {
	if a.losses == nil {
		return nil, a.fail(errAlone)
	}
	servers, err := a.losses.Show(ctx)
	if err != nil {
		return nil, a.fail(err)
	}
	return &adminv1.ShowLossResponse{Servers: servers}, nil
}

// AcceptLoss implements adminv1.AdminServiceServer.
func (a admin) AcceptLoss(ctx context.Context, r *adminv1.AcceptLossRequest) (*adminv1.AcceptLossResponse, error) {
	if a.losses == nil {
		return nil, a.fail(errAlone)
	}
	if r.GetConfirm() == "" {
		var m mistakes
		m.add("confirm", "is empty: give the word that was shown with what is lacking")
		return nil, a.fail(m.err())
	}
	// The log has it in any case: a node that starts has no audit yet.
	who := callerOf(ctx)
	log := a.log.With("name", who.GetName(), "known_by", who.GetKnownBy(), "from", who.GetAddress(), "confirm", r.GetConfirm())
	generation, err := a.losses.Accept(ctx, r.GetConfirm())
	if err != nil {
		log.Warn("a loss was not accepted", "error", err)
		return nil, a.fail(err)
	}
	log.Warn("a loss was accepted: what the database lacks is given up", "generation", generation)
	note(ctx, "generation", "", strconv.FormatUint(generation, 10))
	return &adminv1.AcceptLossResponse{Generation: generation}, nil
}

// starting serves what operators may need of a node that can't start.
type starting struct {
	adminv1.UnimplementedAdminServiceServer

	admin admin
}

// Starting tells whether a method is served by NewStarting.
func Starting(method string) bool {
	return method == adminv1.AdminService_ShowLoss_FullMethodName || method == adminv1.AdminService_AcceptLoss_FullMethodName
}

// NewStarting makes the gRPC server for operators of a node that has not started: it may be that it can't before a loss is accepted.
func NewStarting(l Losses, callers Callers, log *slog.Logger) *grpc.Server {
	s := &Server{log: log, losses: l, callers: callers}
	g := grpc.NewServer(grpc.UnaryInterceptor(s.unary(nil)), grpc.ForceServerCodecV2(newCodec()))
	adminv1.RegisterAdminServiceServer(g, starting{admin: admin{Server: s}})
	return g
}

// ShowLoss implements adminv1.AdminServiceServer.
func (s starting) ShowLoss(ctx context.Context, r *adminv1.ShowLossRequest) (*adminv1.ShowLossResponse, error) {
	return s.admin.ShowLoss(ctx, r)
}

// AcceptLoss implements adminv1.AdminServiceServer.
func (s starting) AcceptLoss(ctx context.Context, r *adminv1.AcceptLossRequest) (*adminv1.AcceptLossResponse, error) {
	return s.admin.AcceptLoss(ctx, r)
}
