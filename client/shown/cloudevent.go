package shown

import (
	"encoding/json"
	"maps"
	"time"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/eventv1"
)

// CloudEventOf makes the JSON format of a CloudEvent, version 1.0.
func CloudEventOf(e *eventv1.Event) map[string]any {
	form := make(map[string]any, len(e.GetExtensions())+9)
	for name, value := range maps.All(e.GetExtensions()) {
		form[name] = value
	}
	for name, value := range map[string]string{
		"subject": e.GetSubject(), "datacontenttype": e.GetContentType(), "dataschema": e.GetDataSchema(),
	} {
		if value != "" {
			form[name] = value
		}
	}
	form["specversion"], form["id"], form["source"], form["type"] = "1.0", e.GetId(), e.GetSource(), e.GetType()
	if e.GetTime() != nil {
		form["time"] = e.GetTime().AsTime().Format(time.RFC3339Nano)
	}
	switch data := e.GetData(); {
	case len(data) == 0:
	case json.Valid(data) && messages.IsJSON(e.GetContentType()):
		form["data"] = json.RawMessage(data)
	default:
		form["data_base64"] = data
	}
	return form
}
