package client_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages/eventv1"
)

// An event is read from what the JSON format of CloudEvents 1.0 has: data as JSON, as text or in base64, and attributes of all kinds.
func TestEventOf(t *testing.T) {
	t.Parallel()
	const begin = `{"specversion":"1.0","id":"1","source":"/s","type":"t"`
	event := func(change func(*eventv1.Event)) *eventv1.Event {
		e := &eventv1.Event{Id: "1", Source: "/s", Type: "t", Extensions: map[string]string{}}
		change(e)
		return e
	}
	for text, want := range map[string]*eventv1.Event{
		"":                               event(func(*eventv1.Event) {}),
		`,"data":{"a": 1.0}`:             event(func(e *eventv1.Event) { e.Data = []byte(`{"a": 1.0}`) }),
		`,"data":"text"`:                 event(func(e *eventv1.Event) { e.Data = []byte(`"text"`) }),
		`,"data":null`:                   event(func(e *eventv1.Event) { e.Data = []byte("null") }),
		`,"data_base64":"AAE="`:          event(func(e *eventv1.Event) { e.Data = []byte{0, 1} }),
		`,"data_base64":null,"data":"x"`: event(func(e *eventv1.Event) { e.Data = []byte(`"x"`) }),
		`,"datacontenttype":"text/plain; charset=utf-8","data":"a\nb"`: event(func(e *eventv1.Event) {
			e.ContentType, e.Data = "text/plain; charset=utf-8", []byte("a\nb")
		}),
		`,"datacontenttype":"application/problem+json","data":"a"`: event(func(e *eventv1.Event) {
			e.ContentType, e.Data = "application/problem+json", []byte(`"a"`)
		}),
		`,"datacontenttype":"text/json","data":"a"`: event(func(e *eventv1.Event) { e.ContentType, e.Data = "text/json", []byte(`"a"`) }),
		`,"subject":null,"time":null,"x":null`:      event(func(*eventv1.Event) {}),
		`,"subject":"é","dataschema":"https://x.example/s","n":-7,"b":true,"time":"2030-01-31T12:00:00.5+02:00"`: event(func(e *eventv1.Event) {
			e.Subject, e.DataSchema, e.Extensions["n"], e.Extensions["b"] = "é", "https://x.example/s", "-7", "true"
			e.Time = timestamppb.New(time.Date(2030, 1, 31, 10, 0, 0, 5e8, time.UTC))
		}),
	} {
		got, err := client.EventOf([]byte(" " + begin + text + "}\n"))
		if err != nil || !proto.Equal(got, want) {
			t.Errorf("%s: %v %v, want %v", text, got, err, want)
		}
	}
}

// What is wrong with an event is told by the name of the attribute.
func TestMistakesOfEvents(t *testing.T) {
	t.Parallel()
	with := func(rest string) string { return `{"specversion":"1.0","id":"1","source":"/s","type":"t"` + rest + "}" }
	var many strings.Builder
	for i := range 100 {
		fmt.Fprintf(&many, `,"a%d":1`, i)
	}
	for text, want := range map[string][2]string{
		"":                                    {"", "JSON object of its attributes"},
		"[]":                                  {"", "JSON object of its attributes"},
		"null":                                {"", "JSON object of its attributes"},
		`{"id":1,}`:                           {"", "JSON object of its attributes"},
		with("") + "{}":                       {"", "JSON object of its attributes"},
		with("") + "x":                        {"", "JSON object of its attributes"},
		strings.Trim(with(""), "}"):           {"", "JSON object of its attributes"},
		with(many.String()):                   {"", "no more than 100 attributes"},
		`{"id":"1","source":"/s","type":"t"}`: {"specversion", `"specversion" is missing`},
		`{"specversion":"1.0","source":"/s","type":"t"}`:          {"id", `"id" is missing`},
		`{"specversion":"1.0","id":"1","source":"","type":"t"}`:   {"source", `"source" is missing`},
		`{"specversion":"1.0","id":"1","source":"/","type":null}`: {"type", `"type" is missing`},
		`{"specversion":"0.3","id":"1","source":"/s","type":"t"}`: {"specversion", `must be "1.0", but is "0.3"`},
		with(`,"id":"2"`):                      {"id", "is given twice"},
		with(`,"time":"yesterday"`):            {"time", `must be a time such as "2030-01-31T12:00:00Z", but is "yesterday"`},
		with(`,"subject":{"a":1}`):             {"subject", "must be a text, a number or a boolean"},
		with(`,"Name":"x"`):                    {"Name", "is no name of an attribute"},
		with(`,"":"x"`):                        {"", "is no name of an attribute"},
		with(`,"subject":"a\u0007b"`):          {"subject", "must have no control characters"},
		with(`,"data":1,"data_base64":"AAE="`): {"data_base64", `can't be given beside "data"`},
		with(`,"data_base64":"?"`):             {"data_base64", "must be a text in base64"},
		with(`,"data_base64":1`):               {"data_base64", "must be a text in base64"},
	} {
		_, err := client.EventOf([]byte(text))
		attribute := ""
		if of, is := errors.AsType[*client.AttributeError](err); is {
			attribute = of.Attribute
		}
		if err == nil || attribute != want[0] || !strings.Contains(err.Error(), want[1]) {
			t.Errorf("%s: %v about %q, want %q about %q", text, err, attribute, want[1], want[0])
		}
	}
}
