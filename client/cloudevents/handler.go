package cloudevents

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/eventv1"
	"github.com/holdfast-run/holdfast/tokens"
)

// Path is where events are taken: the namespace of the definitions that listen comes behind it.
const Path = "/events/"

// The parameters of a query.
const (
	// keepFor is how long an event is kept that nobody waits for, such as 2h.
	keepFor = "keep_for"
	// accessToken is a token that is not in the header.
	accessToken = "access_token"
)

// unheard is the header of an answer that says for how many of the events no definition of the namespace listens.
const unheard = "Holdfast-Unheard"

// Publisher publishes events at nodes.
type Publisher interface {
	Publish(ctx context.Context, r *eventv1.PublishRequest, opts ...grpc.CallOption) (*eventv1.PublishResponse, error)
}

type handler struct {
	config    Config
	publisher Publisher
	places    chan struct{} // has one element for each request that is being read into events, or published
	room      *room
}

// New makes a handler that publishes events.
func New(p Publisher, c Config) (http.Handler, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("events by HTTP: %w", err)
	}
	c = c.WithDefaults()
	return &handler{config: c, publisher: p, places: make(chan struct{}, c.MaxRequests), room: newRoom(c.Bodies)}, nil
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begun := time.Now()
	w.Header().Set("Cache-Control", "no-store")
	answer, p := h.answer(w, r)
	if p == nil {
		w.WriteHeader(answer.Status)
	} else {
		answer.Status = p.Status
		p.write(w)
	}
	answer.Took = time.Since(begun)
	h.config.Answered(answer)
}

// statusGone stands for the answer to a client that has gone before its events were published: nobody gets it.
const statusGone = 499

// answer does what a request asks for, or says why not.
func (h *handler) answer(w http.ResponseWriter, r *http.Request) (Answer, *problem) {
	namespace, found := strings.CutPrefix(r.URL.Path, Path)
	switch {
	case !found || namespace == "" || strings.Contains(namespace, "/") || !utf8.ValidString(namespace):
		return Answer{}, problemf(http.StatusNotFound, "events are taken at %sNAMESPACE, and nothing else is here", Path)
	case r.Method == http.MethodOptions && len(h.config.Origins) > 0:
		return h.handshake(w, r)
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", h.methods())
		return Answer{}, problemf(http.StatusMethodNotAllowed, "events are sent by POST, and not by %.20s", r.Method)
	case r.Header.Get("Origin") != "":
		return Answer{}, problemf(http.StatusForbidden, "events are not taken from pages in browsers, which send the header Origin")
	}
	query, p := h.queryOf(r)
	if p != nil {
		return Answer{}, p
	}
	token, p := h.tokenOf(r, query)
	if p != nil {
		return Answer{}, p
	}
	keep, p := keepOf(query)
	if p != nil {
		return Answer{}, p
	}
	body, held, p := h.read(w, r)
	defer held.release()
	if p != nil {
		return Answer{}, p
	}
	select {
	case h.places <- struct{}{}:
		defer func() { <-h.places }()
	default:
		return Answer{}, problemf(http.StatusServiceUnavailable, "%d requests are under way, and no more are taken at once",
			h.config.MaxRequests).retry(time.Second)
	}
	events, batch, p := h.eventsOf(r.Header, body)
	if p != nil {
		return Answer{}, p
	}
	request := &eventv1.PublishRequest{Namespace: namespace, Events: events, KeepFor: keep}
	return h.publish(w, r, &publication{request: request, token: token, batch: batch})
}

// methods are those that are answered.
func (h *handler) methods() string {
	if len(h.config.Origins) > 0 {
		return "OPTIONS, POST"
	}
	return http.MethodPost
}

// queryOf reads the query, of which each parameter is known, and there once.
func (h *handler) queryOf(r *http.Request) (url.Values, *problem) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, problemf(http.StatusBadRequest, "the query can't be read: %v", err)
	}
	known := []string{keepFor}
	if len(h.config.Origins) > 0 {
		known = append(known, accessToken)
	}
	for name, values := range query {
		if !slices.Contains(known, name) {
			return nil, problemf(http.StatusBadRequest, "there is no parameter %.60q, only %s", name, strings.Join(known, ", "))
		}
		if len(values) > 1 {
			return nil, problemf(http.StatusBadRequest, "the parameter %s is given twice", name)
		}
	}
	return query, nil
}

// tokenOf is the token that a request bears; empty: none.
func (h *handler) tokenOf(r *http.Request, query url.Values) (string, *problem) {
	token, err := tokens.FromHeader(r.Header.Values(tokens.Metadata))
	if err != nil {
		return "", unauthorized("invalid_token", err.Error())
	}
	if inQuery := query.Get(accessToken); query.Has(accessToken) {
		if token != "" {
			return "", problemf(http.StatusBadRequest, "a token is given in the header Authorization and in the query, and must be in one of them")
		}
		if token, err = tokens.FromHeader([]string{tokens.Scheme + inQuery}); err != nil {
			return "", unauthorized("invalid_token", accessToken+" is no token")
		}
	}
	for _, c := range []byte(token) {
		if c <= ' ' || c > '~' { // gRPC carries no others
			return "", unauthorized("invalid_token", "the token has characters that no token has")
		}
	}
	if token == "" && h.config.Tokens {
		return "", unauthorized("", "a token is needed: Authorization: Bearer TOKEN")
	}
	return token, nil
}

// keepOf is how long events are to be kept that nobody waits for; nil: as long as nodes keep events.
func keepOf(query url.Values) (*durationpb.Duration, *problem) {
	if !query.Has(keepFor) {
		return nil, nil
	}
	keep, err := time.ParseDuration(query.Get(keepFor))
	if err != nil || keep <= 0 {
		return nil, problemf(http.StatusBadRequest,
			"%s must be a time of more than 0, such as 30m or 2h, but is %.60q", keepFor, query.Get(keepFor))
	}
	return durationpb.New(keep), nil
}

// publication is what a request has nodes publish.
type publication struct {
	request *eventv1.PublishRequest
	token   string
	batch   bool // events are told by their numbers
}

// publish publishes the events of a request.
func (h *handler) publish(w http.ResponseWriter, r *http.Request, p *publication) (Answer, *problem) {
	out := Answer{Status: http.StatusNoContent, Events: len(p.request.GetEvents())}
	if out.Events == 0 {
		return out, nil // a batch may be empty
	}
	ctx, cancel := context.WithTimeout(r.Context(), h.config.Within)
	defer cancel()
	// Where nodes ask nobody who he is, they tell callers apart by where they come from, and not as this process alone.
	from, _, err := net.SplitHostPort(r.RemoteAddr)
	if err == nil {
		ctx = metadata.AppendToOutgoingContext(ctx, messages.ClientMetadata, from)
	}
	var options []grpc.CallOption
	if p.token != "" {
		options = append(options, grpc.PerRPCCredentials(&tokens.Sender{Token: p.token, Anyway: h.config.Anyway}))
	}
	answer, err := h.publisher.Publish(ctx, p.request, options...)
	switch {
	case err != nil && r.Context().Err() != nil:
		return Answer{}, problemf(statusGone, "the client has gone")
	case err != nil:
		return Answer{}, h.failed(err, p)
	}
	for _, places := range answer.GetPlaces() {
		if places == 0 {
			out.Unheard++
		}
	}
	if out.Unheard > 0 {
		w.Header().Set(unheard, strconv.Itoa(out.Unheard))
	}
	return out, nil
}
