package login

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/holdfast-run/holdfast/tokens"
)

// early is how long before its end a token is renewed, as calls and clocks need some time.
const early = 30 * time.Second

// Read reads a login.
func Read(file string) (*Login, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the login: %w", err)
	}
	var l Login
	if err := json.Unmarshal(text, &l); err != nil {
		return nil, fmt.Errorf("read the login in %s: %w", file, err)
	}
	return &l, nil
}

// Write keeps a login in a file that its owner alone can read, and makes the folder that it is in. It replaces what was there as a whole.
func (l *Login) Write(file string) error {
	text, err := json.MarshalIndent(l, "", "  ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(file), 0o700)
	}
	if err != nil {
		return fmt.Errorf("keep the login: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".login-*") // for its owner's eyes alone
	if err != nil {
		return fmt.Errorf("keep the login: %w", err)
	}
	defer os.Remove(f.Name()) //nolint:errcheck // it is in its place then
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("keep the login: %w", err)
	}
	return nil
}

// Keeper gives the token of a login that is in a file, and renews it.
type Keeper struct {
	File string
	// Now is the clock by which tokens expire.
	Now func() time.Time

	mu   sync.Mutex
	last *Login
}

// Token returns the token that is to be sent now.
func (k *Keeper) Token(ctx context.Context) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.last != nil && k.fresh(k.last) {
		return k.last.Token, nil
	}
	l, err := Read(k.File)
	if err != nil {
		return "", err
	}
	if !k.fresh(l) {
		if l, err = k.renewed(ctx, l); err != nil {
			return "", err
		}
	}
	k.last = l
	return l.Token, nil
}

func (k *Keeper) fresh(l *Login) bool { return k.Now().Add(early).Before(l.Expires) }

// renewed has the issuer give another token. If another process was faster, whose login made this one worthless, that one's is taken.
func (k *Keeper) renewed(ctx context.Context, l *Login) (*Login, error) {
	err := l.renew(ctx)
	if err == nil {
		return l, l.Write(k.File)
	}
	if other, readErr := Read(k.File); readErr == nil && k.fresh(other) {
		return other, nil
	}
	if k.Now().Before(l.Expires) {
		return l, nil // it will do for this call
	}
	return nil, fmt.Errorf("%w (%s at %s): %w", tokens.ErrExpired, l.Name, l.Issuer, err)
}

var errNoRefresh = errors.New("the issuer has given nothing to renew it by")

func (l *Login) renew(ctx context.Context) error {
	if l.Refresh == "" {
		return errNoRefresh
	}
	a, err := l.ask(ctx)
	if err != nil {
		return err
	}
	t, err := a.oauth.TokenSource(a.ctx, &oauth2.Token{RefreshToken: l.Refresh}).Token() //nolint:contextcheck // it has one
	if err != nil {
		return fmt.Errorf("renew the token: %w", err)
	}
	return l.take(a, t, "")
}
