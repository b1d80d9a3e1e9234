package client_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
)

// TestComplete: what is missing is fetched, also what that names; what can't be had, or is missing in vain, is told.
func TestComplete(t *testing.T) {
	t.Parallel()
	// needs names in which order what has to be there.
	needs := []string{"a", "b", "c"}
	check := func(_ context.Context, document []byte) ([]*definitionv1.Mistake, error) {
		_, has, err := messages.SplitResources(document)
		for _, address := range needs {
			if has[address] == nil {
				return []*definitionv1.Mistake{{Message: "another"}, {Resource: address}, {Resource: address}}, err
			}
		}
		return []*definitionv1.Mistake{{Message: "another"}}, err
	}
	var fetched []string
	fetch := func(_ context.Context, address string) ([]byte, error) {
		fetched = append(fetched, address)
		return []byte("of " + address), nil
	}
	whole, err := client.Complete(t.Context(), []byte("document"), fetch, check)
	if err != nil {
		t.Fatal(err)
	}
	document, has, err := messages.SplitResources(whole)
	if err != nil || string(document) != "document" || string(has["c"]) != "of c" || strings.Join(fetched, "") != "abc" {
		t.Errorf("%q: %v, %v", whole, fetched, err)
	}
	lost := errors.New("lost")
	if _, err := client.Complete(t.Context(), nil, func(context.Context, string) ([]byte, error) { return nil, lost }, check); !errors.Is(err, lost) {
		t.Errorf("%v", err)
	}
	if _, err := client.Complete(t.Context(), nil, fetch, func(context.Context, []byte) ([]*definitionv1.Mistake, error) {
		return []*definitionv1.Mistake{{Resource: "a"}}, nil
	}); err == nil {
		t.Error("what is missing in vain is not told")
	}
	if _, err := client.Complete(t.Context(), nil, fetch, func(context.Context, []byte) ([]*definitionv1.Mistake, error) {
		return nil, lost
	}); !errors.Is(err, lost) {
		t.Errorf("%v", err)
	}
}

// TestFetchBy: what there is, and is not too long, is fetched.
func TestFetchBy(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/there":
			_, _ = w.Write([]byte("x"))
		case "/long":
			_, _ = w.Write(make([]byte, 1<<20+1))
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(srv.Close)
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("y"), 0o600); err != nil {
		t.Fatal(err)
	}
	by := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for address, want := range map[string]string{srv.URL + "/there": "x", "file://" + file: "y"} {
		if got, err := client.FetchBy(by)(t.Context(), address); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", address, got, err)
		}
	}
	for _, address := range []string{srv.URL + "/long", srv.URL + "/none", "file:///nowhere/at/all", "ftp://x", "http://[::1"} {
		if _, err := client.FetchBy(by)(t.Context(), address); err == nil {
			t.Errorf("%s is fetched", address)
		}
	}
}
