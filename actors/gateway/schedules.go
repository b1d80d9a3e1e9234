package gateway

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/holdfast-run/holdfast/actors/access"
	failures "github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
)

// ListSchedules implements adminv1.AdminServiceServer.
func (a admin) ListSchedules(ctx context.Context, r *adminv1.ListSchedulesRequest) (*adminv1.ListSchedulesResponse, error) {
	var m mistakes
	limit := checkLimit(&m, "limit", r.GetLimit(), defaultListPage)
	from, err := base64.RawURLEncoding.DecodeString(r.GetPageToken())
	if err != nil {
		m.add("page_token", notAToken)
	}
	if err := m.err(); err != nil {
		return nil, a.fail(err)
	}
	sees := access.Of(ctx).Sees(access.Viewer)
	rows := slices.DeleteFunc(a.engine.Catalog().Scheduled(), func(row *journalv1.DefinitionRow) bool {
		namespace := row.GetNamespace()
		return r.GetNamespace() != "" && namespace != r.GetNamespace() || sees != nil && !sees(namespace) || scheduleName(row) < string(from)
	})
	slices.SortFunc(rows, func(a, b *journalv1.DefinitionRow) int { return strings.Compare(scheduleName(a), scheduleName(b)) })
	page := make([]*adminv1.Schedule, min(limit, len(rows)))
	var asked sync.WaitGroup
	for i := range page {
		asked.Go(func() { page[i] = a.schedule(ctx, rows[i]) })
	}
	asked.Wait()
	n := fit(page, pageBytes)
	out := &adminv1.ListSchedulesResponse{Schedules: page[:n]}
	if n < len(rows) {
		out.NextPageToken = base64.RawURLEncoding.EncodeToString([]byte(scheduleName(rows[n])))
	}
	return out, nil
}

func scheduleName(row *journalv1.DefinitionRow) string {
	return row.GetNamespace() + "/" + row.GetName()
}

// schedule tells how the schedule of the definitions of a name stands.
func (a admin) schedule(ctx context.Context, row *journalv1.DefinitionRow) *adminv1.Schedule {
	s, err := a.engine.Schedule(ctx, row.GetNamespace(), row.GetName(), &nodev1.Envelope{Message: &nodev1.Envelope_ShowSchedule{}})
	if err != nil && failures.Of(err).GetReason() != nodev1.Reason_REASON_NO_SUCH_SCHEDULE {
		return &adminv1.Schedule{Name: scheduleName(row), Unknown: a.explain(err).message}
	}
	return scheduleOf(scheduleName(row), s)
}

func scheduleOf(name string, s *nodev1.ScheduleState) *adminv1.Schedule {
	last := s.GetLast()
	out := &adminv1.Schedule{
		Name: name, Definition: s.GetDefinition(), Rule: s.GetRule(), Next: stamp(s.GetNext()), LastId: last.GetFired().GetOrderId(),
		LastAt: stamp(last.GetAt()), LastDue: stamp(last.GetFired().GetDue()), LastError: last.GetError(),
		UnderWay: int64(s.GetUnderWay()), Collected: int64(s.GetCollected()),
	}
	if p := s.GetPaused(); p != nil {
		out.PausedAt, out.PausedBy, out.PausedReason = stamp(s.GetPausedAt()), p.GetBy(), p.GetReason()
	}
	if x := s.GetSkipped(); x != nil {
		out.SkippedFrom, out.SkippedTo, out.SkippedDetail = stamp(x.GetFrom()), stamp(x.GetTo()), x.GetDetail()
		out.SkippedWhy = strings.TrimPrefix(x.GetWhy().String(), "SKIP_")
	}
	return out
}

// PauseSchedule implements adminv1.AdminServiceServer.
func (a admin) PauseSchedule(ctx context.Context, r *adminv1.PauseScheduleRequest) (*adminv1.PauseScheduleResponse, error) {
	s, err := a.tellSchedule(ctx, r, &nodev1.Envelope{Message: &nodev1.Envelope_PauseSchedule{PauseSchedule: &nodev1.PauseSchedule{
		By: signed(ctx, r.GetBy()), Reason: r.GetReason(),
	}}})
	return &adminv1.PauseScheduleResponse{Schedule: s}, err
}

// ResumeSchedule implements adminv1.AdminServiceServer.
func (a admin) ResumeSchedule(ctx context.Context, r *adminv1.ResumeScheduleRequest) (*adminv1.ResumeScheduleResponse, error) {
	s, err := a.tellSchedule(ctx, r, &nodev1.Envelope{Message: &nodev1.Envelope_ResumeSchedule{ResumeSchedule: &nodev1.ResumeSchedule{
		By: signed(ctx, r.GetBy()), Reason: r.GetReason(),
	}}})
	return &adminv1.ResumeScheduleResponse{Schedule: s}, err
}

// TriggerSchedule implements adminv1.AdminServiceServer.
func (a admin) TriggerSchedule(ctx context.Context, r *adminv1.TriggerScheduleRequest) (*adminv1.TriggerScheduleResponse, error) {
	id := messages.OrderID(r.GetOrderId())
	if id == "" {
		id = messages.NewOrderID()
	}
	var m mistakes
	if err := id.Validate(); err != nil {
		m.add("order_id", err.Error())
	}
	if len(r.GetInput()) > 0 {
		if err := checkJSON(r.GetInput(), a.config.MaxInput, a.config.MaxDepth); err != nil {
			m.add("input", err.Error())
		}
	}
	if err := m.err(); err != nil {
		return nil, a.fail(err)
	}
	s, err := a.tellSchedule(ctx, r, &nodev1.Envelope{Message: &nodev1.Envelope_TriggerSchedule{TriggerSchedule: &nodev1.TriggerSchedule{
		OrderId: string(id), Input: r.GetInput(), By: signed(ctx, r.GetBy()), Reason: r.GetReason(),
	}}})
	if err != nil {
		return nil, err
	}
	note(ctx, "order", "", string(id))
	return &adminv1.TriggerScheduleResponse{OrderId: string(id), Schedule: s}, nil
}

// aboutSchedule is a request about the schedule of the definitions of a name.
type aboutSchedule interface {
	GetDefinition() string
	GetBy() string
	GetReason() string
}

// tellSchedule tells a schedule something, and returns how it stands then.
func (a admin) tellSchedule(ctx context.Context, r aboutSchedule, e *nodev1.Envelope) (*adminv1.Schedule, error) {
	var m mistakes
	checkReason(&m, "by", r.GetBy())
	checkReason(&m, "reason", r.GetReason())
	ref, err := messages.ParseDefinitionRef(r.GetDefinition())
	if err != nil || strings.Contains(r.GetDefinition(), ":") {
		m.add("definition", fmt.Sprintf("is %.200q, and must be namespace/name: there is one schedule for all versions", r.GetDefinition()))
	}
	if err := m.err(); err != nil {
		return nil, a.fail(err)
	}
	s, err := a.engine.Schedule(ctx, ref.Namespace, ref.Name, e)
	if err != nil {
		return nil, a.fail(err)
	}
	return scheduleOf(r.GetDefinition(), s), nil
}
