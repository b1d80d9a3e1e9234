package tokens_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/tokens"
)

// open is a connection in plain text to another machine, and here one to this machine.
type open struct{ credentials.CommonAuthInfo }

func (open) AuthType() string { return "insecure" }

type here struct{ open }

func (here) StaysHere() bool { return true }

func over(t *testing.T, info credentials.AuthInfo) context.Context {
	t.Helper()
	return credentials.NewContextWithRequestInfo(t.Context(), credentials.RequestInfo{AuthInfo: info})
}

// A token goes where nobody else reads it, unless that is said.
func TestTokenIsSent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		info   credentials.AuthInfo
		anyway bool
		sent   bool
	}{
		{"over TLS", credentials.TLSInfo{}, false, true},
		{"on this machine", here{}, false, true},
		{"in plain text to another machine", open{}, false, false},
		{"the same, anyway", open{}, true, true},
	} {
		got, err := (&tokens.Sender{Token: "x", Anyway: c.anyway}).GetRequestMetadata(over(t, c.info))
		if c.sent && (err != nil || got[tokens.Metadata] != "Bearer x") {
			t.Errorf("%s: %v %v", c.name, got, err)
		}
		if !c.sent && (status.Code(err) != codes.Unauthenticated || len(got) > 0 || !strings.Contains(err.Error(), tokens.ErrPlaintext.Error())) {
			t.Errorf("%s: %v %v", c.name, got, err)
		}
	}
	if _, err := (&tokens.Sender{Token: "x"}).GetRequestMetadata(t.Context()); err == nil {
		t.Error("it is sent over a connection of which nothing is known")
	}
}

// A file with a token is read again when it has changed.
func TestTokenInAFile(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "token")
	written := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		written = written.Add(time.Second)
		if err := os.Chtimes(name, written, written); err != nil {
			t.Fatal(err)
		}
	}
	s := &tokens.Sender{File: name}
	if err := s.Validate(); err == nil {
		t.Error("a file that is not there is good")
	}
	write("two words\n")
	if err := s.Validate(); err == nil {
		t.Error("a file without a token is good")
	}
	synctest.Test(t, func(t *testing.T) {
		want := func(token string) {
			t.Helper()
			got, err := s.GetRequestMetadata(over(t, here{}))
			if err != nil || got[tokens.Metadata] != "Bearer "+token {
				t.Errorf("%v %v, want %s", got, err, token)
			}
		}
		write("first\n")
		want("first")
		write("second\n")
		want("first")
		time.Sleep(5 * time.Second)
		want("second")
	})
}

// What settings and headers have is a token, or none.
func TestWhatATokenIs(t *testing.T) {
	t.Parallel()
	if err := (&tokens.Sender{Token: "x", File: "y"}).Validate(); err == nil {
		t.Error("a token and a file are taken")
	}
	if err := (&tokens.Sender{Token: "x y"}).Validate(); err == nil {
		t.Error("a token with a space is taken")
	}
	for header, want := range map[string]string{"Bearer x": "x", "bearer  x ": "x", "Basic x": "", "Bearer ": "", "Bear": "", "": ""} {
		got, err := tokens.FromHeader([]string{header})
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q %v", header, got, err)
		}
	}
	if got, err := tokens.FromHeader(nil); got != "" || err != nil {
		t.Errorf("without a header: %q %v", got, err)
	}
	if _, err := tokens.FromHeader([]string{"Bearer x", "Bearer y"}); err == nil {
		t.Error("two tokens are taken")
	}
	if _, err := tokens.FromHeader([]string{"Bearer " + strings.Repeat("x", 10_000)}); err == nil {
		t.Error("a token is taken that is too long")
	}
	a, b := tokens.New(), tokens.New()
	if h, err := tokens.ParseHash(tokens.HashOf(a).String()); a == b || len(a) < 40 || err != nil || h != tokens.HashOf(a) {
		t.Errorf("%s %s %v", a, b, err)
	}
}
