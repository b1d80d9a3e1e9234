package consul

import (
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-run/holdfast/messages"
)

func TestPublished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		n, other := f.join(t), f.join(t, func(c *Config) { c.Self = "n2/1" })
		want := map[messages.Incarnation]Watermarks{self: {{7, 9}, nil, {1 << 40}}, "n2/1": {}}
		for _, err := range []error{
			n.Publish(t.Context(), Watermarks{{1}}), n.Publish(t.Context(), want[self]), other.Publish(t.Context(), want["n2/1"]),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if got, err := n.Published(t.Context()); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("published is %v, %v; want %v", got, err, want)
		}
		f.kv["holdfast/watermarks/n3/1"] = []byte("garbage")
		if got, err := n.Published(t.Context()); err == nil || !strings.Contains(err.Error(), "n3/1") || !reflect.DeepEqual(got, want) {
			t.Errorf("published is %v, %v", got, err)
		}
		if err := n.Forget(t.Context(), "n3/1"); err != nil {
			t.Error(err)
		}
		if err := n.Forget(t.Context(), "n2/1"); err != nil {
			t.Error(err)
		}
		if got, err := n.Published(t.Context()); err != nil || len(got) != 1 {
			t.Errorf("published is %v, %v", got, err)
		}
		if err := n.Publish(t.Context(), Watermarks{make([]int64, mostWatermarks)}); err == nil {
			t.Error("too much is published")
		}
		f.requests("")
		if asked := f.requests(anyKey); len(asked) > 0 {
			t.Error("too much is sent")
		}
		f.set(only(anyKey, hang))
		begun := time.Now()
		if err := n.Publish(t.Context(), nil); err == nil || time.Since(begun) > ttl {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		go func() {
			synctest.Wait()
			n.Close()
		}()
		begun = time.Now()
		if err := n.Publish(t.Context(), nil); err == nil || time.Since(begun) > 0 {
			t.Errorf("%v after the end: %v", time.Since(begun), err)
		}
	})
}
