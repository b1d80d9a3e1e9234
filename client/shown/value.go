package shown

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/messages/problemv1"
)

// StatusWord is a status in the words of the Open Workflow Specification.
func StatusWord(s orderv1.Status) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "STATUS_"))
}

// timeOf is a time for JSON, or null.
func timeOf(t *timestamppb.Timestamp) *time.Time {
	if t == nil {
		return nil
	}
	at := t.AsTime()
	return &at
}

// TimeLayout is how times are written for people.
const TimeLayout = "2006-01-02T15:04:05.000Z"

// TimeText is a time for people.
func TimeText(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().Format(TimeLayout)
}

// valueOf embeds a JSON value that came from a node. What is no JSON becomes a string.
func valueOf(raw []byte) json.RawMessage {
	if len(raw) == 0 {
		return nil
	}
	raw = bytes.ToValidUTF8(raw, []byte("\ufffd"))
	if !json.Valid(raw) {
		text, err := json.Marshal(string(raw))
		if err != nil {
			return nil // can't be: a string
		}
		return text
	}
	return raw
}

// Problem is an error of an order or task.
type Problem struct {
	Type     string `json:"type"`
	Title    string `json:"title"`
	Status   int32  `json:"status"`
	Detail   string `json:"detail"`
	Instance string `json:"instance"`
}

func problemOf(p *problemv1.Problem) *Problem {
	if p == nil {
		return nil
	}
	return &Problem{
		Type: p.GetType(), Title: p.GetTitle(), Status: p.GetStatus(), Detail: p.GetDetail(), Instance: p.GetInstance(),
	}
}

// ProblemText is an error in one line: what is known of title, status, detail and instance.
func ProblemText(p *problemv1.Problem) string {
	if p == nil {
		return ""
	}
	text := p.GetTitle()
	if text == "" {
		text = p.GetType()
	}
	if p.GetStatus() != 0 {
		text += fmt.Sprintf(" (%d)", p.GetStatus())
	}
	if p.GetDetail() != "" {
		text += ": " + p.GetDetail()
	}
	if p.GetInstance() != "" {
		text += ", at " + p.GetInstance()
	}
	return text
}
