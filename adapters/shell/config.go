package shell

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/adapters/sealed"
)

// Config says how processes are run. The zero value of each field means its default.
type Config struct {
	// User is whose the processes are: a name, or numbers UID:GID. Default: the adapter's own, which must not be root then.
	User string
	// Work is the folder in which each process gets one of its own, which is removed afterwards. Default: the system's for temporary files.
	Work string
	// Secrets is the folder with the secrets of definitions. Default: there are none.
	Secrets sealed.Folder
	// Interpreters are the commands that run scripts, by language, such as javascript or python. Default: node and python3, where they are.
	Interpreters map[string]string
	// Engine is the command that runs containers, such as podman or docker. Default: none, and no containers.
	Engine string
	// Volumes are the folders of the host that containers may have. Default: none.
	Volumes []string
	// Environment names the variables of the adapter's own environment that processes get. Default: PATH, LANG, LC_ALL, TZ.
	Environment []string
	// Concurrency is how many processes of each activity run at once. Default 16.
	Concurrency int
	// Timeout is how long a process may run. Default 5 min.
	Timeout time.Duration
	// Grace is how long a process has to end after it was asked to, before it is killed, and how long output is awaited from processes
	// that it has left behind. Default 5 s.
	Grace time.Duration
	// Memory is the most memory of each process or container, in bytes. Default 512 MiB; negative: unbounded.
	Memory int64
	// OutputBytes is the most that a process may write to each of its outputs. Default 256 KiB.
	OutputBytes int
	// Log takes what an operator should know. Default: nothing is logged.
	Log *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Work = cmp.Or(c.Work, os.TempDir())
	c.Concurrency = cmp.Or(c.Concurrency, 16)
	c.Timeout = cmp.Or(c.Timeout, 5*time.Minute)
	c.Grace = cmp.Or(c.Grace, 5*time.Second)
	c.Memory = cmp.Or(c.Memory, 512<<20)
	c.OutputBytes = cmp.Or(c.OutputBytes, 256<<10)
	if c.Environment == nil {
		c.Environment = []string{"PATH", "LANG", "LC_ALL", "TZ"}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// leastMemory is the least bound of memory, maxOutput the most that OutputBytes can be.
const (
	leastMemory = 4 << 20
	maxOutput   = 1 << 20
)

// validate says everything that is wrong with the settings.
func (c Config) validate() error {
	errs := []error{c.Secrets.Validate()}
	for _, n := range []struct {
		name        string
		value, most int
	}{{"concurrency", c.Concurrency, 1000}, {"output bytes", c.OutputBytes, maxOutput}} {
		if n.value < 1 || n.value > n.most {
			errs = append(errs, fmt.Errorf("%s is %d, and must be from 1 to %d", n.name, n.value, n.most))
		}
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"timeout", c.Timeout}, {"grace", c.Grace}} {
		if d.value <= 0 || d.value > 24*time.Hour {
			errs = append(errs, fmt.Errorf("%s is %v, and must be longer than 0, and 24h at most", d.name, d.value))
		}
	}
	if c.Memory >= 0 && c.Memory < leastMemory {
		errs = append(errs, fmt.Errorf("memory is %d bytes, and must be at least %d", c.Memory, leastMemory))
	}
	if info, err := os.Stat(c.Work); err != nil || !info.IsDir() {
		errs = append(errs, fmt.Errorf("work %q is no folder", c.Work))
	}
	for _, v := range c.Volumes {
		if !filepath.IsAbs(v) || filepath.Clean(v) != v {
			errs = append(errs, fmt.Errorf("the volume %q is no absolute path without dots", v))
		}
	}
	return errors.Join(errs...)
}

// defaultInterpreters are those that are taken if none is given, as far as they are there.
var defaultInterpreters = map[string]string{"javascript": "node", "python": "python3"} //nolint:gochecknoglobals // a table

// interpreters are the commands that run scripts, with their arguments, by language.
func (c Config) interpreters() (map[string][]string, error) {
	given := c.Interpreters
	if given == nil {
		given = defaultInterpreters
	}
	found := map[string][]string{}
	var errs []error
	for _, language := range slices.Sorted(maps.Keys(given)) {
		words := strings.Fields(given[language])
		if len(words) == 0 {
			errs = append(errs, fmt.Errorf("the interpreter of %q has no command", language))
			continue
		}
		path, err := find(words[0])
		switch {
		case err == nil:
			words[0] = path
			found[languageOf(language)] = words
		case c.Interpreters != nil:
			errs = append(errs, fmt.Errorf("the interpreter of %q: %w", language, err))
		}
	}
	return found, errors.Join(errs...)
}

// find returns the path of a command, from wherever it is run.
func find(command string) (string, error) {
	path, err := exec.LookPath(command)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	return path, err //nolint:wrapcheck // it says what happened
}

// languageOf is the one name of a language that has several.
func languageOf(name string) string {
	name = strings.ToLower(name)
	if name == "js" {
		return "javascript"
	}
	return name
}
