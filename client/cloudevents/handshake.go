package cloudevents

import (
	"net/http"
	"slices"
	"strings"
)

// The headers of the validation handshake: HTTP 1.1 Web Hooks for Event Delivery 1.0.2, section 4.
const (
	requestOrigin = "Webhook-Request-Origin"
	allowedOrigin = "Webhook-Allowed-Origin"
	allowedRate   = "Webhook-Allowed-Rate"
)

// handshake answers whether a sender of web hooks may send events here. An address at which it might be told so later is not asked: the
// process sends no requests to where strangers say.
func (h *handler) handshake(w http.ResponseWriter, r *http.Request) (Answer, *problem) {
	w.Header().Set("Allow", h.methods())
	origin := r.Header.Get(requestOrigin)
	if origin == "" {
		return Answer{Status: http.StatusNoContent}, nil
	}
	same := func(allowed string) bool { return allowed == "*" || strings.EqualFold(allowed, origin) }
	if !slices.ContainsFunc(h.config.Origins, same) {
		return Answer{}, problemf(http.StatusForbidden, "events are not taken from the origin %.120q", origin)
	}
	w.Header().Set(allowedOrigin, origin)
	w.Header().Set(allowedRate, "*") // whoever sends too much is told when it comes to that
	return Answer{Status: http.StatusOK}, nil
}
