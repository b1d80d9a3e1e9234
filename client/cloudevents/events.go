package cloudevents

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages/eventv1"
)

// The media types of bodies that have whole events.
const (
	cloudEvents   = "application/cloudevents"
	oneEvent      = cloudEvents + "+json"
	manyEvents    = cloudEvents + "-batch+json"
	unknownData   = "application/octet-stream"
	attributeMark = "ce-" // begins the headers with attributes
)

// eventsOf reads the events of a request, as section 3 of the HTTP protocol binding has it, and tells whether they are a batch.
func (h *handler) eventsOf(header http.Header, body []byte) (events []*eventv1.Event, batch bool, p *problem) {
	if coding := header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, false, problemf(http.StatusUnsupportedMediaType, "the Content-Encoding must be identity, but is %.60q", coding)
	}
	types := header.Values("Content-Type")
	if len(types) > 1 {
		return nil, false, problemf(http.StatusUnsupportedMediaType, "the Content-Type is given twice")
	}
	media, parameters, err := mime.ParseMediaType(header.Get("Content-Type"))
	if len(types) > 0 && (err != nil || !utf8.ValidString(types[0])) {
		return nil, false, problemf(http.StatusUnsupportedMediaType, "the Content-Type is not of the form type/subtype, but is %.120q", types[0])
	}
	switch charset := parameters["charset"]; {
	case !strings.HasPrefix(media, cloudEvents):
		e, p := eventInHeaders(header, body)
		return []*eventv1.Event{e}, false, p
	case media != oneEvent && media != manyEvents:
		return nil, false, problemf(http.StatusUnsupportedMediaType,
			"events are taken as %s or %s, and not as %.60s", oneEvent, manyEvents, media)
	case charset != "" && !strings.EqualFold(charset, "utf-8"):
		return nil, false, problemf(http.StatusUnsupportedMediaType, "events in JSON must be in UTF-8, and not in %.60s", charset)
	case media == manyEvents:
		events, p := h.batch(body)
		return events, true, p
	}
	e, err := client.EventOf(body)
	if err != nil {
		return nil, false, badEvent(err)
	}
	return []*eventv1.Event{e}, false, nil
}

// badEvent says what is wrong with the one event of a request.
func badEvent(err error) *problem {
	p := problemf(http.StatusBadRequest, "%v", err)
	p.Errors = []mistake{mistakeOf(err)}
	return p
}

// batch reads a JSON array of events. What is wrong with any of them is told, and none is published then.
func (h *handler) batch(body []byte) ([]*eventv1.Event, *problem) {
	noBatch := problemf(http.StatusBadRequest, "a batch must be a JSON array of events")
	d := json.NewDecoder(bytes.NewReader(body))
	if begin, err := d.Token(); err != nil || begin != json.Delim('[') {
		return nil, noBatch
	}
	events := []*eventv1.Event{}
	var mistakes []mistake
	for n := 0; d.More(); n++ {
		if n == h.config.MaxBatch {
			return nil, problemf(http.StatusRequestEntityTooLarge, "the batch has more than %d events: send fewer at once", h.config.MaxBatch)
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, noBatch
		}
		e, err := client.EventOf(raw)
		if err != nil {
			m := mistakeOf(err)
			m.Event = &n
			mistakes = append(mistakes, m)
			continue
		}
		events = append(events, e)
	}
	if _, err := d.Token(); err != nil {
		return nil, noBatch
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, noBatch
	}
	if len(mistakes) > 0 {
		p := problemf(http.StatusBadRequest, "%d of the events are wrong, the first of them is event %d: %s. None was published",
			len(mistakes), *mistakes[0].Event, mistakes[0].Detail)
		p.Errors = mistakes
		return nil, p
	}
	return events, nil
}

// eventInHeaders reads an event whose attributes are in headers, and whose data is the body.
func eventInHeaders(header http.Header, body []byte) (*eventv1.Event, *problem) {
	attributes, err := attributesOf(header)
	if err != nil {
		return nil, badEvent(err)
	}
	if len(attributes) == 0 {
		return nil, problemf(http.StatusUnsupportedMediaType,
			"this is no event: it has no headers such as ce-id, and its Content-Type is neither %s nor %s", oneEvent, manyEvents)
	}
	e, err := client.EventWith(attributes)
	if err != nil {
		return nil, badEvent(err)
	}
	e.Data, e.ContentType = body, header.Get("Content-Type")
	if len(body) > 0 && e.GetContentType() == "" {
		e.ContentType = unknownData // RFC 9110, section 8.3: nobody says what it is
	}
	return e, nil
}

// attributesOf reads the attributes of an event in headers.
func attributesOf(header http.Header) (map[string]string, error) {
	attributes := map[string]string{}
	for _, field := range slices.Sorted(maps.Keys(header)) {
		name, is := strings.CutPrefix(strings.ToLower(field), attributeMark)
		if !is {
			continue
		}
		wrong := func(text string) error { return &client.AttributeError{Attribute: name, Text: text} }
		switch name {
		case "datacontenttype":
			return nil, wrong("is given by the header Content-Type, and must not be in one of its own")
		case "data", "data_base64":
			return nil, wrong("is no attribute: the data is the body")
		}
		values := header[field]
		if _, twice := attributes[name]; twice || len(values) > 1 {
			return nil, wrong("is given twice")
		}
		text, err := decoded(values[0])
		if err != nil {
			return nil, wrong(err.Error())
		}
		attributes[name] = text
	}
	return attributes, nil
}

// decoded is the value of a header with an attribute: section 3.1.3.2 of the HTTP protocol binding.
func decoded(value string) (string, error) {
	if strings.HasPrefix(value, `"`) {
		var err error
		if value, err = unquoted(value); err != nil {
			return "", err
		}
	}
	text, err := url.PathUnescape(value)
	if err != nil {
		return "", fmt.Errorf("must be percent-encoded, with %%25 for %%: %w", err)
	}
	if !utf8.ValidString(text) {
		return "", errors.New("must be the percent-encoded bytes of UTF-8")
	}
	return text, nil
}

// unquoted is what is in a quoted string: RFC 7230, section 3.2.6.
func unquoted(quoted string) (string, error) {
	var b strings.Builder
	for i := 1; i < len(quoted); i++ {
		switch c := quoted[i]; {
		case c == '"' && i == len(quoted)-1:
			return b.String(), nil
		case c == '"':
			return "", errors.New("has a quote within quotes, without a backslash")
		case c == '\\' && i+1 < len(quoted):
			i++
			b.WriteByte(quoted[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", errors.New("begins with a quote, and does not end with one")
}
