package gateway

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/holdfast-run/holdfast/actors"
	failures "github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/eventv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
)

// events serves eventv1.EventService.
type events struct {
	eventv1.UnimplementedEventServiceServer
	*Server
}

// maxEvents is the most events that can be published at once.
const maxEvents = 1000

// Publish implements eventv1.EventServiceServer.
func (e events) Publish(ctx context.Context, r *eventv1.PublishRequest) (*eventv1.PublishResponse, error) {
	client, err := e.admission.client(ctx)
	if err == nil {
		err = e.admission.admit(client)
	}
	if err != nil {
		return nil, e.refused(err)
	}
	var m mistakes
	checkNamespace(&m, "namespace", r.GetNamespace())
	if n := len(r.GetEvents()); n == 0 || n > maxEvents {
		m.add("events", fmt.Sprintf("are %d, and must be from 1 to %d", n, maxEvents))
	}
	keep := e.keepFor(&m, r.GetKeepFor())
	raw := make([][]byte, min(len(r.GetEvents()), maxEvents))
	for i := range raw {
		raw[i] = e.encodeEvent(&m, fmt.Sprintf("events[%d]", i), r.GetEvents()[i])
	}
	if err := m.err(); err != nil {
		return nil, e.fail(err)
	}
	places, err := e.publish(ctx, r.GetNamespace(), raw, keep)
	if err != nil {
		return nil, e.fail(err)
	}
	return &eventv1.PublishResponse{Places: places}, nil
}

// publish publishes events, and returns when all of them are durable, with how many places each went to.
func (s *Server) publish(ctx context.Context, namespace string, raw [][]byte, keep time.Duration) ([]uint32, error) {
	type published struct {
		event, slots int
		failure      *nodev1.Failure
	}
	answers := make(chan published, len(raw))
	for i, event := range raw {
		s.engine.Publish(namespace, event, keep, func(slots int, f *nodev1.Failure) { answers <- published{i, slots, f} })
	}
	places, failed := make([]uint32, len(raw)), make([]*nodev1.Failure, len(raw))
	for range raw {
		select {
		case a := <-answers:
			failed[a.event] = a.failure
			places[a.event] = uint32(a.slots) //nolint:gosec // there are few
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return places, s.unpublished(failed)
}

// unpublished says which events of a publication may not be durable, by their numbers, and why the first of them is not. There is a failure
// or nil for each event.
func (s *Server) unpublished(failed []*nodev1.Failure) error {
	first := slices.IndexFunc(failed, func(f *nodev1.Failure) bool { return f != nil })
	if first < 0 {
		return nil
	}
	f := *s.explain(failures.Err(failed[first]))
	which, n := numbersOf(failed)
	if len(failed) > 1 {
		f.message = fmt.Sprintf("%d of %d events may not be durable, the first of them is event %d: %s", n, len(failed), first, f.message)
		f.beside = map[string]string{"events": which}
	}
	return &f
}

// numbersOf are the numbers of the events that have failed, such as 0-3,7, and how many they are.
func numbersOf(failed []*nodev1.Failure) (text string, n int) {
	var b strings.Builder
	for i := 0; i < len(failed); i++ {
		if failed[i] == nil {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(i))
		begin := i
		for i+1 < len(failed) && failed[i+1] != nil {
			i++
		}
		if i > begin {
			b.WriteByte('-')
			b.WriteString(strconv.Itoa(i))
		}
		n += i - begin + 1
	}
	return b.String(), n
}

func checkNamespace(m *mistakes, field, namespace string) {
	if namespace == "" || len(namespace) > maxNamespace {
		m.add(field, fmt.Sprintf("must be the namespace of definitions, of 1 to %d bytes", maxNamespace))
	}
}

// maxNamespace is the longest name of a namespace, in bytes: see package definition.
const maxNamespace = 63

// keepFor reads how long events are to be kept; 0: as long as events are kept.
func (s *Server) keepFor(m *mistakes, d *durationpb.Duration) time.Duration {
	if d == nil {
		return 0
	}
	if err := d.CheckValid(); err != nil || d.AsDuration() <= 0 || d.AsDuration() > actors.Longest {
		m.add("keep_for", fmt.Sprintf("must be longer than 0 and at most %v", actors.Longest))
	}
	return d.AsDuration()
}

// encodeEvent makes the JSON of an event.
func (s *Server) encodeEvent(m *mistakes, field string, e *eventv1.Event) []byte {
	out := map[string]any{"specversion": "1.0", "id": e.GetId(), "source": e.GetSource(), "type": e.GetType()}
	optional := func(name, value string) {
		if value != "" {
			out[name] = value
		}
	}
	optional("subject", e.GetSubject())
	optional("datacontenttype", e.GetContentType())
	optional("dataschema", e.GetDataSchema())
	if t := e.GetTime(); t != nil {
		if err := t.CheckValid(); err != nil {
			m.add(field+".time", err.Error())
		}
		out["time"] = t.AsTime().Format(time.RFC3339Nano)
	}
	for _, name := range slices.Sorted(maps.Keys(e.GetExtensions())) {
		if _, taken := out[name]; taken || name == "data" || name == "data_base64" {
			m.add(field+".extensions", fmt.Sprintf("have %.60q, which is no extension: give the field of the event", name))
			continue
		}
		out[name] = e.GetExtensions()[name]
	}
	switch data := e.GetData(); {
	case len(data) == 0:
	case messages.IsJSON(e.GetContentType()):
		if err := checkJSON(data, s.config.MaxInput, s.config.MaxDepth); err != nil {
			m.add(field+".data", err.Error())
			return nil
		}
		out["data"] = json.RawMessage(data)
	default:
		out["data_base64"] = base64.StdEncoding.EncodeToString(data)
	}
	raw, err := json.Marshal(out)
	if err == nil {
		err = s.checkEvent(raw)
	}
	if err != nil {
		m.add(field, err.Error())
	}
	return raw
}

// checkEvent says what is wrong with the JSON of an event.
func (s *Server) checkEvent(raw []byte) error {
	if len(raw) > s.config.MaxInput {
		return fmt.Errorf("has %d bytes, more than the limit of %d", len(raw), s.config.MaxInput) //nolint:err113 // for people
	}
	return actors.CheckEvent(raw)
}
