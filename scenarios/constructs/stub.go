package constructs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/adapters"
)

// asked is what a stub is asked for.
type asked struct {
	// Name is what is done.
	Name string `json:"name"`
	// Times is how often it fails before that, with the status.
	Times  int `json:"times"`
	Status int `json:"status"`
	// Takes is how many milliseconds it takes.
	Takes int `json:"takes"`
	// Value is what it leaves; not given: {"done": name}.
	Value json.RawMessage `json:"value"`
}

// stub does what cases ask for, and writes it down.
type stub struct {
	log *Log

	mu    sync.Mutex
	tries map[string]int // by key
}

// Stub is an adapter whose activities stand for all that orders might do: "stub.apply", and "stub.put", which is idempotent.
func Stub(log *Log) *adapters.Adapter {
	s := &stub{log: log, tries: make(map[string]int)}
	a := adapters.New("stub")
	adapters.Handle(a, "apply", s.apply, adapters.Concurrency(64))
	adapters.Handle(a, "put", s.apply, adapters.Concurrency(64), adapters.Idempotent())
	return a
}

func (s *stub) apply(ctx context.Context, t adapters.Task, input json.RawMessage) (json.RawMessage, error) {
	var in asked
	if err := json.Unmarshal(input, &in); err != nil || in.Name == "" {
		return nil, adapters.Permanent(errors.New("it has to be an object with a name"))
	}
	s.mu.Lock()
	s.tries[t.Key]++
	tries := s.tries[t.Key]
	s.mu.Unlock()
	if tries <= in.Times {
		s.log.Add(t.Key, "failed "+in.Name)
		return nil, adapters.Transient(adapters.Problem{
			Type: adapters.ErrorTypeCommunication, Title: "Failed", Status: in.Status, Detail: fmt.Sprint("try ", tries),
		})
	}
	if in.Takes > 0 {
		over := time.NewTimer(time.Duration(in.Takes) * time.Millisecond)
		defer over.Stop()
		select {
		case <-over.C:
		case <-ctx.Done():
			s.log.Add(t.Key, "interrupted "+in.Name)
			return nil, fmt.Errorf("wait: %w", ctx.Err())
		}
	}
	s.log.Add(t.Key, in.Name)
	if in.Value != nil {
		return in.Value, nil
	}
	out, err := json.Marshal(map[string]string{"done": in.Name})
	if err != nil {
		return nil, fmt.Errorf("say what was done: %w", err)
	}
	return out, nil
}
