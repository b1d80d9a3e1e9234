package shell

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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
	imageName     = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_./:@-]*$`)
)

// container runs a container. What its process returns, its engine's command does.
func (r *runner) container(ctx context.Context, w *work) (ended, error) {
	name := w.call.Name
	if name == "" {
		sum := sha256.Sum256([]byte(w.task.Key))
		name = fmt.Sprintf("holdfast-%s-%d", hex.EncodeToString(sum[:8]), w.task.Attempt)
	}
	options, err := r.options(w, name)
	if err != nil {
		return ended{}, err
	}
	argv := append(append([]string{r.engine, "run"}, options...), w.call.Image)
	if w.command != "" {
		argv = append(argv, shell, "-c", w.command, "sh")
	}
	// The engine's command gets the adapter's environment, and the container none of it.
	end, err := r.run(ctx, process{argv: append(argv, w.arguments...), environment: os.Environ(), folder: w.folder, stdin: w.stdin})
	id, _ := os.ReadFile(filepath.Join(w.folder, idFile)) // without one there is no container
	switch {
	case err != nil:
		r.removeContainer(context.WithoutCancel(ctx), string(id))
		return ended{}, err
	case end.code == engineFailed:
		return ended{}, adapters.Transient(problem("Container could not be run", "the engine ends with %d%s", end.code, tail(end.stderr)))
	case w.call.Cleanup == "eventually":
		after := time.Duration(w.call.CleanupAfter * float64(time.Second))
		time.AfterFunc(after, func() { r.removeContainer(context.WithoutCancel(ctx), string(id)) })
	}
	return end, nil
}

// options are those of the engine's command for a container.
func (r *runner) options(w *work, name string) ([]string, error) {
	c := w.call
	pull, known := pulls[c.PullPolicy]
	switch {
	case !containerName.MatchString(name):
		return nil, invalid("%q is no name of a container", name)
	case !imageName.MatchString(c.Image):
		return nil, invalid("%q is no name of an image", c.Image)
	case !known:
		return nil, invalid("\"pullPolicy\" is %q, and must be ifNotPresent, always or never", c.PullPolicy)
	}
	options := []string{
		"--name", name, "--interactive", "--pull", pull, "--label", "run.holdfast.order=" + string(w.task.OrderID),
		"--cidfile", filepath.Join(w.folder, idFile),
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
		folder, may := r.mountable(host)
		if !may {
			return nil, forbidden("the adapter does not let containers have %s: it is in none of its --volume", host)
		}
		options = append(options, "--volume", folder+":"+at)
	}
	if len(w.environment) == 0 {
		return options, nil
	}
	file, err := environmentFile(w)
	return append(options, "--env-file", file), err
}

// mountable returns where a folder of the host is, whatever links lead there, and whether containers may have it.
func (r *runner) mountable(folder string) (at string, may bool) {
	at, err := filepath.EvalSymlinks(folder)
	if err != nil || !filepath.IsAbs(at) || strings.ContainsAny(at, ":,") {
		return "", false
	}
	return at, slices.ContainsFunc(r.config.Volumes, func(v string) bool {
		return at == v || strings.HasPrefix(at, strings.TrimSuffix(v, "/")+"/")
	})
}

// environmentFile writes the environment of a container to a file, so that no list of processes shows it.
func environmentFile(w *work) (string, error) {
	var b strings.Builder
	for name, v := range w.environment {
		if strings.ContainsAny(v, "\r\n") {
			return "", invalid("the variable %s of a container can't have line breaks", name)
		}
		b.WriteString(name + "=" + v + "\n")
	}
	file := filepath.Join(w.folder, "environment")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		return "", fmt.Errorf("write the environment of a container: %w", err)
	}
	return file, nil
}

// removeContainer removes a container, running or not.
func (r *runner) removeContainer(ctx context.Context, id string) {
	if id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, removeWithin)
	defer cancel()
	if out, err := exec.CommandContext(ctx, r.engine, "rm", "--force", id).CombinedOutput(); err != nil {
		r.config.Log.Warn("a container can't be removed", "container", id, "error", err, "output", tail(string(out)))
	}
}
