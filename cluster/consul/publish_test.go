package consul

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

// confirmed are the watermarks of an incarnation, by shard.
func confirmed(shards ...[]int64) messages.Watermarks {
	w := messages.Watermarks{Journal: "journal", Shards: []messages.ShardWatermarks{}}
	for _, batches := range shards {
		w.Shards = append(w.Shards, messages.ShardWatermarks{Generation: 2, Batches: batches})
	}
	return w
}

func TestPublished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		w, err := NewWatermarks(Config{Announcement: announced(), TTL: ttl, dial: f.dial})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		want := map[messages.Incarnation]messages.Watermarks{self: confirmed([]int64{7, 9}, nil, []int64{1 << 40}), "n2/1": confirmed()}
		for _, err := range []error{
			w.Publish(t.Context(), self, confirmed([]int64{1})), w.Publish(t.Context(), self, want[self]),
			w.Publish(t.Context(), "n2/1", want["n2/1"]),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if got, err := w.Published(t.Context()); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("published is %v, %v; want %v", got, err, want)
		}
		f.kv["holdfast/watermarks/n3/1"] = []byte("garbage")
		got, err := w.Published(t.Context())
		bad, is := errors.AsType[*UnreadableError](err)
		if !is || !strings.Contains(err.Error(), "n3/1") || !slices.Equal(bad.Keys, []string{"holdfast/watermarks/n3/1"}) ||
			!reflect.DeepEqual(got, want) {
			t.Errorf("published is %v, %v", got, err)
		}
		if err := w.Forget(t.Context(), "n3/1"); err != nil {
			t.Error(err)
		}
		if err := w.Forget(t.Context(), "n2/1"); err != nil {
			t.Error(err)
		}
		if got, err := w.Published(t.Context()); err != nil || len(got) != 1 {
			t.Errorf("published is %v, %v", got, err)
		}
		if err := w.Publish(t.Context(), self, confirmed(make([]int64, mostWatermarks))); err == nil {
			t.Error("too much is published")
		}
		f.requests("")
		if asked := f.requests(anyKey); len(asked) > 0 {
			t.Error("too much is sent")
		}
		f.set(only(anyKey, hang))
		begun := time.Now()
		if err := w.Publish(t.Context(), self, confirmed()); err == nil || time.Since(begun) > ttl {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		go w.Published(t.Context()) //nolint:errcheck // it hangs
		synctest.Wait()
		short, cancel := context.WithTimeout(t.Context(), ttl/2)
		defer cancel()
		begun = time.Now()
		if err := w.Publish(short, self, confirmed()); err == nil || time.Since(begun) != ttl/2 {
			t.Errorf("who waits for another request was told %v after %v", err, time.Since(begun))
		}
	})
}
