package cloudevents

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/tokens"
)

// clientRate is the reason of a node to refuse what one caller sends too much of. Whatever else there is too much of is nobody's in
// particular.
const clientRate = "CLIENT_RATE"

// failed says why a publication failed, by what a node has said, or why none has said anything. What is told by gRPC, and not by a node,
// has addresses in it, and is for the log.
func (h *handler) failed(err error, p *publication) *problem {
	st, _ := client.StatusOf(err)
	said := client.Reason(err)
	after, again := retryOf(st)
	out := problemf(http.StatusBadGateway, "the node can't do this: its operators know why")
	switch st.Code() {
	case codes.InvalidArgument:
		out = problemf(http.StatusBadRequest, "%s", st.Message())
		out.Errors = mistakesOf(st, p.batch)
	case codes.Unauthenticated:
		out = h.unauthenticated(st, p)
	case codes.PermissionDenied:
		out = problemf(http.StatusForbidden, "%s", st.Message())
	case codes.ResourceExhausted:
		switch {
		case !again: // gRPC says so, of a message
			out = problemf(http.StatusRequestEntityTooLarge, "the events are longer than a node takes at once: send fewer, or less data")
		case said == clientRate:
			out = problemf(http.StatusTooManyRequests, "%s", st.Message()).retry(after)
		default:
			out = problemf(http.StatusServiceUnavailable, "%s", st.Message()).retry(after)
		}
	case codes.Unavailable:
		out = problemf(http.StatusServiceUnavailable, "no node answers").retry(max(after, time.Second))
		if said != "" {
			out.Detail = st.Message()
		}
	case codes.DeadlineExceeded:
		out = problemf(http.StatusGatewayTimeout, "the events were not durable within %v, and may be later: send them again", h.config.Within).
			retry(time.Second)
	default:
		if said != "" {
			out.Detail = st.Message()
		}
	}
	if out.Status >= http.StatusInternalServerError {
		h.config.Failed(fmt.Errorf("publish %d events in namespace %s: %w", len(p.request.GetEvents()), p.request.GetNamespace(), err))
	}
	out.Reason = said
	if p.batch && len(out.Errors) == 0 {
		out.Errors = failedEvents(st, len(p.request.GetEvents()))
	}
	return out
}

// unauthenticated is a problem with the token, or with what there is in place of one.
func (h *handler) unauthenticated(st *status.Status, p *publication) *problem {
	switch {
	case strings.Contains(st.Message(), tokens.ErrPlaintext.Error()):
		return problemf(http.StatusBadGateway, "the token can't be passed on: the connection to the nodes is in plain text")
	case p.token == "":
		return unauthorized("", st.Message())
	}
	return unauthorized("invalid_token", st.Message())
}

// retryOf is when a node has said to try again, if it has.
func retryOf(st *status.Status) (after time.Duration, said bool) {
	for _, detail := range st.Details() {
		if info, is := detail.(*errdetails.RetryInfo); is {
			return info.GetRetryDelay().AsDuration(), true
		}
	}
	return 0, false
}

// ofEvent is how a node names a field of an event.
var ofEvent = regexp.MustCompile(`^events\[([0-9]+)\](?:\.([a-z_]+))?$`)

// mistakesOf are what a node says is wrong with a request.
func mistakesOf(st *status.Status, batch bool) []mistake {
	var out []mistake
	for _, detail := range st.Details() {
		bad, is := detail.(*errdetails.BadRequest)
		if !is {
			continue
		}
		for _, v := range bad.GetFieldViolations() {
			m := mistake{Detail: strings.TrimSpace(v.GetField() + " " + v.GetDescription())}
			if of := ofEvent.FindStringSubmatch(v.GetField()); of != nil {
				m.Attribute, m.Detail = of[2], v.GetDescription()
				if n, err := strconv.Atoi(of[1]); err == nil && batch {
					m.Event = &n
				}
			}
			out = append(out, m)
		}
	}
	return out
}

// failedEvents are those of a batch that a node names as not durable, perhaps.
func failedEvents(st *status.Status, of int) []mistake {
	var out []mistake
	for _, detail := range st.Details() {
		info, is := detail.(*errdetails.ErrorInfo)
		if !is {
			continue
		}
		for span := range strings.SplitSeq(info.GetMetadata()["events"], ",") {
			begin, end, isSpan := strings.Cut(span, "-")
			first, err := strconv.Atoi(begin)
			last := first
			if err == nil && isSpan {
				last, err = strconv.Atoi(end)
			}
			for n := max(first, 0); err == nil && n <= last && n < of; n++ {
				out = append(out, mistake{Event: &n})
			}
		}
	}
	return out
}
