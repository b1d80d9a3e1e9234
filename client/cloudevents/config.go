package cloudevents

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// Config bounds a handler. Zero fields get their defaults.
type Config struct {
	// MaxBody is the longest body of a request, in bytes; a longer one is answered with 413. Nodes take 5 MiB in all, and 1 MiB of one event,
	// if they are not told otherwise. Default 4 MiB.
	MaxBody int64
	// MaxBatch is the most events of one request, from 1 to 1,000, which is what nodes take; more are answered with 413. Default 1,000.
	MaxBatch int
	// MaxRequests is the most requests that are being read into events, or published, at once; further ones are answered with 503. Default
	// 256.
	MaxRequests int
	// Bodies is the most bytes that the bodies of all requests may take, from when they come until their requests are answered. Beyond it the
	// request that began to send its body first is answered with 503. The memory that requests take is about three times as much. It must be
	// no less than MaxBody. Default 64 MiB.
	Bodies int64
	// Within is how long a publication may take; then it is answered with 504. Default 30 s.
	Within time.Duration
	// Origins are the senders of web hooks that are answered that they may send, as they name themselves, or * for all of them. With any, a
	// token may also be in the query, as access_token. Default none: the handshake is answered with 405.
	Origins []string
	// Tokens has requests without a token be answered with 401. Where nodes know by a certificate who publishes, that is this process, and
	// such a request would be published in its name. Default: they are passed on.
	Tokens bool
	// Anyway has tokens be sent to nodes on other machines in plain text, too: something else secures the way. Default: a token is not sent
	// so, and its request is answered with 502.
	Anyway bool
	// Answered is told of each request when it was answered. It must not block. Default: nobody is told.
	Answered func(Answer)
	// Failed is told of each publication that failed for a reason that is not the caller's to mend. It must not block. Default: nobody is
	// told.
	Failed func(error)
}

// Answer is what came of a request.
type Answer struct {
	// Status is that of the answer; 499: the client had gone before, and there was none.
	Status int
	// Events are those that were published, and Unheard those of them for which no definition of the namespace listens.
	Events, Unheard int
	// Took is the time from when the header of the request had come until the answer.
	Took time.Duration
}

// mostBatch is the most events that a node takes at once.
const mostBatch = 1000

// WithDefaults returns the settings with defaults in place of zeros.
func (c Config) WithDefaults() Config {
	c.MaxBody = cmp.Or(c.MaxBody, 4<<20)
	c.MaxBatch = cmp.Or(c.MaxBatch, mostBatch)
	c.MaxRequests = cmp.Or(c.MaxRequests, 256)
	c.Bodies = cmp.Or(c.Bodies, max(64<<20, c.MaxBody))
	c.Within = cmp.Or(c.Within, 30*time.Second)
	if c.Answered == nil {
		c.Answered = func(Answer) {}
	}
	if c.Failed == nil {
		c.Failed = func(error) {}
	}
	return c
}

// Validate says everything that is wrong with the settings, with their defaults filled in.
func (c Config) Validate() error {
	c = c.WithDefaults()
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.MaxBody < 1 {
		wrong("MaxBody is %d bytes, and must be at least 1, or 0 for the default", c.MaxBody)
	}
	if c.MaxBatch < 1 || c.MaxBatch > mostBatch {
		wrong("MaxBatch is %d, and must be from 1 to %d, which is what nodes take, or 0 for the default", c.MaxBatch, mostBatch)
	}
	if c.MaxRequests < 1 {
		wrong("MaxRequests is %d, and must be at least 1, or 0 for the default", c.MaxRequests)
	}
	if c.Bodies < c.MaxBody {
		wrong("Bodies are %d bytes, and must be no less than MaxBody, %d", c.Bodies, c.MaxBody)
	}
	if c.Within < 0 {
		wrong("Within is %v, and must not be negative", c.Within)
	}
	for _, origin := range c.Origins {
		if origin == "" {
			wrong("Origins have an empty name: give the names of senders, or * for all")
		}
	}
	return errors.Join(errs...)
}
