package adapters_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/adapters/ledger"
	"github.com/holdfast-run/holdfast/adapters/ledger/disk"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

// effectsEnv names the file that the adapter of newRemembering notes its effects in.
const effectsEnv = "HOLDFAST_TEST_EFFECTS"

// newRemembering is an adapter whose effects are lines of a file. It hangs after the effect if its input says so.
func newRemembering() *adapters.Adapter {
	path := os.Getenv(effectsEnv)
	work := func(ctx context.Context, task adapters.Task, in string) (string, error) {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return "", err
		}
		if _, err := f.WriteString(task.Key + "\n"); err != nil {
			return "", err
		}
		if err := f.Close(); err != nil {
			return "", err
		}
		switch in {
		case "hang":
			task.Progress("done")
			<-ctx.Done()
			return "", ctx.Err()
		case "refuse":
			return "", adapters.Permanent(errors.New("barred"))
		}
		return "executed", nil
	}
	a := adapters.New("test")
	adapters.Handle(a, "once", work)
	adapters.Handle(a, "idempotent", work, adapters.Idempotent())
	adapters.Handle(a, "recovers", work, adapters.Recover(func(_ context.Context, task adapters.Task, _ string) (string, error) {
		if !task.MaybeStarted {
			return "", errors.New("not told")
		}
		return "recovered", nil
	}))
	return a
}

// remembering starts the adapter as a process of its own.
func remembering(t *testing.T, node *adaptertest.Node, dir string) *exec.Cmd {
	t.Helper()
	cmd := adapterProcess(t, "-server", node.Addr(), "-ledger", filepath.Join(dir, "ledger"))
	cmd.Env = append(cmd.Env, adapterChild+"=remembering", effectsEnv+"="+filepath.Join(dir, "effects"))
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

func TestAKilledProcessIsRemembered(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t)
	dir := t.TempDir()
	first := remembering(t, node, dir)
	send := func(activity, input string) *adapterv1.Task {
		task := node.Task(activity, input)
		task.AwaitConfirmation = activity != "idempotent"
		node.Send(within(t), task)
		return task
	}
	done, refused := send("once", "x"), send("once", "refuse")
	node.Await(within(t), done.GetKey(), 1)
	node.Await(within(t), refused.GetKey(), 1)
	node.HoldAcks(true)
	unacked := send("once", "x")
	node.Await(within(t), unacked.GetKey(), 1)
	lost, found, again := send("once", "hang"), send("recovers", "hang"), send("idempotent", "hang")
	for _, task := range []*adapterv1.Task{lost, found, again} {
		node.AwaitProgress(within(t), task.GetKey())
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	node.HoldAcks(false)
	before := len(node.Results())

	remembering(t, node, dir)
	hellos := node.AwaitHellos(within(t), 2)
	was, is := hellos[0], hellos[1]
	if was.GetLedger() != is.GetLedger() || was.GetLedger() == was.GetProcess() || was.GetProcess() == is.GetProcess() {
		t.Errorf("the hellos were %v and %v", was, is)
	}
	want := []string{unacked.GetKey(), lost.GetKey(), found.GetKey()}
	slices.Sort(want)
	if keys := slices.Sorted(slices.Values(is.GetKeys())); !slices.Equal(keys, want) {
		t.Errorf("it has the keys %v, want %v", keys, want)
	}
	if r := node.AwaitResults(within(t), before+1)[before]; r.GetKey() != unacked.GetKey() || r.GetOutcome() != succeeded || r.GetSeq() != 1 {
		t.Errorf("what was not acknowledged: %v", r)
	}
	for _, c := range []struct {
		task    *adapterv1.Task
		outcome adapterv1.Outcome
		output  string
	}{
		{done, succeeded, `"executed"`},
		{refused, failed, ""},
		{unacked, succeeded, `"executed"`},
		{lost, inDoubt, ""},
		{found, succeeded, `"recovered"`},
	} {
		node.Send(within(t), adaptertest.Attempt(c.task, 2))
		if r := node.Await(within(t), c.task.GetKey(), 2); r.GetOutcome() != c.outcome || string(r.GetOutput()) != c.output {
			t.Errorf("asked again: %v, want %v %s", r, c.outcome, c.output)
		}
	}
	node.Send(within(t), again)
	raw := readFile(t, filepath.Join(dir, "effects"))
	for _, task := range []*adapterv1.Task{done, refused, unacked, lost, found} {
		if n := bytes.Count(raw, []byte(task.GetKey()+"\n")); n != 1 {
			t.Errorf("%s was executed %d times", task.GetKey(), n)
		}
	}
}

// What a ledger knows when it drains is not lost: nobody has acknowledged it. The next process sends it until somebody does.
func TestADrainedProcessIsRemembered(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t, adaptertest.Options{HoldAcks: true})
	c := config(t)
	c.LedgerDir, c.DrainTimeout = t.TempDir(), time.Millisecond
	p := node.Run(newEcho(), c)
	r := node.Do(within(t), "work", "x")
	if err := p.Stop(); err == nil || !strings.Contains(err.Error(), "1 results not acknowledged") {
		t.Errorf("%v", err)
	}
	c.DrainTimeout, c.ResendAfter = 0, time.Millisecond
	p = node.Run(newEcho(), c)
	for _, again := range node.AwaitResults(within(t), 4)[1:] {
		if again.GetKey() != r.GetKey() || string(again.GetOutput()) != `"x"` {
			t.Errorf("%v, it was %v", again, r)
		}
	}
	node.HoldAcks(false)
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}

