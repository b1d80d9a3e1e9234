package supervision_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/holdfast-run/holdfast/supervision"
)

// gate is a writer that blocks until it is opened.
type gate struct {
	entered, open chan struct{}
	got           bytes.Buffer
}

func newGate() *gate { return &gate{entered: make(chan struct{}, 1), open: make(chan struct{})} }

func (g *gate) Write(p []byte) (int, error) {
	select {
	case g.entered <- struct{}{}:
	default:
	}
	<-g.open
	return g.got.Write(p)
}

func TestRelayPassesLinesOn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		chunks := rapid.SliceOf(rapid.StringMatching(`[a-c\n]{0,9}`)).Draw(t, "chunks")
		var out bytes.Buffer
		r := supervision.NewRelay(&out, "> ", 0)
		for _, c := range chunks {
			if n, err := r.Write([]byte(c)); n != len(c) || err != nil {
				t.Fatal(n, err)
			}
		}
		if err := r.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := strings.Join(chunks, "")
		if want != "" && !strings.HasSuffix(want, "\n") {
			want += "\n"
		}
		if want != "" {
			want = "> " + strings.ReplaceAll(strings.TrimSuffix(want, "\n"), "\n", "\n> ") + "\n"
		}
		if out.String() != want {
			t.Fatalf("got %q, want %q", out.String(), want)
		}
	})
}

func TestRelayDropsWhatFindsNoRoomAndSaysSo(t *testing.T) {
	t.Parallel()
	g := newGate()
	r := supervision.NewRelay(g, "", 8)
	_, _ = r.Write([]byte("first\n"))
	<-g.entered // the relay is empty again, and its writer blocked
	_, _ = r.Write([]byte("second\nthird\nfourth\n"))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Close(ended); err == nil {
		t.Error("closing a blocked relay didn't fail")
	}
	_, _ = r.Write([]byte("after\n"))
	close(g.open)
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := "first\nsecond\n(2 lines were dropped: the output was blocked, or failed)\n"; g.got.String() != want {
		t.Errorf("got %q, want %q", g.got.String(), want)
	}
}

func TestRelayBreaksEndlessLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	r := supervision.NewRelay(&out, "", 0)
	for range 3 {
		_, _ = r.Write(bytes.Repeat([]byte("x"), 50_000))
	}
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(out.String(), "\n"); lines != 3 || strings.Count(out.String(), "x") != 150_000 {
		t.Errorf("%d lines with %d x", lines, strings.Count(out.String(), "x"))
	}
}

// faulty is a writer that fails as often as it is told, after a part of what it was given.
type faulty struct {
	failures int
	takes    int // bytes
	got      bytes.Buffer
}

func (f *faulty) Write(p []byte) (int, error) {
	if f.failures > 0 {
		f.failures--
		n, _ := f.got.Write(p[:f.takes])
		return n, errors.New("the disk is full")
	}
	return f.got.Write(p)
}

func TestRelaySaysWhatCouldNotBeWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &faulty{failures: 2, takes: 4}
		r := supervision.NewRelay(out, "", 0)
		for _, line := range []string{"one\ntwo\nthree\n", "four\n", "five\n"} {
			_, _ = r.Write([]byte(line))
			synctest.Wait()
		}
		if err := r.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := "one\nfourfive\n(3 lines were dropped: the output was blocked, or failed)\n"
		if out.got.String() != want {
			t.Errorf("got %q, want %q", out.got.String(), want)
		}
	})
}
