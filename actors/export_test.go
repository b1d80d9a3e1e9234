package actors

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// ReadEvents reads the events of a history.
func ReadEvents(ctx context.Context, j persistence.Reader, h messages.Handle) ([]*journalv1.Event, error) {
	var events []*journalv1.Event
	for stored, err := range j.Records(ctx, h, 1) {
		if err != nil {
			return nil, err
		}
		var r journalv1.Record
		if err := proto.Unmarshal(stored.Data, &r); err != nil {
			return nil, err
		}
		events = append(events, r.GetEvents()...)
	}
	return events, nil
}
