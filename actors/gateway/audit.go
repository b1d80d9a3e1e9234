package gateway

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/actors/access"
	"github.com/holdfast-run/holdfast/actors/audit"
	"github.com/holdfast-run/holdfast/actors/audit/recorder"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/auditv1"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// Audit keeps what was changed, and who was refused.
type Audit interface {
	// Begin notes durably that a change is about to be made. If it fails, the change must not be made.
	Begin(ctx context.Context, b *auditv1.Begun) (sequence uint64, err error)
	// End notes durably what came of it.
	End(ctx context.Context, e *auditv1.Ended) error
	// Refused counts that somebody was refused. It never blocks.
	Refused(what string, who *auditv1.Caller, why string)
	// Read returns entries as they are stored, and where to go on.
	Read(ctx context.Context, w recorder.Wanted) (entries [][]byte, next audit.Place, err error)
	// Head returns the head of the node's chain in its text form.
	Head() (string, error)
}

// AuditBy says where changes are noted. It is to be called before anybody connects; without it they are not.
func (s *Server) AuditBy(a Audit) { s.audit = a }

func always(any) bool { return true }

// audited says of which methods the calls are noted, as they change something. Submissions are not among them: the journal has them.
var audited = map[string]func(request any) bool{ //nolint:gochecknoglobals // a table
	orderv1.OrderService_Cancel_FullMethodName:              always,
	definitionv1.DefinitionService_Deploy_FullMethodName:    always,
	definitionv1.DefinitionService_Retire_FullMethodName:    always,
	definitionv1.DefinitionService_Reinstate_FullMethodName: always,
	definitionv1.DefinitionService_Remove_FullMethodName:    always,
	adminv1.AdminService_ReleaseKey_FullMethodName:          always,
	adminv1.AdminService_Operate_FullMethodName: func(request any) bool {
		r, ok := request.(*adminv1.OperateRequest)
		return ok && !r.GetDryRun()
	},
	adminv1.AdminService_OperateAll_FullMethodName: func(request any) bool {
		r, ok := request.(*adminv1.OperateAllRequest)
		return ok && !r.GetDryRun()
	},
	adminv1.AdminService_LimitActivity_FullMethodName:   always,
	adminv1.AdminService_PauseSchedule_FullMethodName:   always,
	adminv1.AdminService_ResumeSchedule_FullMethodName:  always,
	adminv1.AdminService_TriggerSchedule_FullMethodName: always,
	adminv1.AdminService_BackupJournal_FullMethodName:   always,
	adminv1.AdminService_DrainNode_FullMethodName:       always,
	adminv1.AdminService_Rebalance_FullMethodName:       always,
	adminv1.AdminService_RaiseLevel_FullMethodName:      always,
	adminv1.AdminService_AcceptLoss_FullMethodName:      always,
}

// notedWithin is how long it may take to note what came of a change; its caller may have gone meanwhile.
const notedWithin = 10 * time.Second

// isNoted tells whether a call changes something, and is noted.
func (s *Server) isNoted(method string, req any) bool {
	if s.audit == nil {
		return false
	}
	changes := audited[method]
	return changes != nil && changes(req)
}

// noted makes a change, which is noted before and after.
func (s *Server) noted(ctx context.Context, method string, req any, change func(context.Context) error) error {
	if !s.isNoted(method, req) {
		return change(ctx)
	}
	b := &auditv1.Begun{Caller: callerOf(ctx), Method: method}
	if m, ok := req.(proto.Message); ok {
		tellRequest(b, m)
	}
	if method == adminv1.AdminService_AcceptLoss_FullMethodName {
		return s.notedAfter(ctx, b, change)
	}
	sequence, err := s.audit.Begin(ctx, b)
	if errors.Is(err, recorder.ErrStopped) {
		return s.fail(runtime.ErrStopping)
	}
	if err != nil {
		return s.fail(fmt.Errorf("nothing was done, as that can't be noted: %w", err))
	}
	n := &notes{}
	err = change(context.WithValue(ctx, notesKey{}, n))
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), notedWithin)
	defer cancel()
	if endErr := s.audit.End(end, ended(sequence, n, err)); endErr != nil {
		return s.fail(fmt.Errorf("what came of it can't be noted (it may have been done: %s): %w", outcome(err), endErr))
	}
	return err
}

// ended says what came of a change.
func ended(begun uint64, n *notes, err error) *auditv1.Ended {
	e := &auditv1.Ended{Begun: begun, Changes: n.changes}
	if st, _ := status.FromError(err); st.Code() != codes.OK {
		e.Code, e.Message = int32(st.Code()), messages.Clip(st.Message(), maxNote) //nolint:gosec // a code is small
		for _, d := range st.Details() {
			if info, ok := d.(*errdetails.ErrorInfo); ok {
				e.Reason = messages.Clip(info.GetReason(), maxNote)
			}
		}
	}
	return e
}

// noteAgain is when it is tried again to note what was changed.
const noteAgain = 100 * time.Millisecond

