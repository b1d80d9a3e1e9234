package main

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-run/holdfast/actors/access"
	"github.com/holdfast-run/holdfast/actors/gateway"
	"github.com/holdfast-run/holdfast/messages/auditv1"
	"github.com/holdfast-run/holdfast/tokens"
)

// openAccess reads who may call, and what, if a file says so.
func (n *node) openAccess() error {
	if n.config.Access == "" {
		n.log.Info("nobody is asked who he is: whoever can connect may do everything", "setting", "--access")
		return nil
	}
	var err error
	if n.access, err = access.Open(n.config.Access, time.Now); err != nil {
		return err
	}
	n.accessReloads = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "holdfast_access_reloads_total", Help: "Changes of the file of --access that were taken, or refused because they are bad.",
	}, []string{"outcome"})
	n.registry.MustRegister(n.accessReloads)
	n.log.Info("callers are asked who they are", "file", n.config.Access)
	return nil
}

// callers knows who calls; nil: nobody is asked.
func (n *node) callers() gateway.Callers {
	if n.access == nil {
		return nil
	}
	return n.access
}

// reviewAccess reads again who may call, if that has changed, and ends the streams of those who may not any more.
func (n *node) reviewAccess(ctx context.Context) {
	if n.access == nil {
		return
	}
	taken, err := n.access.Reload()
	switch {
	case err != nil:
		n.accessReloads.WithLabelValues("refused").Inc()
		n.log.Error("what callers may do can't be read: what was read before stays", "error", err)
	case taken:
		n.accessReloads.WithLabelValues("taken").Inc()
		n.log.Info("what callers may do has changed", "file", n.config.Access)
	}
	if ended := n.access.Review(ctx); ended > 0 {
		n.log.Info("streams were ended: their callers are not known any more, or may do other things", "streams", ended)
	}
	n.noteAccess(ctx)
}

// noteAccessWithin is how long it may take to note which file is in force; then it is tried again when the file is looked at next.
const noteAccessWithin = 2 * time.Second

// noteAccess notes in the audit which file says who may call: once the node has its audit, and whenever the file has changed. Nobody knows
// who has changed it.
func (n *node) noteAccess(ctx context.Context) {
	audit, sum := n.refusals.Load(), n.access.Sum()
	if audit == nil || sum == n.accessNoted {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, noteAccessWithin)
	defer cancel()
	begun, err := audit.Begin(ctx, &auditv1.Begun{Caller: &auditv1.Caller{}, Method: "access file read"})
	if err == nil {
		err = audit.End(ctx, &auditv1.Ended{Begun: begun, Changes: []*auditv1.Change{
			{What: "SHA-256 of " + filepath.Base(n.config.Access), Before: n.accessNoted, After: sum},
		}})
	}
	if err != nil {
		n.log.Warn("which file says what callers may do is not in the audit yet", "error", err)
		return
	}
	n.accessNoted = sum
}

// forCallers serves a page of the administration to those whose roles allow it.
func (n *node) forCallers(path string, page http.Handler) http.Handler {
	rule, known := access.RuleOf(path)
	if n.access == nil || known && rule.Scope == access.Anybody {
		return page
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var certificate *x509.Certificate
		if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
			certificate = r.TLS.VerifiedChains[0][0]
		}
		c, err := n.callerOf(r, certificate)
		status := http.StatusUnauthorized
		if err == nil {
			err, status = access.Page(c, path), http.StatusForbidden
		}
		if err == nil {
			page.ServeHTTP(w, r.WithContext(access.With(r.Context(), c)))
			return
		}
		n.auditRefused("page "+path, access.IdentityOf(c, certificate, r.RemoteAddr).Noted(), err.Error())
		if status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		http.Error(w, err.Error(), status)
	})
}

// callerOf returns who asks for a page.
func (n *node) callerOf(r *http.Request, certificate *x509.Certificate) (*access.Caller, error) {
	token, err := tokens.FromHeader(r.Header.Values("Authorization"))
	if err != nil {
		return nil, errors.Join(access.ErrUnknown, err)
	}
	return n.access.Identify(r.Context(), access.Proof{Token: token, Certificate: certificate})
}
