package shell

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/holdfast-run/holdfast/adapters"
)

// shell runs commands, and bounds the memory of what it runs.
const shell = "/bin/sh"

// command runs a command of the shell. Its arguments are $1 and so on there.
func (r *runner) command(ctx context.Context, w *work) (ended, error) {
	if strings.TrimSpace(w.command) == "" {
		return ended{}, invalid("the command is empty")
	}
	return r.bounded(ctx, w, append([]string{shell, "-c", w.command, "sh"}, w.arguments...))
}

// imports finds what only modules of JavaScript have.
var imports = regexp.MustCompile(`(?m)^\s*(?:import\b[^(.]|export\b)`)

// script runs a script by the interpreter of its language.
func (r *runner) script(ctx context.Context, w *work) (ended, error) {
	language := languageOf(w.call.Language)
	interpreter := r.interpreters[language]
	if interpreter == nil {
		return ended{}, invalid("the adapter has no interpreter for %q: give it one with --interpreter %s=COMMAND", language, language)
	}
	name := "script"
	switch {
	case language == "python":
		name += ".py"
	case language == "javascript" && imports.MatchString(w.call.Code):
		name += ".mjs"
	case language == "javascript":
		name += ".cjs"
	}
	name = filepath.Join(w.folder, name)
	err := os.WriteFile(name, []byte(w.call.Code), 0o600)
	if err == nil { // whatever the mask is
		err = os.Chmod(name, 0o644) //nolint:gosec // the process's user reads it; nobody else may enter
	}
	if err != nil {
		return ended{}, adapters.Transient(fmt.Errorf("write the script: %w", err))
	}
	argv := append(append([]string{}, interpreter...), name)
	return r.bounded(ctx, w, append(argv, w.arguments...))
}

// bounded runs a process with a bound of memory, as the user that the adapter was given.
func (r *runner) bounded(ctx context.Context, w *work, argv []string) (ended, error) {
	if r.config.Memory > 0 {
		const limit = `ulimit -d "$1" || exit 126; shift; exec "$@"`
		argv = append([]string{shell, "-c", limit, "sh", strconv.FormatInt(r.config.Memory>>10, 10)}, argv...)
	}
	environment := []string{"HOME=" + w.folder}
	for _, name := range r.config.Environment {
		if v, has := os.LookupEnv(name); has {
			environment = append(environment, name+"="+v)
		}
	}
	for name, v := range w.variables() {
		environment = append(environment, name+"="+v)
	}
	if err := r.owner.give(w.folder); err != nil {
		return ended{}, adapters.Transient(err)
	}
	return r.run(ctx, process{argv: argv, environment: environment, folder: w.folder, stdin: w.stdin, owner: r.owner})
}

// process is what is run.
type process struct {
	argv, environment []string
	folder            string
	stdin             []byte // nil: none
	owner             *owner // nil: the adapter's own user
}

// ended is what came of a process.
type ended struct {
	code           int
	stdout, stderr string
}

// errTooLong is why a process is ended that has written too much.
var errTooLong = errors.New("too much output")

// run runs a process to its end, and kills what is left of its group.
func (r *runner) run(ctx context.Context, p process) (ended, error) {
	within, end := context.WithCancelCause(ctx)
	defer end(nil)
	cmd := exec.CommandContext(within, p.argv[0], p.argv[1:]...)
	cmd.Env, cmd.Dir, cmd.SysProcAttr, cmd.WaitDelay = p.environment, p.folder, attributes(p.owner), r.config.Grace
	var asked atomic.Bool // to end
	cmd.Cancel = func() error {
		err := signalGroup(cmd, syscall.SIGTERM)
		asked.Store(err == nil || asked.Load())
		return err
	}
	stdout, stderr := &output{most: r.config.OutputBytes, over: end}, &output{most: r.config.OutputBytes, over: end}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if p.stdin != nil {
		cmd.Stdin = bytes.NewReader(p.stdin)
	}
	// On Linux the process is killed with the thread that has started it, so that it does not outlive the adapter.
	runtime.LockOSThread()
	err := cmd.Run()
	runtime.UnlockOSThread()
	switch {
	case cmd.Process == nil:
		return ended{}, notStarted(err)
	case cmd.ProcessState == nil:
		return ended{}, adapters.InDoubt(problem("Process can't be followed", "%v", err))
	}
	_ = signalGroup(cmd, syscall.SIGKILL) // as a rule there is nobody any more
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case errors.Is(context.Cause(within), errTooLong):
		return ended{}, adapters.InDoubt(problem("Process said too much", "it has written more than %d bytes", r.config.OutputBytes))
	case asked.Load():
		return ended{}, fmt.Errorf("the process was ended: %w", ctx.Err())
	case status.Signaled():
		return ended{}, adapters.InDoubt(problem("Process was killed", "by the signal %q%s", status.Signal(), tail(stderr.String())))
	}
	return ended{status.ExitStatus(), stdout.String(), stderr.String()}, nil
}