// notedAfter makes a change without which the journal may not answer, nor take a note. It is noted as soon as the journal does; until then,
// and if it goes on not to, the log has it.
func (s *Server) notedAfter(ctx context.Context, b *auditv1.Begun, change func(context.Context) error) error {
	n := &notes{}
	err := change(context.WithValue(ctx, notesKey{}, n))
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), notedWithin)
	defer cancel()
	e := ended(0, n, err)
	note := func() error {
		if e.GetBegun() == 0 {
			sequence, err := s.audit.Begin(end, b)
			if err != nil {
				return err
			}
			e.Begun = sequence
		}
		return s.audit.End(end, e)
	}
	noteErr := note()
	for noteErr != nil && err == nil && end.Err() == nil {
		select {
		case <-time.After(noteAgain):
		case <-end.Done():
		}
		noteErr = note()
	}
	if noteErr != nil {
		s.log.Error("the audit lacks a change, as the journal takes no note", "method", b.GetMethod(), "name", b.GetCaller().GetName(),
			"from", b.GetCaller().GetAddress(), "error", noteErr)
	}
	return err
}

func outcome(err error) string {
	if err == nil {
		return "it was"
	}
	return err.Error()
}

// notes are what a handler tells of what it changes. They belong to the goroutine of the call.
type notes struct{ changes []*auditv1.Change }

type notesKey struct{}

// note tells what something was before, and is now, if that is noted. It is clipped.
func note(ctx context.Context, what, before, after string) {
	if n, ok := ctx.Value(notesKey{}).(*notes); ok && len(n.changes) < maxNotes {
		n.changes = append(n.changes, &auditv1.Change{
			What: messages.Clip(what, maxNote), Before: messages.Clip(before, maxNote), After: messages.Clip(after, maxNote),
		})
	}
}

// statusNoted is the status of an order, if what changes it is noted; empty if nobody can tell.
func (s *Server) statusNoted(ctx context.Context, id string) string {
	if _, noted := ctx.Value(notesKey{}).(*notes); !noted {
		return ""
	}
	row, err := s.engine.View().Row(ctx, messages.OrderID(id))
	if err != nil {
		return ""
	}
	return orderv1.Status(row.GetStatus()).String()
}

// callerOf says who calls, as far as that was proved, and from where.
func callerOf(ctx context.Context) *auditv1.Caller { return access.CallerOf(ctx).Noted() }

// refuseCaller tells a caller that it may not do something, and notes that. Without an audit, which a node that starts does not have yet,
// the log has it alone.
func (s *Server) refuseCaller(ctx context.Context, what string, err error) error {
	if f, is := errors.AsType[*failure](err); is && slices.Contains([]string{unknownReason, deniedReason, changedReason}, f.reason) {
		who := callerOf(ctx)
		if s.audit != nil {
			s.audit.Refused(what, who, f.message)
		}
		if s.callerRefused.afterQuiet() {
			s.log.Warn("caller refused", "name", who.GetName(), "from", who.GetAddress(), "what", what, "reason", f.message)
		}
	}
	return s.fail(err)
}

var errNoAudit = &failure{ //nolint:gochecknoglobals // a constant
	code: codes.FailedPrecondition, reason: "NO_AUDIT", message: "this node keeps no audit",
}

// mostEntries is the most entries of the audit of one page.
const mostEntries = 1000

// ListAudit implements adminv1.AdminServiceServer.
func (a admin) ListAudit(ctx context.Context, r *adminv1.ListAuditRequest) (*adminv1.ListAuditResponse, error) {
	if a.audit == nil {
		return nil, a.fail(errNoAudit)
	}
	var m mistakes
	w := recorder.Wanted{Chain: r.GetChain(), Bytes: pageBytes}
	w.Limit = checkLimit(&m, "page_size", r.GetPageSize(), mostEntries)
	if r.GetSince() != nil {
		w.Since = r.GetSince().AsTime()
	}
	var err error
	if w.From, err = auditPlaceOf(r.GetPageToken()); err != nil {
		m.add("page_token", notAToken)
	}
	if err := m.err(); err != nil {
		return nil, a.fail(err)
	}
	entries, next, err := a.audit.Read(ctx, w)
	if err != nil {
		return nil, a.fail(err)
	}
	out := &adminv1.ListAuditResponse{Entries: entries}
	if next != (audit.Place{}) {
		token := append(binary.BigEndian.AppendUint64(nil, next.Sequence), next.Chain...)
		out.NextPageToken = base64.RawURLEncoding.EncodeToString(token)
	}
	return out, nil
}

func auditPlaceOf(token string) (audit.Place, error) {
	if token == "" {
		return audit.Place{}, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	const number = 8
	if err != nil || len(raw) <= number {
		return audit.Place{}, errors.Join(err, errors.New("it is not the token of an audit")) //nolint:err113 // it is not told
	}
	return audit.Place{Sequence: binary.BigEndian.Uint64(raw), Chain: string(raw[number:])}, nil
}

// ShowAuditHead implements adminv1.AdminServiceServer.
func (a admin) ShowAuditHead(context.Context, *adminv1.ShowAuditHeadRequest) (*adminv1.ShowAuditHeadResponse, error) {
	if a.audit == nil {
		return nil, a.fail(errNoAudit)
	}
	head, err := a.audit.Head()
	if err != nil {
		return nil, a.fail(err)
	}
	return &adminv1.ShowAuditHeadResponse{Head: head}, nil
}
