package stage_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// TestNetwork: hosts reach each other, but for what is cut. Signals reach the program that runs there, and nothing of a network is left.
func TestNetwork(t *testing.T) {
	t.Parallel()
	if why := stage.NoNetwork(t.Context()); why != "" {
		t.Skip(why)
	}
	ctx, s := setup(t)
	n, err := stage.NewNetwork(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer removed(t, s, n)
	one, two := listens(ctx, t, s, n, "one"), listens(ctx, t, s, n, "two")

	expect := func(when string, oneHears, twoHears bool) {
		t.Helper()
		// A connection needs both ways; what one has of the other tells them apart.
		if got := reaches(ctx, one, two); got != (oneHears && twoHears) {
			t.Errorf("%s: one reaches two: %v", when, got)
		}
		if got := reaches(ctx, two, one); got != (oneHears && twoHears) {
			t.Errorf("%s: two reaches one: %v", when, got)
		}
		for h, hears := range map[*stage.Host]bool{one: oneHears, two: twoHears} {
			lost, err := h.Lost(ctx)
			if err != nil || (lost == 0) != hears {
				t.Errorf("%s: %v has lost %d packets: %v", when, h.Address, lost, err)
			}
		}
	}
	expect("at first", true, true)
	if err := two.Deafen(ctx, one); err != nil {
		t.Fatal(err)
	}
	expect("when two does not hear one", true, false)
	if err := one.Deafen(ctx, two); err != nil {
		t.Fatal(err)
	}
	if reaches(ctx, one, two) || reaches(ctx, two, one) {
		t.Error("hosts that are cut off reach each other")
	}
	if err := errors.Join(one.Hear(ctx, two), two.Hear(ctx, one)); err != nil {
		t.Fatal(err)
	}
	if !reaches(ctx, one, two) || !reaches(ctx, two, one) {
		t.Error("hosts do not reach each other again")
	}
}

// listens adds a host on which a process answers.
func listens(ctx context.Context, t *testing.T, s *stage.Stage, n *stage.Network, name string) *stage.Host {
	t.Helper()
	h, err := n.Host(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	spec := child(name, at(h), false)
	spec.Host = h
	p, err := s.Start(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := stage.Answers(ctx, "http://"+at(h)); err != nil {
		t.Fatal(err)
	}
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", p.PID()))
	self, errSelf := os.Executable()
	if err := errors.Join(err, errSelf); err != nil || program != self {
		t.Errorf("signals reach %s: %v", program, err)
	}
	return h
}

func at(h *stage.Host) string { return h.Address.String() + ":7000" }

// reaches tells whether the process on a host reaches the one on another host.
func reaches(ctx context.Context, from, to *stage.Host) bool {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at(from)+"/?dial="+at(to), http.NoBody)
	if err != nil {
		return false
	}
	q.Close = true
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// removed expects that nothing is left of a network when it was closed.
func removed(t *testing.T, s *stage.Stage, n *stage.Network) {
	t.Helper()
	s.Stop()
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	left, err := exec.CommandContext(t.Context(), "ip", "netns", "list").Output()
	if err != nil || strings.Contains(string(left), fmt.Sprintf("holdfast-%d-", os.Getpid())) {
		t.Errorf("namespaces are left: %s, %v", left, err)
	}
}