// What a dead process had begun, and nobody asks for, can be given up; its outcome is not known.
func TestWhatADeadProcessHadBegunIsCancelled(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t)
	dir := t.TempDir()
	first := remembering(t, node, dir)
	task := node.Task("recovers", "hang")
	node.Send(within(t), task)
	node.AwaitProgress(within(t), task.GetKey())
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	remembering(t, node, dir)
	node.AwaitHellos(within(t), 2)
	node.Cancel(task.GetKey(), 1)
	if r := node.Await(within(t), task.GetKey(), 1); r.GetOutcome() != inDoubt {
		t.Errorf("%v", r)
	}
}

func TestALedgerThatCantBeUsedEndsTheAdapter(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t)
	c := config(t)
	c.LedgerDir = t.TempDir()
	p := node.Run(newEcho(), c)
	if err := newEcho().Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "used by another process") {
		t.Errorf("a second process: %v", err)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	path := filepath.Join(c.LedgerDir, "ledger.log")
	raw := readFile(t, path)
	raw[len(raw)/2]++
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := newEcho().Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "is damaged at byte 0") {
		t.Errorf("a damaged ledger: %v", err)
	}
}

// A disk that takes nothing more ends the process, with the reason. What could not be written down was not executed.
func TestAFullDiskEndsTheAdapter(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t)
	dir := t.TempDir()
	own := adapterProcess(t, "-server", node.Addr(), "-ledger", filepath.Join(dir, "ledger"))
	cmd := exec.CommandContext(t.Context(), "/bin/sh", append([]string{"-c", `ulimit -f 2; exec "$0" "$@"`}, own.Args...)...)
	cmd.Env = append(os.Environ(), adapterChild+"=remembering", effectsEnv+"="+filepath.Join(dir, "effects"))
	var stderr bytes.Buffer
	cmd.Stderr = io.MultiWriter(&stderr, t.Output())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	node.Do(within(t), "once", "x")
	for range 16 {
		if !node.Offer(within(t), node.Task("once", "x")) {
			break // the disk is full already
		}
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 1 || !strings.Contains(stderr.String(), "file too large") {
		t.Errorf("%v: %s", err, stderr.String())
	}
	begun := map[string]bool{}
	log, err := disk.Open(filepath.Join(dir, "ledger"), "test", func(r ledger.Record) {
		begun[r.Result.GetKey()] = begun[r.Result.GetKey()] || r.Kind == ledger.Begun
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
	effects := strings.Fields(string(readFile(t, filepath.Join(dir, "effects"))))
	for _, key := range effects {
		if !begun[key] {
			t.Errorf("%s was executed, and is not written down", key)
		}
	}
	if len(effects) == 0 {
		t.Error("nothing was executed")
	}
}
