package access

import (
	"context"
	"crypto/x509"
	"net"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/auditv1"
	"github.com/holdfast-run/holdfast/tokens"
)

// Identity is who calls, for those who tell of it.
type Identity struct {
	// Name is that of the caller; empty: nobody knows it.
	Name string
	How  How
	// Via tells callers with the same name apart: the issuer of the token, or its id.
	Via string
	// From is the address that the call came from, without its port.
	From string
}

type callerKey struct{}

// With returns a context in which a caller calls.
func With(ctx context.Context, c *Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// Of returns who calls; nil: nobody was asked who he is, and he may do everything.
func Of(ctx context.Context) *Caller {
	c, _ := ctx.Value(callerKey{}).(*Caller)
	return c
}

// CallerOf returns who calls. Where nobody is asked who he is, or what was shown is not good, a certificate that an authority has signed
// still names the caller.
func CallerOf(ctx context.Context) Identity {
	address := ""
	if p, known := peer.FromContext(ctx); known && p.Addr != nil {
		address = p.Addr.String()
	}
	return IdentityOf(Of(ctx), certificateOf(ctx), address)
}

// IdentityOf is that of a caller, if one is known; else that of the certificate that an authority has signed, if there is one. The address
// may have a port.
func IdentityOf(c *Caller, certificate *x509.Certificate, address string) Identity {
	id := Identity{From: withoutPort(address)}
	if c != nil {
		id.Name, id.How, id.Via = c.Name, c.How, c.Via
		return id
	}
	if certificate != nil {
		if names := namesOf(certificate); len(names) > 0 {
			id.Name, id.How = names[0], ByCertificate
		}
	}
	return id
}

// mostText is the longest text of a caller in the audit, in bytes.
const mostText = 256

// Noted is the caller as the audit has it.
func (i Identity) Noted() *auditv1.Caller {
	by := string(i.How)
	if i.Via != "" {
		by += " " + i.Via
	}
	return &auditv1.Caller{
		Name: messages.Clip(i.Name, mostText), Address: messages.Clip(i.From, mostText), KnownBy: messages.Clip(by, mostText),
	}
}

// ProofOf returns what the caller has shown. An error wraps ErrUnknown.
func ProofOf(ctx context.Context) (Proof, error) {
	token, err := tokens.FromHeader(metadata.ValueFromIncomingContext(ctx, tokens.Metadata))
	if err != nil {
		return Proof{}, unknown(err)
	}
	return Proof{Token: token, Certificate: certificateOf(ctx)}, nil
}

// certificateOf returns the certificate that the connection has shown, and that an authority has signed; nil: it has shown none.
func certificateOf(ctx context.Context) *x509.Certificate {
	p, known := peer.FromContext(ctx)
	if !known {
		return nil
	}
	info, secured := p.AuthInfo.(credentials.TLSInfo)
	if !secured || len(info.State.VerifiedChains) == 0 {
		return nil
	}
	return info.State.VerifiedChains[0][0]
}

func withoutPort(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}
