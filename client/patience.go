package client

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

// Forever is the patience that ends with the context alone.
const Forever = time.Duration(math.MaxInt64)

// Patience is how long something is tried again while no node takes it.
type Patience struct {
	// Most bounds the time from the first failure of an interruption on; when it is over there is a GaveUpError. Forever: the context
	// alone bounds it. 0: the Patience of the client's Config. Negative: nothing is tried again, and the failure is returned as it is.
	Most time.Duration
	// Tell, if set, is called with the first failure of each interruption. It must not block for long.
	Tell func(error)
}

// GaveUpError says that patience was over.
type GaveUpError struct {
	// After is how long that took, and Err the last failure.
	After time.Duration
	Err   error
}

func (e *GaveUpError) Error() string { return fmt.Sprintf("gave up after %v: %v", e.After, e.Err) }

// Unwrap returns the last failure.
func (e *GaveUpError) Unwrap() error { return e.Err }

// patient is the option that Patiently makes.
type patient struct {
	grpc.EmptyCallOption

	patience Patience
}

// Patiently gives a call a patience of its own. It is for calls that are not streams.
func Patiently(p Patience) grpc.CallOption { return patient{patience: p} }

// interruption is a time in which no node takes what is asked for.
type interruption struct {
	Patience

	backoff  Backoff
	random   func() float64
	failures int       // in a row
	began    time.Time // when the first of them was
	last     error     // the last of them that has been waited for
}

func (c *Client) interruption(p Patience) *interruption {
	p.Most = cmp.Or(p.Most, c.config.Patience)
	return &interruption{Patience: p, backoff: c.config.Backoff, random: c.random}
}

// over ends an interruption: a node has taken something.
func (i *interruption) over() { i.failures, i.last = 0, nil }

// wait waits, after a failure, until it is time to try again. It returns nil then, or why that is of no use; the failure itself if ctx has
// ended, or the one before it, if this one says no more than that.
func (i *interruption) wait(ctx context.Context, failure error) error {
	i.failures++
	delay, again := i.comeBack(failure)
	if deadline, has := ctx.Deadline(); has && codeOf(failure) == codes.DeadlineExceeded && time.Until(deadline) < clocksApart {
		<-ctx.Done() // the node's clock was first
	}
	switch {
	case !again && ctx.Err() != nil && i.last != nil:
		return i.last
	case !again || ctx.Err() != nil || i.Most < 0:
		return failure
	}
	i.last = failure
	if i.failures == 1 {
		i.began = time.Now()
		if i.Tell != nil {
			i.Tell(failure)
		}
	}
	left := i.Most - time.Since(i.began)
	if left <= 0 {
		return &GaveUpError{After: i.Most, Err: failure}
	}
	t := time.NewTimer(min(delay, left))
	defer t.Stop()
	select {
	case <-t.C:
		if ctx.Err() != nil {
			return failure
		}
		return nil
	case <-ctx.Done():
		return failure
	}
}

// clocksApart is how much earlier than here a node may take the time of a call for over.
const clocksApart = time.Second

// longestWish is the longest time after which a node can have the client come back: a longer one counts as this.
const longestWish = time.Minute

// comeBack tells whether a failure goes away by itself, and when to try again.
func (i *interruption) comeBack(failure error) (time.Duration, bool) {
	delay := i.backoff.next(i.failures, i.random)
	wish, _ := retryAfter(failure)
	return max(delay, min(wish, longestWish)), Passes(failure)
}

// Passes tells whether an error goes away by itself: no node answered, or one has asked to come back later. A node that has no room, and
// does not ask for that, will have none later either: what it was sent is too large.
func Passes(err error) bool {
	switch codeOf(err) {
	case codes.Unavailable:
		return true
	case codes.ResourceExhausted:
		_, asked := retryAfter(err)
		return asked
	default:
		return false
	}
}

// retryAfter returns after how long to come back, if a node has said so.
func retryAfter(err error) (after time.Duration, said bool) {
	st, _ := StatusOf(err)
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			after, said = max(after, info.GetRetryDelay().AsDuration()), true
		}
	}
	return after, said
}
