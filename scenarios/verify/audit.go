package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

const (
	// auditLimits is how many changes a node notes in each of its lives.
	auditLimits = 20
	// auditWorkers is how many exports are verified at the same time.
	auditWorkers = 2
)

// auditChanges is how many changes are made to what was noted.
func (s *site) auditChanges() int {
	if s.ci() {
		return 60
	}
	return 1000
}

// audited has a node note changes, be killed, note more, and stop. What it has noted is verified as it is; then something is
// changed in copies of it, and each change has to be found.
func audited(ctx context.Context, s *site) (figures, error) {
	f := figures{"changes": 0, "found": 0, "missed": 0, "noted": 0}
	if err := auditKeys(s.dir); err != nil {
		return f, err
	}
	for _, kill := range []bool{true, false} {
		if err := auditedLife(ctx, s, kill); err != nil {
			return f, why(ctx, err)
		}
	}
	export, err := os.ReadFile(filepath.Join(s.dir, "audit.jsonl"))
	if err != nil {
		return f, fmt.Errorf("read the export: %w", err)
	}
	lines := bytes.SplitAfter(export, []byte("\n"))
	lines = lines[:len(lines)-1]
	f["noted"] = len(lines)
	if found, err := auditFinds(ctx, s, export, "whole"); found || err != nil {
		return f, errors.Join(errWholeAudit, err)
	}
	return f, spoilAudit(ctx, s, lines, f)
}

var errWholeAudit = errors.New("what nobody has changed does not pass")

// auditKeys makes the key that signs, and the public one.
func auditKeys(dir string) error {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return fmt.Errorf("encode the key: %w", err)
	}
	open, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return fmt.Errorf("encode the key: %w", err)
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "audit.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600),
		os.WriteFile(filepath.Join(dir, "audit.pub"), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: open}), 0o600),
	)
}

// auditedLife runs a node, changes limits, and keeps the head and an export.
func auditedLife(ctx context.Context, s *site, kill bool) error {
	ctx, st := stage.New(ctx, s.dir)
	defer st.Stop()
	node, err := st.StartNode(ctx, s.holdfast, false, "--audit-key", filepath.Join(s.dir, "audit.pem"))
	if err != nil {
		return err
	}
	if err := node.Ready(ctx); err != nil {
		return err
	}
	conn, err := node.DialAdmin()
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // it fails only if it was closed before
	for i := range auditLimits {
		if _, err := conn.Admin().LimitActivity(ctx, &adminv1.LimitActivityRequest{
			Activity: "audit.limited", Concurrency: uint32(i + 1), By: "verify", Reason: "to be noted",
		}); err != nil {
			return fmt.Errorf("limit: %w", err)
		}
	}
	for file, args := range map[string][]string{"head.json": {"audit", "head"}, "audit.jsonl": {"audit", "export"}} {
		out, err := s.command(ctx, s.dir, s.env, s.holdfast, append(args, "--admin", node.Admin)...)
		if err == nil {
			err = os.WriteFile(filepath.Join(s.dir, file), out, 0o600)
		}
		if err != nil {
			return fmt.Errorf("keep %s: %w", file, err)
		}
	}
	end := syscall.SIGTERM
	if kill {
		end = syscall.SIGKILL
	}
	return node.Signal(end)
}

// auditFinds verifies an export by the program, and tells whether it has found anything.
func auditFinds(ctx context.Context, s *site, export []byte, name string) (bool, error) {
	file := filepath.Join(s.dir, name+".jsonl")
	if err := os.WriteFile(file, export, 0o600); err != nil { //nolint:gosec // in the row's own folder
		return false, fmt.Errorf("write an export: %w", err)
	}
	_, err := s.command(ctx, s.dir, s.env, s.holdfast, "audit", "verify", "--key", "audit.pub", "--head", "head.json", file)
	if status, ended := errors.AsType[*exec.ExitError](err); ended && status.ExitCode() == 1 {
		return true, nil
	}
	return false, err
}

// spoilAudit makes one change at a time, of each kind in turn.
func spoilAudit(ctx context.Context, s *site, lines [][]byte, f figures) error {
	chance := s.chance()
	work := make(chan [][]byte, s.auditChanges())
	for i := range s.auditChanges() {
		work <- spoilLines(chance, i, slices.Clone(lines))
	}
	close(work)
	var all sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for w := range auditWorkers {
		all.Go(func() {
			for spoiled := range work {
				found, err := auditFinds(ctx, s, bytes.Join(spoiled, nil), fmt.Sprint("changed-", w))
				mu.Lock()
				f.add("changes", 1)
				switch {
				case err != nil:
					failed = errors.Join(failed, err)
				case found:
					f.add("found", 1)
				default:
					f.add("missed", 1)
				}
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	all.Wait()
	return failed
}

// spoilLines changes something in the lines of an export: a byte, or which lines there are and in which order, or it cuts the end.
func spoilLines(chance *rand.Rand, kind int, lines [][]byte) [][]byte {
	at := chance.IntN(len(lines) - 1)
	switch kind % 5 {
	case 0, 1:
		line := bytes.Clone(lines[at])
		line[chance.IntN(len(line))] ^= byte(1 + chance.IntN(255)) //nolint:gosec // below 256
		lines[at] = line
	case 2:
		lines = slices.Delete(lines, at, at+1)
	case 3:
		lines[at], lines[at+1] = lines[at+1], lines[at]
	default:
		lines = lines[:at]
	}
	return lines
}

func auditedBars(s *site) bars {
	n := float64(s.auditChanges())
	return bars{"changes": atLeast(n), "found": atLeast(n), "noted": atLeast(4 * auditLimits)}.none("missed")
}
