package client

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/eventv1"
)

// AttributeError says what is wrong with an attribute of an event, or with its data.
type AttributeError struct {
	// Attribute is its name as the JSON format has it, such as "time"; that of the data is "data" or "data_base64".
	Attribute string
	// Text says what it must be and is not, without the name.
	Text string
}

func (e *AttributeError) Error() string { return fmt.Sprintf("%.80q %s", e.Attribute, e.Text) }

// maxAttributes is the most attributes that an event may have, so that one can't take many times its own size.
const maxAttributes = 100

// attributeName is what an attribute may be called.
var attributeName = regexp.MustCompile(`^[a-z0-9]{1,64}$`)

var errNoEvent = errors.New("an event must be a JSON object of its attributes")

// EventOf reads a CloudEvent in the JSON format, version 1.0. What is wrong with an attribute is an AttributeError. What depends on the
// configuration of the node, such as how long an event may be, is left to that.
func EventOf(written []byte) (*eventv1.Event, error) {
	members, err := membersOf(written)
	if err != nil {
		return nil, err
	}
	attributes := make(map[string]string, len(members))
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if name == "data" || name == "data_base64" {
			continue
		}
		text, given, err := attributeText(name, members[name])
		if err != nil {
			return nil, err
		}
		if given {
			attributes[name] = text
		}
	}
	e, err := EventWith(attributes)
	if err != nil {
		return nil, err
	}
	if e.Data, err = dataOf(members, e.GetContentType()); err != nil {
		return nil, err
	}
	return e, nil
}

// EventWith makes a CloudEvent, version 1.0, without data. Its attributes are given by their names in their canonical form, as text. What
// is wrong with one is an AttributeError.
func EventWith(attributes map[string]string) (*eventv1.Event, error) {
	if len(attributes) > maxAttributes {
		return nil, fmt.Errorf("an event must have no more than %d attributes", maxAttributes)
	}
	for _, name := range []string{"specversion", "id", "source", "type"} {
		if attributes[name] == "" {
			return nil, &AttributeError{name, "is missing, and every event has it"}
		}
	}
	e := &eventv1.Event{Extensions: map[string]string{}}
	known := map[string]*string{
		"id": &e.Id, "source": &e.Source, "type": &e.Type, "subject": &e.Subject, "datacontenttype": &e.ContentType, "dataschema": &e.DataSchema,
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		text := attributes[name]
		switch to := known[name]; {
		case !attributeName.MatchString(name):
			return nil, &AttributeError{name, "is no name of an attribute, which has 1 to 64 of a to z and 0 to 9"}
		case strings.ContainsFunc(text, unicode.IsControl):
			return nil, &AttributeError{name, "must have no control characters"}
		case to != nil:
			*to = text
		case name == "specversion":
			if text != "1.0" {
				return nil, &AttributeError{name, fmt.Sprintf(`must be "1.0", but is %.80q`, text)}
			}
		case name == "time":
			at, err := time.Parse(time.RFC3339, text)
			if err != nil {
				return nil, &AttributeError{name, fmt.Sprintf(`must be a time such as "2030-01-31T12:00:00Z", but is %.80q`, text)}
			}
			e.Time = timestamppb.New(at)
		default:
			e.Extensions[name] = text
		}
	}
	return e, nil
}

// membersOf reads the members of a JSON object, as they are written, each of which is there once.
func membersOf(written []byte) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(written))
	if begin, err := d.Token(); err != nil || begin != json.Delim('{') {
		return nil, errNoEvent
	}
	members := map[string]json.RawMessage{}
	for d.More() {
		var raw json.RawMessage
		token, err := d.Token()
		name, is := token.(string)
		if err != nil || !is || d.Decode(&raw) != nil {
			return nil, errNoEvent
		}
		if _, twice := members[name]; twice {
			return nil, &AttributeError{name, "is given twice"}
		}
		if members[name] = raw; len(members) > maxAttributes+1 { // and the data
			return nil, fmt.Errorf("an event must have no more than %d attributes", maxAttributes)
		}
	}
	if _, err := d.Token(); err != nil { // the end of the object
		return nil, errNoEvent
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errNoEvent
	}
	return members, nil
}

// attributeText is an attribute as text: a string as it is, a number or a boolean as JSON. One that is null is not given.
func attributeText(name string, raw json.RawMessage) (text string, given bool, err error) {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return "", false, &AttributeError{name, err.Error()}
	}
	switch v := v.(type) {
	case nil:
		return "", false, nil
	case string:
		return v, true, nil
	case bool, float64:
		return string(raw), true, nil
	}
	return "", false, &AttributeError{name, `must be a text, a number or a boolean: move it to "data"`}
}

// dataOf is the data of an event whose members are given: JSON as it is written; what is no JSON, as bytes.
func dataOf(members map[string]json.RawMessage, contentType string) ([]byte, error) {
	data, hasData := members["data"]
	encoded, hasEncoded := members["data_base64"]
	hasEncoded = hasEncoded && string(encoded) != "null"
	var text string
	switch {
	case hasData && hasEncoded:
		return nil, &AttributeError{"data_base64", `can't be given beside "data"`}
	case hasEncoded:
		if err := json.Unmarshal(encoded, &text); err != nil {
			return nil, &AttributeError{"data_base64", "must be a text in base64"}
		}
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, &AttributeError{"data_base64", "must be a text in base64: " + err.Error()}
		}
		return raw, nil
	case hasData && !messages.IsJSON(contentType) && json.Unmarshal(data, &text) == nil:
		return []byte(text), nil
	}
	return data, nil
}
