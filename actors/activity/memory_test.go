package activity

import (
	"errors"
	"fmt"
	"testing"
)

// reader is an adapter that reads what it is sent, unless it is slow.
type reader struct {
	Adapter

	slow bool
}

func (r *reader) Slow() bool { return r.slow }

// TestMemory: a stream may have a quarter; of the last quarter those that have little get some still; and one that does not read gets
// nothing.
func TestMemory(t *testing.T) {
	t.Parallel()
	m := &memory{most: 1 << 20}
	var streams [5]space
	for i := range streams {
		streams[i].all, streams[i].adapter = m, &reader{}
	}
	for i := range 3 {
		for !streams[i].Full() {
			streams[i].Add(1 << 10)
		}
		if had := streams[i].tasks.Load(); had != 256<<10 {
			t.Errorf("stream %d has %d bytes", i, had)
		}
	}
	for !streams[3].Full() {
		streams[3].Add(1 << 10)
	}
	if had := streams[3].tasks.Load(); had != 4<<10 {
		t.Errorf("the fourth stream has %d bytes of the last quarter", had)
	}
	m.Add(1 << 20)
	if streams[4].Full() || !streams[3].Full() {
		t.Error("beyond the bound a stream without a task does not get one, or one with tasks gets more")
	}
	m.Add(-1 << 20)
	streams[4].adapter = &reader{slow: true}
	if !streams[4].Full() {
		t.Error("an adapter that does not read gets a task")
	}
}

// TestKeys: what is listed counts once, is refused beyond the bound, and ends with the stream.
func TestKeys(t *testing.T) {
	t.Parallel()
	m := &memory{most: 1 << 20}
	s := &space{all: m, adapter: &reader{}}
	k := &keys{space: s}
	if k.Has("a") || k.list([]string{"a", "b", "a"}) != nil || !k.Has("a") || m.used.Load() != 2*(keyBytes+1) {
		t.Fatalf("%d bytes are used", m.used.Load())
	}
	k.Add("a")
	k.Add("c")
	if k.Remove("b"); k.Has("b") || m.used.Load() != 2*(keyBytes+1) {
		t.Errorf("%d bytes are used", m.used.Load())
	}
	var many []string
	for i := range 10_000 {
		many = append(many, fmt.Sprint(i))
	}
	if err := k.list(many); !errors.Is(err, ErrTooMuch) || s.told.Load() > 256<<10 {
		t.Errorf("%d bytes are told: %v", s.told.Load(), err)
	}
	k.close()
	k.Add("d")
	if k.Remove("a"); m.used.Load() != 0 || k.Has("d") {
		t.Errorf("%d bytes are used when the stream is gone", m.used.Load())
	}
}
