package gateway

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/actors/access"
	"github.com/holdfast-run/holdfast/actors/view"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

const (
	defaultListPage = 100
	// listScan is the most rows that one page looks at.
	listScan = 20_000
)

// List implements orderv1.OrderServiceServer.
func (o orders) List(ctx context.Context, r *orderv1.ListRequest) (*orderv1.ListResponse, error) {
	var m mistakes
	q := query(&m, "", r)
	q.Sees = access.Of(ctx).Sees(access.Viewer)
	if err := m.err(); err != nil {
		return nil, o.fail(err)
	}
	found, next, err := o.engine.View().List(ctx, q)
	if err != nil {
		return nil, o.fail(err)
	}
	out := &orderv1.ListResponse{}
	for _, f := range found {
		out.Orders = append(out.Orders, view.Listed(f.Row))
	}
	if n := fit(out.GetOrders(), pageBytes); n < len(found) {
		out.Orders, next = out.GetOrders()[:n], found[n-1].Handle
	}
	if !next.IsZero() {
		out.NextPageToken = base64.RawURLEncoding.EncodeToString(next[:])
	}
	return out, nil
}

// query makes the query that a request means. Errors name its fields, with in before them where it is part of another request.
func query(m *mistakes, in string, r *orderv1.ListRequest) view.Query {
	q := view.Query{
		Statuses: r.GetStatuses(), Definition: r.GetDefinition(), OrderKey: r.GetOrderKey(), Labels: labels(r.GetLabels()),
		Scan: listScan,
	}
	checkStatuses(m, in+"statuses", r.GetStatuses())
	checkDefinition(m, in+"definition", r.GetDefinition())
	q.From = checkTime(m, in+"accepted_from", r.GetAcceptedFrom())
	q.To = checkTime(m, in+"accepted_to", r.GetAcceptedTo())
	if t := r.GetPageToken(); t != "" {
		raw, err := base64.RawURLEncoding.DecodeString(t)
		if err != nil || len(raw) != len(q.After) {
			m.add(in+"page_token", notAToken)
		}
		copy(q.After[:], raw)
	}
	q.Limit = checkLimit(m, in+"page_size", r.GetPageSize(), defaultListPage)
	return q
}

func checkStatuses(m *mistakes, field string, statuses []orderv1.Status) {
	for _, s := range statuses {
		if _, known := orderv1.Status_name[int32(s)]; !known || s == orderv1.Status_STATUS_UNSPECIFIED {
			m.add(field, fmt.Sprintf("has %d, which is no status", s))
		}
	}
}

// checkDefinition checks the name of a definition, with or without a version, that orders are asked for by.
func checkDefinition(m *mistakes, field, definition string) {
	if definition == "" {
		return
	}
	if _, err := messages.ParseDefinitionRef(definition); err != nil {
		m.add(field, err.Error())
	} else if strings.HasSuffix(definition, ":"+messages.Latest) {
		m.add(field, "can't be latest here: name the version, or none for all")
	}
}

// stamp is a time in nanoseconds since 1970; nil if it is 0.
func stamp(ns int64) *timestamppb.Timestamp {
	if ns == 0 {
		return nil
	}
	return timestamppb.New(time.Unix(0, ns))
}
