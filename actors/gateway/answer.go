package gateway

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// answer is a message whose bytes count as unsent until gRPC has written them to the connection.
type answer struct {
	message proto.Message
	claim   *claim
}

// codec encodes answers, and all else as gRPC does.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(grpcproto.Name)} }

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	a, ok := v.(*answer)
	if !ok {
		return c.CodecV2.Marshal(v) //nolint:wrapcheck // it stands for what it wraps
	}
	buffer := a.claim.encoded
	size := proto.Size(a.message)
	switch {
	case buffer == nil:
		buffer = getBuffer(size)
	case len(*buffer) < pageBuffer/2: // most watches have little to tell, and hold the buffer for long
		buffer = getBuffer(len(*buffer) + size)
		*buffer = append(*buffer, *a.claim.encoded...)
		putBuffer(a.claim.encoded)
	}
	a.claim.encoded = nil
	var err error
	if *buffer, err = (proto.MarshalOptions{UseCachedSize: true}).MarshalAppend(*buffer, a.message); err != nil {
		return nil, fmt.Errorf("encode an answer: %w", err)
	}
	a.claim.resize(cap(*buffer))
	a.message = nil // only the bytes are kept while the client reads
	return mem.BufferSlice{mem.NewBuffer(buffer, sent{a.claim})}, nil
}

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if r, ok := v.(*inbound); ok {
		return r.decode(data, c)
	}
	return c.CodecV2.Unmarshal(data, v) //nolint:wrapcheck // it stands for what it wraps
}

// sent is given the buffer of an answer when that was written to the connection, or never will be. It implements mem.BufferPool.
type sent struct{ claim *claim }

// Get implements mem.BufferPool.
func (sent) Get(size int) *[]byte { return getBuffer(size) }

// Put implements mem.BufferPool.
func (s sent) Put(buffer *[]byte) {
	s.claim.give()
	putBuffer(buffer)
}

const (
	// leastBuffer is the capacity of the smallest buffers: gRPC does not tell when buffers of up to a certain size were sent, and these
	// are larger.
	leastBuffer = 2 << 10
	// pageBuffer is the size of buffers for pages, which are used again and again.
	pageBuffer = pageBytes + 4<<10
)

//nolint:gochecknoglobals // memory that all servers of the process share
var buffers = sync.Pool{New: func() any {
	b := make([]byte, 0, pageBuffer)
	return &b
}}

func getBuffer(size int) *[]byte {
	if size > pageBuffer/2 && size <= pageBuffer {
		return buffers.Get().(*[]byte) //nolint:errcheck,forcetypeassert // nothing else is in there
	}
	b := make([]byte, 0, max(size, leastBuffer))
	return &b
}

func putBuffer(b *[]byte) {
	if cap(*b) == pageBuffer {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}

// send sends a message of a stream as an answer that has a claim.
func send(st grpc.ServerStream, m proto.Message, c *claim) error {
	if err := st.SendMsg(&answer{m, c}); err != nil {
		c.give()
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// fit returns how many of the first items a page of about so many bytes has; one at least, if there is one.
func fit[T proto.Message](items []T, bytes int) int {
	for i, item := range items {
		if bytes -= proto.Size(item) + eventOverhead; bytes < 0 {
			return max(i, 1)
		}
	}
	return len(items)
}

// large are the unary calls that read what may be large. An order's submission and what is done to one are not among them: they
// never wait for those who read.
var large = map[string]bool{ //nolint:gochecknoglobals // a table
	orderv1.OrderService_Get_FullMethodName:            true,
	orderv1.OrderService_List_FullMethodName:           true,
	orderv1.OrderService_History_FullMethodName:        true,
	definitionv1.DefinitionService_Get_FullMethodName:  true,
	definitionv1.DefinitionService_List_FullMethodName: true,
	adminv1.AdminService_ShowKey_FullMethodName:        true,
	adminv1.AdminService_ListFallout_FullMethodName:    true,
	adminv1.AdminService_ShowFallout_FullMethodName:    true,
	adminv1.AdminService_ListActivities_FullMethodName: true,
	adminv1.AdminService_ListAudit_FullMethodName:      true,
}

// claimKey is the key of the claim in the context of a call that is bounded.
type claimKey struct{}

func claimOf(ctx context.Context) *claim { return ctx.Value(claimKey{}).(*claim) } //nolint:errcheck,forcetypeassert // see bounded

// bounded has a call whose answer may be large wait, before it reads, for its turn, and until there is room among the unsent bytes.
func (s *Server) bounded(ctx context.Context, u *unsent, req any, next grpc.UnaryHandler) (any, error) {
	pass, c, err := s.enterRead(ctx, u)
	if err != nil {
		return nil, s.fail(err)
	}
	defer pass.Leave()
	answered := false
	defer func() {
		if !answered {
			c.give()
		}
	}()
	resp, err := next(context.WithValue(context.WithValue(ctx, claimKey{}, c), passKey{}, pass), req)
	m, ok := resp.(proto.Message)
	if err != nil || !ok {
		return resp, err
	}
	answered = true
	return &answer{m, c}, nil
}
