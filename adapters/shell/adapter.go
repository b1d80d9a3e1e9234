package shell

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/sealed"
)

// New makes the adapter. An error says everything that is wrong with the settings.
func New(config Config) (*adapters.Adapter, error) {
	config = config.withDefaults()
	interpreters, err := config.interpreters()
	work, workErr := filepath.Abs(config.Work)
	config.Work = work
	owner, ownerErr := ownerOf(config.User)
	r := &runner{config: config, interpreters: interpreters, owner: owner}
	var engineErr error
	if config.Engine != "" {
		if r.engine, engineErr = find(config.Engine); engineErr != nil {
			engineErr = fmt.Errorf("the engine of containers: %w", engineErr)
		}
	}
	if err := errors.Join(config.validate(), err, workErr, ownerErr, engineErr); err != nil {
		return nil, err
	}
	a := adapters.New("shell")
	r.offer(a, "command", r.command)
	if len(interpreters) > 0 {
		r.offer(a, "script", r.script)
	}
	if r.engine != "" {
		r.offer(a, "container", r.container)
	}
	config.Log.Info("runs processes", "scripts", strings.Join(slices.Sorted(maps.Keys(interpreters)), " "), "containers", r.engine)
	return a, nil
}

// runner runs processes.
type runner struct {
	config       Config
	interpreters map[string][]string
	engine       string // the path of the command that runs containers; empty: none are run
	owner        *owner // nil: the adapter's own user
}

// offer adds an activity twice: for processes that can be run again, and for those that can't.
func (r *runner) offer(a *adapters.Adapter, name string, run func(context.Context, *work) (ended, error)) {
	execute := func(ctx context.Context, t adapters.Task, c call) (json.RawMessage, error) {
		w, err := r.open(t, c)
		if err != nil {
			return nil, err
		}
		defer remove(r.config.Log, w.folder)
		end, err := run(ctx, w)
		if err != nil {
			return nil, err
		}
		return end.output(c.Return)
	}
	opts := []adapters.Option{adapters.Concurrency(r.config.Concurrency), adapters.Timeout(r.config.Timeout)}
	adapters.Handle(a, name, execute, append(opts, adapters.Idempotent())...)
	adapters.Handle(a, name+"Once", execute, opts...)
}

// call is what the engine has made of the properties of a process.
type call struct {
	Namespace   string          `json:"namespace"`
	Command     json.RawMessage `json:"command"`
	Stdin       json.RawMessage `json:"stdin"`
	Arguments   json.RawMessage `json:"arguments"`
	Environment json.RawMessage `json:"environment"`
	// Return is which output is wanted: stdout, stderr, code, all or none.
	Return string `json:"return"`

	Language string `json:"language"`
	Code     string `json:"code"`

	Image      string         `json:"image"`
	Name       string         `json:"name"`
	Ports      map[string]any `json:"ports"`
	Volumes    map[string]any `json:"volumes"`
	PullPolicy string         `json:"pullPolicy"`
	Cleanup    string         `json:"cleanup"`
	// CleanupAfter is in seconds, if Cleanup is eventually.
	CleanupAfter float64 `json:"cleanupAfter"`

	// Sealed are the expressions that name secrets, by the JSON pointers of what they make.
	Sealed map[string]json.RawMessage `json:"sealed"`
}

// work is a task with all that its process needs.
type work struct {
	task      adapters.Task
	call      call
	command   string // empty: there is none
	arguments []string
	// environment has the variables of the definition, by name.
	environment map[string]string
	stdin       []byte // nil: none
	folder      string
}

// variables are those of the definition, and what a process is told of its task.
func (w *work) variables() map[string]string {
	all := map[string]string{
		"HOLDFAST_KEY": w.task.Key, "HOLDFAST_ORDER": string(w.task.OrderID), "HOLDFAST_ATTEMPT": strconv.Itoa(w.task.Attempt),
	}
	maps.Copy(all, w.environment)
	return all
}

// variable is what a variable of an environment may be called.
var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// open reads what is to be run, with its secrets, and makes the folder.
func (r *runner) open(t adapters.Task, c call) (*work, error) {
	w := &work{task: t, call: c, environment: map[string]string{}}
	s := sealed.Call{Secrets: r.config.Secrets, Namespace: c.Namespace, Sealed: c.Sealed}
	values := map[string]any{}
	for name, raw := range map[string]json.RawMessage{
		"command": c.Command, "stdin": c.Stdin, "arguments": c.Arguments, "environment": c.Environment,
	} {
		v, _, err := s.Open(name, raw)
		if err != nil {
			return nil, err
		}
		values[name] = v
	}
	if v := values["command"]; v != nil {
		w.command = sealed.Text(v)
	}
	if v := values["stdin"]; v != nil {
		w.stdin = []byte(sealed.Text(v))
	}
	if err := w.setArguments(values["arguments"]); err != nil {
		return nil, err
	}
	if err := w.setEnvironment(values["environment"]); err != nil {
		return nil, err
	}
	if strings.ContainsRune(w.command, 0) {
		return nil, invalid("the command has a character that is zero, which no process can be given")
	}
	var err error
	if w.folder, err = os.MkdirTemp(r.config.Work, "holdfast-process-"); err != nil { // nobody else may enter it
		return nil, adapters.Transient(fmt.Errorf("make a folder for the process: %w", err))
	}
	return w, nil
}

func (w *work) setArguments(v any) error {
	list, isList := v.([]any)
	if v != nil && !isList {
		return invalid("\"arguments\" is no list")
	}
	for i, v := range list {
		text := sealed.Text(v)
		if strings.ContainsRune(text, 0) {
			return invalid("the argument %d has a character that is zero, which no process can be given", i)
		}
		w.arguments = append(w.arguments, text)
	}
	return nil
}

func (w *work) setEnvironment(v any) error {
	object, isObject := v.(map[string]any)
	if v != nil && !isObject {
		return invalid("\"environment\" is no object")
	}
	for name, v := range object {
		text := sealed.Text(v)
		switch {
		case !variable.MatchString(name):
			return invalid("%q is no name of a variable of the environment", name)
		case strings.ContainsRune(text, 0):
			return invalid("the variable %s has a character that is zero, which no process can be given", name)
		case v != nil:
			w.environment[name] = text
		}
	}
	return nil
}

// invalid is the error of a process that can't be run as it is, forbidden that of one that may not be run.
func invalid(format string, args ...any) error {
	return sealed.Invalid("Process is not valid", format, args...)
}

func forbidden(format string, args ...any) error {
	return sealed.Forbidden("Process is not allowed", format, args...)
}
