package cloudevents

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/holdfast-run/holdfast/client"
)

// problem is why a request was refused, as RFC 9457 has it. Its type is about:blank: the status says what it is.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// Reason is the word that a node has for it, such as SLOT_FULL.
	Reason string `json:"reason,omitempty"`
	// Errors say what is wrong with single events.
	Errors []mistake `json:"errors,omitempty"`

	after     time.Duration // when to send the same again; 0: that is of no use
	challenge string        // what a token is asked for by
	closes    bool          // the rest of the body is not read, and the connection ends
}

// mistake is what is wrong with one event.
type mistake struct {
	// Event is its number in a batch, from 0.
	Event *int `json:"event,omitempty"`
	// Attribute is what is wrong of it, by its name; data stands for the data.
	Attribute string `json:"attribute,omitempty"`
	Detail    string `json:"detail,omitempty"`
}

func problemf(status int, format string, args ...any) *problem {
	return &problem{Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...)}
}

// unauthorized is a problem with the token of a request. kind is what RFC 6750 calls it; empty: there is no token.
func unauthorized(kind, detail string) *problem {
	p := problemf(http.StatusUnauthorized, "%s", detail)
	if p.challenge = "Bearer"; kind != "" {
		p.challenge = fmt.Sprintf("Bearer error=%q", kind)
	}
	return p
}

// retry says when to send the same again.
func (p *problem) retry(after time.Duration) *problem {
	p.after = after
	return p
}

// closing has the connection end, as the body was not read.
func (p *problem) closing() *problem {
	p.closes = true
	return p
}

func (p *problem) write(w http.ResponseWriter) {
	header := w.Header()
	if p.after > 0 {
		header.Set("Retry-After", strconv.FormatInt(int64((p.after+time.Second-1)/time.Second), 10))
	}
	if p.challenge != "" {
		header.Set("WWW-Authenticate", p.challenge)
	}
	if p.closes {
		header.Set("Connection", "close")
	}
	header.Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	if text, err := json.Marshal(p); err == nil { // there is nothing in it that can't be
		_, _ = w.Write(append(text, '\n')) // a client that has gone does not read it
	}
}

// mistakeOf is what an error says of an event.
func mistakeOf(err error) mistake {
	m := mistake{Detail: err.Error()}
	if of, is := errors.AsType[*client.AttributeError](err); is {
		m.Attribute = of.Attribute
	}
	return m
}
