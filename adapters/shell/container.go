package shell

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/sealed"
)

// pulls are the words of engines for when an image is pulled.
var pulls = map[string]string{ //nolint:gochecknoglobals // a table
	"": "missing", "ifNotPresent": "missing", "always": "always", "never": "never",
}

// engineFailed is the exit code by which engines say that they could not run a container.
const engineFailed = 125

// idFile is where the engine writes which container it has made.
const idFile = "container"

// removeWithin is how long it may take to remove a container.
const removeWithin = 30 * time.Second

var (
	containerName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$`)
	containerID   = regexp.MustCompile(`^[0-9a-f]{12,64}$`)
	imageName     = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_./:@-]*$`)
)

// container runs a container. What its process returns, its engine's command does.
func (r *runner) container(ctx context.Context, w *work) (ended, error) {
	options, err := r.options(w)
	if err != nil {
		return ended{}, err
	}
	argv := append([]string{r.engine, "run"}, options...)
	if w.command == "" {
		argv = append(argv, w.call.Image)
	} else {
		argv = append(argv, "--entrypoint", shell, w.call.Image, "-c", w.command, "sh")
	}
	// The engine's command gets the adapter's environment. What it hands on of that is up to the engine.
	end, err := r.run(ctx, process{argv: append(argv, w.arguments...), environment: os.Environ(), folder: w.folder, stdin: w.stdin})
	written, _ := os.ReadFile(filepath.Join(w.folder, idFile)) // without it nothing was begun
	id := strings.TrimSpace(string(written))
	switch {
	case err != nil:
		r.removeContainer(context.WithoutCancel(ctx), id)
		return ended{}, err
	case end.code == engineFailed:
		r.removeContainer(context.WithoutCancel(ctx), id)
		p := problem("Container could not be run", "the engine ends with %d%s", end.code, tail(end.stderr))
		if id != "" { // it may have run
			return ended{}, adapters.InDoubt(p)
		}
		return ended{}, adapters.Transient(p)
	case w.call.Cleanup == "eventually":
		after := time.Duration(w.call.CleanupAfter * float64(time.Second))
		time.AfterFunc(after, func() { r.removeContainer(context.WithoutCancel(ctx), id) })
	}
	return end, nil
}

// options are those of the engine's command for a container.
func (r *runner) options(w *work) ([]string, error) {
	c := w.call
	pull, known := pulls[c.PullPolicy]
	switch {
	case c.Name != "" && !containerName.MatchString(c.Name):
		return nil, invalid("%q is no name of a container", c.Name)
	case !imageName.MatchString(c.Image):
		return nil, invalid("%q is no name of an image", c.Image)
	case !known:
		return nil, invalid("\"pullPolicy\" is %q, and must be ifNotPresent, always or never", c.PullPolicy)
	}
	options := []string{
		"--interactive", "--pull", pull, "--label", "run.holdfast.order=" + string(w.task.OrderID), "--label", "run.holdfast.key=" + w.task.Key,
		"--cidfile", filepath.Join(w.folder, idFile),
	}
	if c.Name != "" {
		options = append(options, "--name", c.Name)
	}
	if c.Cleanup == "always" {
		options = append(options, "--rm")
	}
	if r.config.Memory > 0 {
		options = append(options, "--memory", strconv.FormatInt(r.config.Memory, 10))
	}
	for host, inside := range c.Ports {
		from, err := strconv.ParseUint(host, 10, 16)
		to, toErr := strconv.ParseUint(sealed.Text(inside), 10, 16)
		if err != nil || toErr != nil {
			return nil, invalid("\"ports\" has %s: %s, and must map ports of the host to those of the container", host, sealed.Text(inside))
		}
		options = append(options, "--publish", fmt.Sprintf("%d:%d", from, to))
	}
	for host, inside := range c.Volumes {
		at := sealed.Text(inside)
		if strings.ContainsAny(host+at, ":,\x00") || !filepath.IsAbs(at) {
			return nil, invalid("\"volumes\" has %s: %s, and must map folders of the host to those of the container", host, at)
		}
		if !r.mountable(host) {
			return nil, forbidden("the adapter does not let containers have %s: it is none of its --volume", host)
		}
		options = append(options, "--volume", filepath.Clean(host)+":"+at)
	}
	file, err := environmentFile(w)
	return append(options, "--env-file", file), err
}

// mountable tells whether containers may have a folder of the host. They may not have what is below one that they may have: another
// container could lay a link there.
func (r *runner) mountable(folder string) bool {
	return slices.Contains(r.config.Volumes, filepath.Clean(folder))
}

// environmentFile writes the environment of a container to a file, so that no list of processes shows it.
func environmentFile(w *work) (string, error) {
	var b strings.Builder
	for name, v := range w.variables() {
		if strings.ContainsAny(v, "\r\n") {
			return "", invalid("the variable %s of a container can't have line breaks", name)
		}
		b.WriteString(name + "=" + v + "\n")
	}
	file := filepath.Join(w.folder, "environment")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		return "", adapters.Transient(fmt.Errorf("write the environment of a container: %w", err))
	}
	return file, nil
}

// removeContainer removes a container, running or not.
func (r *runner) removeContainer(ctx context.Context, id string) {
	if !containerID.MatchString(id) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, removeWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.engine, "rm", "--force", id)
	cmd.WaitDelay = r.config.Grace
	if out, err := cmd.CombinedOutput(); err != nil {
		r.config.Log.Warn("a container can't be removed", "container", id, "error", err, "output", tail(string(out)))
	}
}
