package gateway

import (
	"context"
	"fmt"
	"math"
	"net"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/holdfast-run/holdfast/actors/access"
	"github.com/holdfast-run/holdfast/messages"
)

const (
	// maxClient is the longest name of a client, in bytes.
	maxClient = 128
	// sweepEvery is how often, at most, full buckets are looked for, which may be forgotten.
	sweepEvery = time.Second
)

// admission gives each client a bucket of tokens, one for each order that it submits. It is nil if there is no limit.
type admission struct {
	rate  rate.Limit
	burst int
	most  int

	mu      sync.Mutex
	clients map[string]*rate.Limiter // no more than most
	others  *rate.Limiter            // shared by the clients that get no bucket of their own
	swept   time.Time
}

func newAdmission(c Config) *admission {
	if c.ClientRate == 0 {
		return nil
	}
	return &admission{
		rate: rate.Limit(c.ClientRate), burst: c.ClientBurst, most: c.Clients, clients: map[string]*rate.Limiter{},
		others: rate.NewLimiter(rate.Limit(c.ClientRate), c.ClientBurst),
	}
}

// client returns who calls, for people: the name that the client gives itself, or else its address. It is empty where no client is
// limited.
func (a *admission) client(ctx context.Context) (string, error) {
	if a == nil {
		return "", nil
	}
	if c := access.Of(ctx); c != nil { // it is known who calls, whatever the client calls itself
		return c.String(), nil
	}
	if names := metadata.ValueFromIncomingContext(ctx, messages.ClientMetadata); len(names) > 0 {
		if n := len(names[0]); len(names) > 1 || n == 0 || n > maxClient {
			var m mistakes
			m.add("metadata."+messages.ClientMetadata, fmt.Sprintf("must be given once, with 1 to %d bytes", maxClient))
			return "", m.err()
		}
		return strconv.Quote(names[0]), nil
	}
	from, _ := connectionOf(ctx)
	if from == nil {
		return "at no address", nil
	}
	if tcp, isTCP := from.(*net.TCPAddr); isTCP { // the port differs with each connection of a client
		return "at " + tcp.AddrPort().Addr().Unmap().WithZone("").String(), nil
	}
	return "at " + from.String(), nil
}

// admit takes a token of a client, or says why not.
func (a *admission) admit(client string) error {
	if a == nil {
		return nil
	}
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	bucket := a.bucket(client, now)
	if bucket.AllowN(now, 1) {
		return nil
	}
	missing := (1 - bucket.TokensAt(now)) / float64(a.rate)
	who := "client " + client
	if bucket == a.others {
		who = fmt.Sprintf("clients beyond the %d that are told apart, of whom %s is one, together", a.most, who)
	}
	return &failure{
		code: codes.ResourceExhausted, reason: "CLIENT_RATE",
		message: fmt.Sprintf("%s may submit %s orders/s, and %d at once", who,
			strconv.FormatFloat(float64(a.rate), 'f', -1, 64), a.burst),
		retry: time.Duration(math.Ceil(missing*1e3)) * time.Millisecond,
	}
}

// bucket returns the bucket of a client. A bucket that is full again may be forgotten: a new one would be full, too.
func (a *admission) bucket(client string, now time.Time) *rate.Limiter {
	if b := a.clients[client]; b != nil {
		return b
	}
	if len(a.clients) >= a.most && now.Sub(a.swept) >= sweepEvery {
		a.swept = now
		for name, b := range a.clients {
			if b.TokensAt(now) >= float64(a.burst) {
				delete(a.clients, name)
			}
		}
	}
	if len(a.clients) >= a.most {
		return a.others
	}
	b := rate.NewLimiter(a.rate, a.burst)
	a.clients[client] = b
	return b
}
