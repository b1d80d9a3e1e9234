package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
)

// childVariable makes the test binary a child of dev in place of running tests. dev itself starts it as holdfast.
const childVariable = "HOLDFAST_TEST_CHILD"

// fifoVariable names a fifo whose readers see its end when all children are gone.
const fifoVariable = "HOLDFAST_TEST_FIFO"

// beChild plays a node or an adapter: what dev does with processes is tested here, not what they do.
//
// In the mode "dev" it is the real dev, or whatever command there is other than those that it plays. In the mode "real" it
// is the real program. What it plays holds the fifo that fifoVariable names, as long as it lives.
func beChild(args []string) int {
	plays := args[0] == "node" || args[0] == "adapter"
	if mode := os.Getenv(childVariable); mode == "real" || mode == "dev" && !plays {
		return realMain()
	}
	if fifo := os.Getenv(fifoVariable); fifo != "" {
		if held, err := os.OpenFile(fifo, os.O_WRONLY, 0); err == nil {
			defer held.Close() //nolint:errcheck // nothing is written
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(os.Stdout, format+"\n", args...) }
	switch args[0] {
	case "node":
		if os.Getenv(childVariable) == "broken" {
			say("broken: the disk is gone")
			return 1
		}
		admin := args[6]
		l, err := net.Listen("tcp", admin)
		if err != nil {
			say("%v", err)
			return 1
		}
		say("node %v", args[1:])
		go serveHealth(ctx, l)
		<-ctx.Done()
		say("node stops")
	case "adapter":
		say("adapter %v of %s in %s", args[1:], os.Getenv("HOLDFAST_SERVER"), os.Getenv("PLACE"))
		_, _ = fmt.Fprintln(os.Stderr, "a log line")
		<-ctx.Done()
		say("adapter stops")
	}
	return 0
}

// serveHealth answers as a node, until it is asked to be stuck: then its liveness hangs.
func serveHealth(ctx context.Context, l net.Listener) {
	var stuck atomic.Bool
	_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/stuck":
			stuck.Store(true)
		case stuck.Load():
			<-ctx.Done()
		}
		_, _ = fmt.Fprintln(w, "ok")
	}))
}
