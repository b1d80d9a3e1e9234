package gateway

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	failures "github.com/holdfast-run/holdfast/actors/failure"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// defaultKeyPage is how many orders of a key are told if the request does not say.
const defaultKeyPage = 100

// admin serves adminv1.AdminService.
type admin struct {
	adminv1.UnimplementedAdminServiceServer
	*Server
}

// AdminGRPC makes the gRPC server for operators. It serves what the public one does, except for what brings load: orders can't be
// submitted there, and adapters can't connect.
func (s *Server) AdminGRPC() *grpc.Server {
	g := grpc.NewServer(
		grpc.UnaryInterceptor(s.unary(s.adminUnsent)),
		grpc.ChainStreamInterceptor(s.containStream, s.accessStream),
		grpc.ForceServerCodecV2(newCodec()),
	)
	adminv1.RegisterAdminServiceServer(g, admin{Server: s})
	orderv1.RegisterOrderServiceServer(g, adminOrders{orders{Server: s, unsent: s.adminUnsent, lists: &s.adminLists}})
	definitionv1.RegisterDefinitionServiceServer(g, definitions{Server: s})
	grpc_health_v1.RegisterHealthServer(g, s.health)
	reflection.Register(g)
	return g
}

// adminOrders serves orderv1.OrderService to operators.
type adminOrders struct{ orders }

var errPublicOnly = &failure{ //nolint:gochecknoglobals // a constant
	code: codes.FailedPrecondition, reason: "PUBLIC_ONLY",
	message: "orders are not submitted to the administration, and it tells no owners: use the node's public address",
}

// Submit implements orderv1.OrderServiceServer.
func (a adminOrders) Submit(context.Context, *orderv1.SubmitRequest) (*orderv1.SubmitResponse, error) {
	return nil, a.fail(errPublicOnly)
}

// WatchOwners implements orderv1.OrderServiceServer: what it tells are public addresses.
func (a adminOrders) WatchOwners(*orderv1.WatchOwnersRequest, grpc.ServerStreamingServer[orderv1.WatchOwnersResponse]) error {
	return a.fail(errPublicOnly)
}

// SubmitStream implements orderv1.OrderServiceServer.
func (a adminOrders) SubmitStream(grpc.BidiStreamingServer[orderv1.SubmitStreamRequest, orderv1.SubmitStreamResponse]) error {
	return a.fail(errPublicOnly)
}

// ShowKey implements adminv1.AdminServiceServer.
func (a admin) ShowKey(ctx context.Context, r *adminv1.ShowKeyRequest) (*adminv1.ShowKeyResponse, error) {
	var m mistakes
	a.checkOrderKey(&m, r.GetOrderKey())
	limit := checkLimit(&m, "limit", r.GetLimit(), defaultKeyPage)
	at, err := keyPlaceOf(r.GetPageToken())
	if err != nil {
		m.add("page_token", notAToken)
	}
	if err := m.err(); err != nil {
		return nil, a.fail(err)
	}
	q, err := a.engine.Key(ctx, r.GetOrderKey(), at.place, limit)
	if err != nil {
		return nil, a.fail(err)
	}
	out := &adminv1.ShowKeyResponse{Waiting: q.GetCount()}
	ids, places := q.GetWaiting(), q.GetPlaces()
	if at.place == 0 && at.position == 0 && q.GetHead() != "" {
		ids, places = append([]string{q.GetHead()}, ids...), append([]uint64{0}, places...)
	} else if at.position == 0 {
		at.position = 1
	}
	n := min(len(ids), limit)
	for i, id := range ids[:n] {
		row, err := a.engine.View().Row(ctx, messages.OrderID(id))
		if err != nil {
			return nil, a.fail(err)
		}
		out.Orders = append(out.Orders, &adminv1.KeyedOrder{
			Position: at.position + int64(i), Id: id, Status: orderv1.Status(row.GetStatus()), Definition: row.GetDefinition(),
			AcceptedAt: stamp(row.GetAcceptedAt()), EndedAt: stamp(row.GetEndedAt()),
		})
	}
	if n > 0 && (q.GetMore() || n < len(ids)) {
		out.NextPageToken = keyPlace{position: at.position + int64(n), place: places[n-1]}.token()
	}
	return out, nil
}

// keyPlace is where a page of the queue of an order key begins: with which order, counted from the head, and behind which position in the
// journal. All zero: with the head.
type keyPlace struct {
	position int64
	place    uint64
}

func (p keyPlace) token() string {
	raw := binary.BigEndian.AppendUint64(nil, uint64(p.position)) //nolint:gosec // it is not negative
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(raw, p.place))
}

func keyPlaceOf(token string) (keyPlace, error) {
	if token == "" {
		return keyPlace{}, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return keyPlace{}, fmt.Errorf("decode the token: %w", err)
	}
	const size = 16
	if len(raw) != size || raw[0]&0x80 != 0 {
		return keyPlace{}, errors.New("it is not the token of a queue") //nolint:err113 // it is not told
	}
	p := keyPlace{
		position: int64(binary.BigEndian.Uint64(raw)), //nolint:gosec // it was checked
		place:    binary.BigEndian.Uint64(raw[size/2:]),
	}
	return p, nil
}

// ReleaseKey implements adminv1.AdminServiceServer.
func (a admin) ReleaseKey(ctx context.Context, r *adminv1.ReleaseKeyRequest) (*adminv1.ReleaseKeyResponse, error) {
	var m mistakes
	a.checkOrderKey(&m, r.GetOrderKey())
	checkReason(&m, "by", r.GetBy())
	checkReason(&m, "reason", r.GetReason())
	if err := m.err(); err != nil {
		return nil, a.fail(err)
	}
	id := messages.OrderID(r.GetId())
	if id == "" {
		q, err := a.engine.Key(ctx, r.GetOrderKey(), 0, 0)
		if err != nil {
			return nil, a.fail(err)
		}
		if id = messages.OrderID(q.GetHead()); id == "" {
			return nil, a.fail(&failure{code: codes.NotFound, reason: "NO_SUCH_KEY", message: "no order has the key " + r.GetOrderKey()})
		}
	} else {
		row, err := a.engine.View().Row(ctx, id)
		if err != nil {
			return nil, a.fail(err)
		}
		if row.GetOrderKey() != r.GetOrderKey() {
			m.add("id", fmt.Sprintf("is that of an order with the key %q", row.GetOrderKey()))
			return nil, a.fail(m.err())
		}
	}
	err := a.tell(ctx, id, &nodev1.Envelope{Message: &nodev1.Envelope_ReleaseKey{ReleaseKey: &nodev1.ReleaseKey{
		By: signed(ctx, r.GetBy()), Reason: r.GetReason(),
	}}})
	if failures.Of(err).GetReason() == nodev1.Reason_REASON_KEY_NOT_HELD {
		err = fmt.Errorf("order %s has not faulted: cancel it, or wait for its end: %w", id, err)
	}
	if err != nil {
		return nil, a.fail(err)
	}
	note(ctx, "holder of key "+r.GetOrderKey(), string(id), "")
	return &adminv1.ReleaseKeyResponse{Id: string(id)}, nil
}

// checkOrderKey checks a key that is asked for.
func (a admin) checkOrderKey(m *mistakes, key string) {
	if n := len(key); n == 0 || n > a.config.MaxKey {
		m.add("order_key", fmt.Sprintf("has %d bytes, and must have 1 to %d", n, a.config.MaxKey))
	}
}
