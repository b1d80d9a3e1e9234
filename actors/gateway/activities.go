package gateway

import (
	"context"
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/actors/activity"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// ListActivities implements adminv1.AdminServiceServer.
func (a admin) ListActivities(_ context.Context, r *adminv1.ListActivitiesRequest) (*adminv1.ListActivitiesResponse, error) {
	var m mistakes
	limit := checkLimit(&m, "page_size", r.GetPageSize(), maxPage)
	from, err := base64.RawURLEncoding.DecodeString(r.GetPageToken())
	if err != nil {
		m.add("page_token", notAToken)
	}
	if err := m.err(); err != nil {
		return nil, a.fail(err)
	}
	all := a.engine.Activities().All()
	i, _ := slices.BinarySearchFunc(all, string(from), func(s activity.Status, name string) int {
		return strings.Compare(s.Name, name)
	})
	all = all[i:]
	var page []*adminv1.ActivityStatus
	for _, s := range all[:min(limit, len(all))] {
		page = append(page, activityStatus(s))
	}
	n := fit(page, pageBytes)
	out := &adminv1.ListActivitiesResponse{Activities: page[:n]}
	if n < len(all) {
		out.NextPageToken = base64.RawURLEncoding.EncodeToString([]byte(all[n].Name))
	}
	return out, nil
}

func activityStatus(s activity.Status) *adminv1.ActivityStatus {
	status := &adminv1.ActivityStatus{
		Activity: s.Name, Adapters: s.Adapters, Waiting: s.Waiting, InFlight: s.InFlight, Overflow: s.Overflow,
		AgeSeconds: s.Age.Seconds(), RatePerSecond: s.Rate, Away: s.Away, Suspects: s.Suspects, Redelivered: s.Redelivered,
		Quarantined: s.Quarantined,
	}
	if !s.AwayUntil.IsZero() {
		status.AwayUntil = timestamppb.New(s.AwayUntil)
	}
	if l := s.Limit; l != nil {
		status.Limit = &adminv1.ActivityLimit{
			RatePerSecond: l.GetRate(), Concurrency: l.GetConcurrency(), SetAt: stamp(l.GetAt()), By: l.GetBy(), Reason: l.GetReason(),
		}
	}
	return status
}

// maxActivity is the longest name of an activity that can be limited, in bytes.
const maxActivity = 256

// LimitActivity implements adminv1.AdminServiceServer.
func (a admin) LimitActivity(ctx context.Context, r *adminv1.LimitActivityRequest) (*adminv1.LimitActivityResponse, error) {
	var m mistakes
	adapter, name, _ := strings.Cut(r.GetActivity(), ".")
	if n := len(r.GetActivity()); adapter == "" || name == "" || strings.Contains(name, ":") || n > maxActivity {
		m.add("activity", fmt.Sprintf("is %.300q, and must be adapter.activity, without a version and of at most %d bytes",
			r.GetActivity(), maxActivity))
	}
	if rate := r.GetRatePerSecond(); !(rate >= 0) || math.IsInf(rate, 0) {
		m.add("rate_per_second", fmt.Sprintf("is %v, and must not be negative", rate))
	}
	checkReason(&m, "by", r.GetBy())
	checkReason(&m, "reason", r.GetReason())
	err := m.err()
	before := a.limitOf(r.GetActivity())
	if err == nil {
		err = a.engine.SetLimit(ctx, &journalv1.LimitRow{
			Activity: r.GetActivity(), Rate: r.GetRatePerSecond(), Concurrency: r.GetConcurrency(), At: a.engine.Now().UnixNano(),
			By: signed(ctx, r.GetBy()), Reason: r.GetReason(),
		})
	}
	if err != nil {
		return nil, a.fail(err)
	}
	note(ctx, "limit of "+r.GetActivity(), limitText(before.GetRate(), before.GetConcurrency()),
		limitText(r.GetRatePerSecond(), r.GetConcurrency()))
	return &adminv1.LimitActivityResponse{Unknown: !a.offered.has(r.GetActivity()) && !a.engine.Catalog().Calls(r.GetActivity())}, nil
}

// limitOf is the limit that an activity has; nil: none.
func (a admin) limitOf(name string) *journalv1.LimitRow {
	all := a.engine.Activities().All()
	i, found := slices.BinarySearchFunc(all, name, func(s activity.Status, name string) int { return strings.Compare(s.Name, name) })
	if !found {
		return nil
	}
	return all[i].Limit
}

func limitText(rate float64, concurrency uint32) string {
	return fmt.Sprintf("%v a second, %d at a time (0: any)", rate, concurrency)
}

// mostUnserved is how many activities without an adapter are named.
const mostUnserved = 10

// Status implements adminv1.AdminServiceServer.
func (a admin) Status(ctx context.Context, _ *adminv1.StatusRequest) (*adminv1.StatusResponse, error) {
	s := a.engine.Status(ctx)
	out := &adminv1.StatusResponse{
		Node: string(a.node), Version: a.config.Version, StartedAt: timestamppb.New(a.started), Open: s.Open, Resident: s.Resident,
		Timers: s.Timers, ResidentBytes: s.ResidentBytes, Faulted: s.Faulted, InDoubt: s.InDoubt, Suspended: s.Suspended,
		KeysHeld: int64(s.KeysHeld), UnloadableCount: int64(s.UnloadableCount),
	}
	for _, id := range s.Unloadable {
		out.Unloadable = append(out.Unloadable, string(id))
	}
	if err := a.engine.Ready(); err != nil {
		out.Unready = err.Error()
	}
	for _, act := range a.engine.Activities().All() {
		out.Waiting += act.Waiting
		out.InFlight += act.InFlight
		out.Overflow += act.Overflow
		if act.Adapters == 0 && act.Waiting+act.Overflow > 0 {
			if out.UnservedCount++; len(out.GetUnserved()) < mostUnserved {
				out.Unserved = append(out.Unserved, act.Name)
			}
		}
	}
	return out, nil
}