// notStarted says that a process could not be started.
func notStarted(err error) error {
	if errors.Is(err, syscall.E2BIG) {
		return invalid("the command, its arguments and its environment are too long together: give what is long as \"stdin\"")
	}
	return adapters.Transient(problem("Process could not be started", "%v", err))
}

// signalGroup sends a signal to a process and all that it has started.
func signalGroup(cmd *exec.Cmd, s syscall.Signal) error {
	switch err := syscall.Kill(-cmd.Process.Pid, s); {
	case errors.Is(err, syscall.ESRCH):
		return os.ErrProcessDone
	case err != nil:
		return fmt.Errorf("signal a group of processes: %w", err)
	}
	return nil
}

// problem is an error of a process that was run, or could not be.
func problem(title, format string, args ...any) adapters.Problem {
	return adapters.Problem{
		Type: adapters.ErrorTypeRuntime, Title: title, Status: http.StatusInternalServerError, Detail: fmt.Sprintf(format, args...),
	}
}

// maxTail is how much of what a process has said last stands in an error, in bytes.
const maxTail = 1 << 10

// tail is what a process has said last, for an error.
func tail(text string) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return ""
	}
	if len(text) > maxTail {
		text = "… " + strings.ToValidUTF8(text[len(text)-maxTail:], "")
	}
	return ": " + text
}

// result is what the definition can have of a process.
type result struct {
	Code   int    `json:"code"`
	Stdout string `json:"stdout"`
	Stderr string `json:"stderr"`
}

// output returns what the definition wants of a process that has ended.
func (e ended) output(wanted string) (json.RawMessage, error) {
	switch bySignal := e.code > 128 && e.code <= 128+64; {
	case wanted == "code" || wanted == "all" || e.code == 0:
	case bySignal: // as shells and engines of containers tell it
		return nil, adapters.InDoubt(problem("Process was killed", "exit code %d says so%s", e.code, tail(e.stderr)))
	default:
		return nil, adapters.Transient(problem("Process failed", "with exit code %d%s", e.code, tail(e.stderr)))
	}
	var v any
	switch wanted {
	case "code":
		v = e.code
	case "all":
		v = result{e.code, e.stdout, e.stderr}
	case "stderr":
		v = e.stderr
	case "none":
	default:
		v = e.stdout
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // it would be longer
	if err := encoder.Encode(v); err != nil {
		return nil, fmt.Errorf("encode the output: %w", err)
	}
	return text.Bytes(), nil
}

// output collects what a process writes, and ends the process when that is too much.
type output struct {
	text strings.Builder
	most int
	over func(cause error)
}

// Write implements io.Writer.
func (o *output) Write(b []byte) (int, error) {
	if o.text.Len()+len(b) > o.most {
		o.over(errTooLong)
		return 0, errTooLong
	}
	return o.text.Write(b) //nolint:wrapcheck // it returns none
}

// String is what was written, as text: what is no UTF-8 is replaced.
func (o *output) String() string { return strings.ToValidUTF8(o.text.String(), "\uFFFD") }

// remove removes a folder with all that a process has left there.
func remove(log *slog.Logger, folder string) {
	if err := os.RemoveAll(folder); err != nil {
		log.Warn("the folder of a process can't be removed", "folder", folder, "error", err)
	}
}
