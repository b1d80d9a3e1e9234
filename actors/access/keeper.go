package access

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-run/holdfast/tokens"
)

// Poll is how often a file is to be looked at, and open streams reviewed.
const Poll = 5 * time.Second

// Keeper knows who calls, by a file. It is safe for concurrent use.
type Keeper struct {
	name    string
	now     func() time.Time
	current atomic.Pointer[inForce]

	mu      sync.Mutex
	read    [sha256.Size]byte // of the file that is in force
	told    string            // why it could not be used then; empty: it could
	streams map[*followed]struct{}
}

// inForce is what a file says.
type inForce struct {
	*policy

	issuers map[string]*issuer
}

// followed is a stream that is open.
type followed struct {
	proof  Proof
	caller *Caller
	end    func(error)
}

// Open reads a file. The clock says whether tokens have expired.
func Open(name string, now func() time.Time) (*Keeper, error) {
	f, text, err := Read(name)
	if err != nil {
		return nil, err
	}
	k := &Keeper{name: name, now: now, read: sha256.Sum256(text), streams: map[*followed]struct{}{}}
	next, err := k.made(f)
	if err != nil {
		return nil, err
	}
	k.current.Store(next)
	return k, nil
}

// made makes of a file what is in force. Issuers that have not changed stay as they are, with what is known of their tokens.
func (k *Keeper) made(f *File) (*inForce, error) {
	next := &inForce{policy: newPolicy(f), issuers: map[string]*issuer{}}
	before := k.current.Load()
	for _, is := range f.Issuers {
		if before != nil {
			if old := before.issuers[is.URL]; old != nil && old.Issuer == is {
				next.issuers[is.URL] = old
				continue
			}
		}
		made, err := newIssuer(is, k.now)
		if err != nil {
			return nil, err
		}
		next.issuers[is.URL] = made
	}
	return next, nil
}

// Reload reads the file again, if it has changed. What is bad is told once, and changes nothing.
func (k *Keeper) Reload() (taken bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f, text, err := Read(k.name)
	sum := sha256.Sum256(text)
	var next *inForce
	if err == nil {
		if sum == k.read {
			k.told = ""
			return false, nil
		}
		next, err = k.made(f)
	}
	if err != nil {
		if k.told == err.Error() {
			return false, nil
		}
		k.told = err.Error()
		return false, err
	}
	k.read, k.told = sum, ""
	k.current.Store(next)
	return true, nil
}

// Sum is the SHA-256 of the file that is in force, in hexadecimal digits.
func (k *Keeper) Sum() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return hex.EncodeToString(k.read[:])
}

// Identify returns who calls. Errors wrap ErrUnknown, unless the context has ended.
func (k *Keeper) Identify(ctx context.Context, p Proof) (*Caller, error) {
	in := k.current.Load()
	switch {
	case strings.HasPrefix(p.Token, tokens.Prefix):
		return in.byToken(p.Token, k.now())
	case p.Token != "":
		return in.byIssuer(ctx, p.Token)
	case p.Certificate != nil:
		if !k.now().Before(p.Certificate.NotAfter) {
			return nil, errExpired
		}
		return in.byCertificate(p.Certificate)
	}
	return nil, errNothingShown
}

var (
	errNothingShown = unknown(errors.New("neither a token nor a certificate was shown"))
	errExpired      = unknown(errors.New("the certificate has expired"))
)

// Follow has end be called, once, when a caller that has a stream open is not known any more, or may do other things than when it was
// opened; forget is to be called when the stream is over.
func (k *Keeper) Follow(p Proof, c *Caller, end func(error)) (forget func()) {
	s := &followed{p, c, end}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.streams[s] = struct{}{}
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.streams, s)
	}
}

// ErrChanged says that a caller may do other things than when its stream was opened.
var ErrChanged = errors.New("what the caller may do has changed: open the stream again")

// Review ends the streams of callers that are not known any more, or may do other things than when they were opened, and tells how many.
func (k *Keeper) Review(ctx context.Context) int {
	k.mu.Lock()
	open := make([]*followed, 0, len(k.streams))
	for s := range k.streams {
		open = append(open, s)
	}
	k.mu.Unlock()
	ended := 0
	for _, s := range open {
		now, err := k.Identify(ctx, s.proof)
		switch {
		case ctx.Err() != nil:
			return ended
		case err == nil && !now.same(s.caller):
			err = ErrChanged
		case err == nil:
			continue
		}
		s.end(err)
		ended++
		k.mu.Lock()
		delete(k.streams, s)
		k.mu.Unlock()
	}
	return ended
}
