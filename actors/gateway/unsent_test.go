package gateway

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/peer"
)

// connection returns the context of a call on a new connection.
func newReader(ctx context.Context, name string, hangUp func()) (context.Context, *reader) {
	r := &reader{name: name, hangUp: hangUp}
	return peer.NewContext(ctx, &peer.Peer{Addr: readerAddr{&net.TCPAddr{}, r}}), r
}

// taker takes a place, and says when it has it.
func taker(ctx context.Context, u *unsent) <-chan *claim {
	got := make(chan *claim, 1)
	go func() {
		c, err := u.take(ctx)
		if err == nil {
			got <- c
		}
		close(got)
	}()
	synctest.Wait()
	return got
}

func has(got <-chan *claim) bool {
	synctest.Wait()
	return len(got) == 1
}

func TestUnsentWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sum := int64(0)
		u := newUnsent(100, 20, time.Hour)
		u.changed = func(n int64) { sum += n }
		one, _ := newReader(t.Context(), "one", func() {})
		two, gone := newReader(t.Context(), "two", func() {})
		first := <-taker(one, u)
		if waits := taker(one, u); has(waits) {
			t.Error("a connection has more than its quarter")
		} else {
			first.resize(5) // so there is room for another
			if !has(waits) {
				t.Error("one waits though there is room in its connection's share")
			}
			(<-waits).give()
		}
		var all []*claim
		for range 4 {
			ctx, _ := newReader(t.Context(), "other", func() {})
			c := <-taker(ctx, u)
			all = append(all, c)
		}
		waits, withdrawn := taker(two, u), make(chan struct{})
		if has(waits) || sum != 85 {
			t.Errorf("%d bytes are taken of 85, and another has a place: %v", sum, has(waits))
		}
		ctx, cancel := context.WithCancel(two)
		go func() {
			defer close(withdrawn)
			if _, err := u.take(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("withdrawn with %v", err)
			}
		}()
		synctest.Wait()
		cancel()
		<-withdrawn
		all[0].give()
		all[0].give() // changes nothing
		all[1].resize(1000)
		if !has(waits) {
			t.Error("one waits though there is room")
		}
		<-waits
		late := taker(one, u)
		if has(late) {
			t.Error("there is a place while what was taken is larger than all there is")
		}
		for _, c := range all {
			c.give()
		}
		(<-late).give()
		first.give()
		gone.leave()
		if sum != 0 || len(u.claims) != 0 || u.left != 100 || gone.held != 0 {
			t.Errorf("%d bytes are left over of %d claims", sum, len(u.claims))
		}
	})
}

// What is larger than all there is, is sent alone.
func TestUnsentLarger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := newUnsent(10, 20, time.Hour)
		ctx, _ := newReader(t.Context(), "one", func() {})
		c := <-taker(ctx, u)
		waits := taker(t.Context(), u)
		if has(waits) {
			t.Error("two have what only one may have")
		}
		c.give()
		(<-waits).give()
	})
}

// Whoever does not read loses the connection, but only if somebody waits because of that.
func TestUnsentHangsUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := newUnsent(80, 20, time.Minute)
		slow := make(chan string, 10)
		u.slow = func(name string) { slow <- name }
		for _, name := range []string{"a", "b", "c", "d"} {
			ctx, r := newReader(t.Context(), name, nil)
			r.hangUp = func() { go r.leave() }
			if !has(taker(ctx, u)) {
				t.Errorf("%s has no place", name)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Hour)
		if len(slow) > 0 {
			t.Errorf("%s lost a connection that nobody needed", <-slow)
		}
		ctx, _ := newReader(t.Context(), "e", func() {})
		waits := taker(ctx, u)
		time.Sleep(59 * time.Second)
		if has(waits) || len(slow) > 0 {
			t.Error("a connection was closed before its time")
		}
		time.Sleep(2 * time.Second)
		if !has(waits) || len(slow) != 1 || u.left != 0 {
			t.Fatalf("%d connections are closed, and %d bytes are left", len(slow), u.left)
		}
		if name := <-slow; name != "a" {
			t.Errorf("the connection of %s is closed", name)
		}
		(<-waits).give()
	})
}
