package grpc

import (
	"context"
	"sync/atomic"

	"google.golang.org/grpc/stats"
)

// progress is how far a call has come. It is told by gRPC, on goroutines of its own.
type progress struct {
	sent  atomic.Bool // it may have been: it was given to a connection
	began atomic.Bool // the server has begun to answer
	ended atomic.Bool // the server has said how it has ended
}

type progressKey struct{}

// watcher notes the progress of calls.
type watcher struct{}

func (watcher) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (watcher) HandleRPC(ctx context.Context, s stats.RPCStats) {
	p, _ := ctx.Value(progressKey{}).(*progress)
	if p == nil {
		return
	}
	switch s := s.(type) {
	case *stats.Begin:
		if s.IsTransparentRetryAttempt { // the server has said that it has not looked at it
			p.sent.Store(false)
		}
	case *stats.OutHeader:
		p.sent.Store(true)
	case *stats.InHeader:
		p.began.Store(true)
	case *stats.InTrailer:
		p.ended.Store(true)
	}
}

func (watcher) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

func (watcher) HandleConn(context.Context, stats.ConnStats) {}
