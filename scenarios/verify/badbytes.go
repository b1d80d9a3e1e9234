package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// raw sends bytes as they are in place of a message.
type raw struct{}

// Marshal implements encoding.Codec.
func (raw) Marshal(v any) ([]byte, error) {
	b, ok := v.(*[]byte)
	if !ok {
		return nil, fmt.Errorf("can't send a %T", v)
	}
	return *b, nil
}

// Unmarshal implements encoding.Codec.
func (raw) Unmarshal(data []byte, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("can't receive a %T", v)
	}
	*b = bytes.Clone(data)
	return nil
}

// Name implements encoding.Codec. The server takes the bytes for what it expects.
func (raw) Name() string { return "proto" }

// payloads are messages that can't be decoded.
var payloads = map[string][]byte{
	"cut short":              {0x0a, 0x7f, 'a'},
	"field number 0":         {0x00, 0x01},
	"wire type 7":            {0x0f},
	"endless varint":         bytes.Repeat([]byte{0xff}, 64),
	"length beyond the end":  {0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f},
	"group without an end":   bytes.Repeat([]byte{0x0b}, 100_000),
	"bad UTF-8 in a string":  {0x0a, 0x04, 0x0a, 0x02, 0xc3, 0x28},
	"noise":                  []byte("\x9a\xf3\x01\x22\xe8 anything at all \xff\xfe\xfd"),
	"wrong type for a field": {0x08, 0x01, 0x0a, 0x02, 0x08, 0x80},
}

// badBytes are messages, frames and streams of bytes that mean nothing.
func badBytes() []badCase {
	var all []badCase
	for name, payload := range payloads {
		for _, method := range []string{
			orderv1.OrderService_Submit_FullMethodName, orderv1.OrderService_SubmitStream_FullMethodName,
			definitionv1.DefinitionService_Deploy_FullMethodName, "/holdfast.adapter.v1.AdapterService/Connect",
		} {
			all = append(all, badCase{"message to " + method + ": " + name, func(ctx context.Context, t *target) error {
				return t.undecodable(ctx, method, payload)
			}})
		}
	}
	all = append(all,
		badCase{"call of a method that is not", func(ctx context.Context, t *target) error {
			return refused(t.invoke(ctx, "/holdfast.order.v1.OrderService/Dance"), codes.Unimplemented)
		}},
		badCase{"call of a service that is not", func(ctx context.Context, t *target) error {
			return refused(t.invoke(ctx, "/nobody.Service/Call"), codes.Unimplemented)
		}},
	)
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	settings := "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	for name, text := range map[string]string{
		"noise":                      "\x00\xff\x13\x37" + strings.Repeat("\xa5", 10_000),
		"HTTP/1":                     "POST /holdfast.order.v1.OrderService/Submit HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
		"the beginning of TLS":       "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x00", 500),
		"a preface cut short":        preface[:10],
		"a preface without settings": preface + "\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x01",
		"a frame that is too long":   preface + settings + "\xff\xff\xff\x00\x00\x00\x00\x00\x01" + strings.Repeat("x", 50_000),
		"a frame of an unknown type": preface + settings + "\x00\x00\x04\xee\x00\x00\x00\x00\x01abcd",
		"headers that are no HPACK":  preface + settings + "\x00\x00\x05\x01\x04\x00\x00\x00\x01\xff\xff\xff\xff\xff",
		"data without headers":       preface + settings + "\x00\x00\x04\x00\x01\x00\x00\x00\x01abcd",
		"endless continuation": preface + settings + "\x00\x00\x01\x01\x00\x00\x00\x00\x01\x82" +
			strings.Repeat("\x00\x00\x01\x09\x00\x00\x00\x00\x01\x82", 5000),
		"resets of streams that are not": preface + settings + strings.Repeat("\x00\x00\x04\x03\x00\x00\x00\x00\x09\x00\x00\x00\x08", 5000),
		"a window beyond all bounds":     preface + settings + strings.Repeat("\x00\x00\x04\x08\x00\x00\x00\x00\x00\x7f\xff\xff\xff", 3),
		"many pings":                     preface + settings + strings.Repeat("\x00\x00\x08\x06\x00\x00\x00\x00\x00abcdefgh", 5000),
	} {
		for listener, address := range map[string]func(*target) string{
			"API":            func(t *target) string { return t.node.Server },
			"administration": func(t *target) string { return t.node.Admin },
		} {
			all = append(all, badCase{"bytes to the " + listener + ": " + name, func(ctx context.Context, t *target) error {
				return throw(ctx, address(t), text)
			}})
		}
	}
	return append(all, badCase{"many connections that say nothing", silence})
}

// invoke calls a method with an empty message.
func (t *target) invoke(ctx context.Context, method string) error {
	var out []byte
	return t.conn.Conn().Invoke(ctx, method, &[]byte{}, &out, grpc.ForceCodec(raw{})) //nolint:wrapcheck // the caller judges it
}

// undecodable sends a message that can't be decoded. gRPC itself answers that, so there are no field details.
func (t *target) undecodable(ctx context.Context, method string, payload []byte) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	st, err := t.conn.Conn().NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method, grpc.ForceCodec(raw{}))
	if err != nil {
		return fmt.Errorf("open stream: %w", err)
	}
	if err := st.SendMsg(&payload); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("send: %w", err)
	}
	if err := st.CloseSend(); err != nil {
		return fmt.Errorf("close the stream: %w", err)
	}
	var out []byte
	if err = st.RecvMsg(&out); refused(err, codes.InvalidArgument) == nil {
		return nil // it could be decoded, but means nothing
	}
	return refused(err, codes.Internal)
}

// throw writes bytes to a listener, and waits until it hangs up, or for a moment.
func throw(ctx context.Context, address, text string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("it takes no connections: %w", err)
	}
	defer conn.Close() //nolint:errcheck // what was to be seen was seen
	if err := conn.SetDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		return fmt.Errorf("set deadline: %w", err)
	}
	if _, err := io.WriteString(conn, text); err == nil {
		_, _ = io.Copy(io.Discard, conn) // it hangs up, answers, or waits for more
	}
	return nil
}

// silentConnections is how many connections are opened and left alone.
const silentConnections = 500

func silence(ctx context.Context, t *target) error {
	for range silentConnections {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", t.node.Server)
		if err != nil {
			return fmt.Errorf("it takes no connections: %w", err)
		}
		defer conn.Close() //nolint:errcheck // nothing was written
	}
	return t.good(ctx)
}
