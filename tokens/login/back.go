package login

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
)

// back takes the browser that comes back from the issuer.
type back struct {
	state string
	came  chan came // of capacity 1: the first that came counts
}

// came is what the browser has brought.
type came struct {
	code string
	err  error
}

var errRefused = errors.New("the issuer does not let you in")

// ServeHTTP implements http.Handler. What does not know the state of this login is not from the issuer, and changes nothing.
func (b *back) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if r.Method != http.MethodGet || subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(b.state)) != 1 {
		http.Error(w, "This is not the login that was begun here.", http.StatusBadRequest)
		return
	}
	got := came{code: q.Get("code")}
	if got.code == "" {
		got.err = fmt.Errorf("%w: %s %s", errRefused, q.Get("error"), q.Get("error_description"))
	}
	select {
	case b.came <- got:
	default:
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if got.err != nil {
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte("You are not logged in: the program that you came from says why.\n"))
		return
	}
	_, _ = w.Write([]byte("Go back to where you came from. You can close this page.\n"))
}
