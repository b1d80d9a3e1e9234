package login_test

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oauth2-proxy/mockoidc"
	"go.uber.org/goleak"

	"github.com/holdfast-run/holdfast/tokens"
	"github.com/holdfast-run/holdfast/tokens/login"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// issuer is a server of OpenID Connect.
type issuer struct {
	*mockoidc.MockOIDC

	t *testing.T
	// codes has it give codes for devices, which mockoidc does not do itself; entered is whether the person has entered the last one.
	codes   bool
	entered atomic.Bool
	renewed atomic.Int64
	// noNew has it refuse to renew tokens.
	noNew atomic.Bool
}

func startIssuer(t *testing.T, codes bool) *issuer {
	t.Helper()
	m, err := mockoidc.NewServer(nil)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{MockOIDC: m, t: t, codes: codes}
	if err := m.AddMiddleware(i.around); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Start(l, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	return i
}

// around adds codes for devices, by RFC 8628, to what mockoidc does.
func (i *issuer) around(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == mockoidc.DiscoveryEndpoint && i.codes:
			rec := httptest.NewRecorder()
			next.ServeHTTP(rec, r)
			var all map[string]any
			_ = json.Unmarshal(rec.Body.Bytes(), &all)
			all["device_authorization_endpoint"] = i.UserinfoEndpoint() // a page that it serves, which nothing else here asks for
			i.answer(w, http.StatusOK, all)
			return
		case r.URL.Path == mockoidc.UserinfoEndpoint:
			i.answer(w, http.StatusOK, map[string]any{
				"device_code": "d", "user_code": "ABCD", "verification_uri": "https://id.example.com/device", "expires_in": 60, "interval": 1,
			})
			return
		case r.URL.Path != mockoidc.TokenEndpoint:
		case r.FormValue("grant_type") == "urn:ietf:params:oauth:grant-type:device_code":
			if !i.entered.Load() {
				i.entered.Store(true) // it is before the client asks again
				i.answer(w, http.StatusBadRequest, map[string]any{"error": "authorization_pending"})
				return
			}
			s, err := i.SessionStore.NewSession("openid email", "", i.UserQueue.Pop(), "", "")
			if err != nil {
				i.t.Error(err)
				return
			}
			r.Form.Set("grant_type", "authorization_code")
			r.Form.Set("code", s.SessionID)
		case r.FormValue("grant_type") == "refresh_token":
			i.renewed.Add(1)
			if i.noNew.Load() {
				i.answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (i *issuer) answer(w http.ResponseWriter, status int, what any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(what); err != nil {
		i.t.Error(err)
	}
}

func (i *issuer) config(tell func(login.Step)) login.Config {
	return login.Config{Issuer: i.Issuer(), Client: i.ClientID, Secret: i.ClientSecret, Tell: tell}
}

// open opens a page, as a browser does, and returns what is there in the end.
func open(t *testing.T, page string) (status int, text string) {
	t.Helper()
	browser := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := browser.Get(page)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer r.Body.Close() //nolint:errcheck // it was read
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	return r.StatusCode, string(b)
}

// A browser comes back with the code, and what comes back with the state of another login changes nothing.
func TestByBrowser(t *testing.T) {
	t.Parallel()
	i := startIssuer(t, false)
	opened := make(chan struct{})
	l, err := login.In(t.Context(), i.config(func(s login.Step) {
		go func() {
			defer close(opened)
			u, _ := url.Parse(s.Page)
			if status, _ := open(t, u.Query().Get("redirect_uri")+"?code=x&state=other"); status != http.StatusBadRequest {
				t.Errorf("another login: %d", status)
			}
			if status, text := open(t, s.Page); status != http.StatusOK || !strings.Contains(text, "close this page") {
				t.Errorf("the page: %d %s", status, text)
			}
		}()
	}))
	if err != nil {
		t.Fatal(err)
	}
	<-opened
	if l.Name != mockoidc.DefaultUser().Email || l.Token == "" || l.Refresh == "" || time.Until(l.Expires) < time.Minute {
		t.Errorf("%+v", l)
	}
}

// What the issuer refuses is told, here and in the browser.
func TestRefusedByTheIssuer(t *testing.T) {
	t.Parallel()
	i := startIssuer(t, false)
	opened := make(chan struct{})
	_, err := login.In(t.Context(), i.config(func(s login.Step) {
		go func() {
			defer close(opened)
			u, _ := url.Parse(s.Page)
			back := u.Query().Get("redirect_uri") + "?error=access_denied&error_description=not+you&state=" + url.QueryEscape(u.Query().Get("state"))
			if status, text := open(t, back); status != http.StatusForbidden || !strings.Contains(text, "not logged in") {
				t.Errorf("the page: %d %s", status, text)
			}
		}()
	}))
	<-opened
	if err == nil || !strings.Contains(err.Error(), "access_denied not you") {
		t.Error(err)
	}
}

// A code is entered anywhere; the login is kept where its owner alone reads it, renewed when it expires, and expired when it can't be.
func TestByCode(t *testing.T) {
	t.Parallel()
	i := startIssuer(t, true)
	var told login.Step
	l, err := login.In(t.Context(), i.config(func(s login.Step) { told = s }))
	if err != nil {
		t.Fatal(err)
	}
	if told != (login.Step{Page: "https://id.example.com/device", Code: "ABCD"}) || !i.entered.Load() {
		t.Errorf("told %+v", told)
	}
	file := filepath.Join(t.TempDir(), "deep", "login.json")
	if err := l.Write(file); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	keep := &login.Keeper{File: file, Now: now}
	if got, err := keep.Token(t.Context()); err != nil || got != l.Token || i.renewed.Load() != 0 {
		t.Errorf("%v, renewed %d times", err, i.renewed.Load())
	}
	ahead.Store(int64(time.Until(l.Expires) - 10*time.Second)) // it will do for ten seconds
	i.FastForward(5 * time.Minute)
	if got, err := keep.Token(t.Context()); err != nil || got == l.Token || i.renewed.Load() != 1 {
		t.Errorf("%v, renewed %d times", err, i.renewed.Load())
	}
	kept, err := login.Read(file)
	if err != nil || !kept.Expires.After(l.Expires) || kept.Refresh == "" || kept.Issuer != l.Issuer {
		t.Errorf("kept: %+v %v", kept, err)
	}
	i.noNew.Store(true)
	ahead.Store(int64(time.Until(kept.Expires) - 10*time.Second))
	if got, err := keep.Token(t.Context()); err != nil || got != kept.Token {
		t.Errorf("a token that will do for ten seconds: %v", err)
	}
	ahead.Store(int64(time.Until(kept.Expires) + time.Second))
	if _, err := keep.Token(t.Context()); !errors.Is(err, tokens.ErrExpired) {
		t.Errorf("a token that has expired: %v", err)
	}
	// Another process has logged in meanwhile: its login counts.
	kept.Expires = now().Add(time.Hour)
	if err := kept.Write(file); err != nil {
		t.Fatal(err)
	}
	if got, err := keep.Token(t.Context()); err != nil || got != kept.Token {
		t.Errorf("another process's login: %v", err)
	}
}

// What can't be good is refused before anything is sent.
func TestRefused(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]login.Config{
		"both needed":       {Issuer: "https://id.example.com"},
		"must be https://…": {Issuer: "http://id.example.com", Client: "c"},
		"has none":          {Issuer: "https://id.example.com", Client: "c", CA: "login_test.go"},
	} {
		if _, err := login.In(t.Context(), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", c, err, want)
		}
	}
}
