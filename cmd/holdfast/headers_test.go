package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// Metadata of some KiB is for everyone; more of it is refused, by both listeners, so that nobody has a node hold it for
// each of many streams.
func TestHeadersAreBounded(t *testing.T) {
	t.Parallel()
	f := &fake{t: t}
	listen, admin := f.startNode()
	for name, address := range map[string]string{"API": listen, "administration": admin} {
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		list := func(token int) error {
			ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", strings.Repeat("x", token))
			_, err := orderv1.NewOrderServiceClient(conn).List(ctx, &orderv1.ListRequest{})
			return err
		}
		if err := list(12 << 10); err != nil {
			t.Errorf("%s: 12 KiB: %v", name, err)
		}
		if err := list(20 << 10); err == nil {
			t.Errorf("%s: 20 KiB are taken", name)
		}
		if status := callWithHeaders(t, address, 20<<10); status == "200" {
			t.Errorf("%s: 20 KiB are taken from a client that does not look at what it may send", name)
		}
		if status := callWithHeaders(t, address, 1<<10); status != "200" {
			t.Errorf("%s: 1 KiB: %q", name, status)
		}
	}
}

// callWithHeaders begins a call with so long a header, as a client that keeps to no limit does, and returns the status of
// the answer; empty: the stream or the connection was ended.
func callWithHeaders(t *testing.T, address string, size int) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // what was to be seen was seen
	deadline, _ := ctx.Deadline()
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	write := func(name, value string) error { return encoder.WriteField(hpack.HeaderField{Name: name, Value: value}) }
	err = errors.Join(
		conn.SetDeadline(deadline),
		write(":method", "POST"), write(":scheme", "http"), write(":path", orderv1.OrderService_List_FullMethodName),
		write(":authority", address), write("content-type", "application/grpc"), write("te", "trailers"),
		write("x-long", strings.Repeat("!", size)), // a character that compression makes no shorter
	)
	if err == nil {
		_, err = conn.Write([]byte(http2.ClientPreface))
	}
	if err == nil {
		err = framer.WriteSettings()
	}
	if err != nil {
		t.Fatal(err)
	}
	// From here on the node may hang up at any time. What can be read tells.
	first := block.Next(16 << 10)
	_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: first, EndHeaders: block.Len() == 0})
	if block.Len() > 0 {
		_ = framer.WriteContinuation(1, true, block.Bytes())
	}
	_ = framer.WriteData(1, true, []byte{0, 0, 0, 0, 0}) // an empty message
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return "" // after GOAWAY the node hangs up
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			return frame.PseudoValue("status")
		case *http2.RSTStreamFrame:
			return ""
		}
	}
}
