package client

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/messages/eventv1"
)

// EventOf reads a CloudEvent in the JSON format. What is left to the node to check depends on its configuration.
func EventOf(written []byte) (*eventv1.Event, error) {
	d := json.NewDecoder(bytes.NewReader(written))
	var attributes map[string]json.RawMessage
	if err := d.Decode(&attributes); err != nil || attributes == nil || d.More() {
		return nil, errors.New("an event must be a JSON object of its attributes") //nolint:err113 // for people
	}
	if attributes["data"] != nil && attributes["data_base64"] != nil {
		return nil, errors.New(`an event can't have "data" and "data_base64"`) //nolint:err113 // the same
	}
	e := &eventv1.Event{Extensions: map[string]string{}}
	known := map[string]*string{
		"id": &e.Id, "source": &e.Source, "type": &e.Type, "subject": &e.Subject, "datacontenttype": &e.ContentType, "dataschema": &e.DataSchema,
	}
	for name, raw := range attributes {
		if name == "data" {
			e.Data = raw
			continue
		}
		text, err := attributeText(name, raw)
		if err != nil {
			return nil, err
		}
		switch to := known[name]; {
		case to != nil:
			*to = text
		case name == "specversion":
			if text != "1.0" {
				return nil, fmt.Errorf(`"specversion" must be "1.0", but is %q`, text) //nolint:err113 // the same
			}
		case name == "time":
			at, err := time.Parse(time.RFC3339, text)
			if err != nil {
				return nil, fmt.Errorf(`"time" must be a time such as "2030-01-31T12:00:00Z", but is %q`, text) //nolint:err113 // the same
			}
			e.Time = timestamppb.New(at)
		case name == "data_base64":
			if e.Data, err = base64.StdEncoding.DecodeString(text); err != nil {
				return nil, fmt.Errorf(`"data_base64" is not base64: %w`, err)
			}
		default:
			e.Extensions[name] = text
		}
	}
	var text string
	if media, _, err := mime.ParseMediaType(e.GetContentType()); err == nil && !strings.HasSuffix(media, "json") &&
		json.Unmarshal(attributes["data"], &text) == nil {
		e.Data = []byte(text) // it is no JSON, and is written as it is
	}
	return e, nil
}

// attributeText is an attribute as text: a string as it is, a number or a boolean as JSON.
func attributeText(name string, raw json.RawMessage) (string, error) {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return "", fmt.Errorf("attribute %q: %w", name, err)
	}
	switch v := v.(type) {
	case string:
		return v, nil
	case bool, float64:
		return string(raw), nil
	}
	return "", fmt.Errorf("the attribute %.60q must be a text, a number or a boolean: move it to \"data\"", name) //nolint:err113 // for people
}
