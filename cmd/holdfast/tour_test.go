package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What the pages tell readers to type is run here, as it stands and in its order: see CONTRIBUTING.md, Documentation.

// project is the project's folder, as seen from this package.
const project = "../.."

// tourWithin is how long one command may take.
const tourWithin = 2 * time.Minute

// TestDocumentedCommands runs the blocks of commands of each page, each page in a folder of its own that looks like a fresh
// clone after make build.
func TestDocumentedCommands(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob(filepath.Join(project, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, filepath.Join(project, "README.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(page)
		commands, err := documented(name, string(text))
		if err != nil {
			t.Error(err)
		}
		if len(commands) == 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTour(t, name == "README.md")
			for _, c := range commands {
				w.run(c)
			}
		})
	}
}

// documentedCommand is a command that a page tells readers to type.
type documentedCommand struct {
	place  string // page:line
	text   string
	status int // the exit status that its comment tells
}

var (
	fence      = regexp.MustCompile("^ *```(.*)$")
	exitsWith  = regexp.MustCompile(`# .*\bexits with ([0-9]+)`)
	hereDoc    = regexp.MustCompile(`<<-?\s*['"]?(\w+)`)
	goesOn     = regexp.MustCompile(`(\\|\||&&)$`)
	shellWords = regexp.MustCompile(`^\s*(\$ )?(\S*/)?(holdfast|telecom|make|curl|grpcurl|export|go (run|build|install|test)) `)
)

// documented returns the commands of the blocks marked sh. A command that is in a block without a mark is a mistake: nobody
// would notice when it goes wrong.
func documented(page, text string) ([]documentedCommand, error) {
	var commands []documentedCommand
	var errs []error
	inside, language, open, until := false, "", "", ""
	for i, line := range strings.Split(text, "\n") {
		place := fmt.Sprintf("%s:%d", page, i+1)
		switch found := fence.FindStringSubmatch(line); {
		case found != nil:
			if inside = !inside; inside {
				language = found[1]
			} else if open != "" {
				errs = append(errs, fmt.Errorf("%s: the command before the end of the block has no end", place))
				open = ""
			}
		case !inside:
		case language == "" && shellWords.MatchString(line):
			errs = append(errs, fmt.Errorf("%s: a command in a block without a mark: sh if a test shall run it, console if it can't", place))
		case language != "sh":
		case open == "" && (strings.TrimSpace(line) == "" || strings.HasPrefix(strings.TrimSpace(line), "#")):
		default:
			if open == "" {
				commands = append(commands, documentedCommand{place: place})
				if doc := hereDoc.FindStringSubmatch(line); doc != nil {
					until = doc[1]
				}
			}
			open += line
			if until != "" && strings.TrimSpace(line) != until || until == "" && goesOn.MatchString(line) {
				open += "\n"
				continue
			}
			last := &commands[len(commands)-1]
			last.text, open, until = open, "", ""
			if told := exitsWith.FindStringSubmatch(last.text); told != nil {
				last.status, _ = strconv.Atoi(told[1]) // it is a number
			}
		}
	}
	return commands, errors.Join(errs...)
}

// tour is what a page's commands run in: a folder, and the node that the page starts, or else one with the adapter bench
// and the definition of the tour.
type tour struct {
	t             *testing.T
	dir           string
	listen, admin string
	environ       []string
	exports       string // what the page has exported, as a shell takes it
	dev           string // how the page starts the node
	own           bool   // the page starts it, before any command that needs it
	node          *exec.Cmd
	orders        int
}

func newTour(t *testing.T, own bool) *tour {
	t.Helper()
	w := &tour{
		t: t, listen: freeAddress(t), admin: freeAddress(t), own: own, dev: "holdfast dev --adapter bench='holdfast adapter bench'",
	}
	root, err := filepath.Abs(project)
	if err != nil {
		t.Fatal(err)
	}
	scratch := filepath.Join(root, ".holdfast") // bench wants a disk
	if err := os.MkdirAll(scratch, 0o750); err != nil {
		t.Fatal(err)
	}
	if w.dir, err = os.MkdirTemp(scratch, "tour-"); err != nil { //nolint:usetesting // the temporary folder may be in memory
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(w.dir) })
	bin := filepath.Join(w.dir, "bin")
	err = errors.Join(os.Mkdir(bin, 0o750), os.Symlink(os.Args[0], filepath.Join(bin, "holdfast")))
	for _, name := range []string{"scenarios", "docs", "proto", "deploy"} {
		err = errors.Join(err, os.Symlink(filepath.Join(root, name), filepath.Join(w.dir, name)))
	}
	if err != nil {
		t.Fatal(err)
	}
	w.environ = append(os.Environ(), childVariable+"=real", "HOLDFAST_SERVER="+w.listen, "HOLDFAST_ADMIN="+w.admin,
		"HOLDFAST_LISTEN="+w.listen, "HOLDFAST_ADMIN_LISTEN="+w.admin)
	if !own {
		w.exports = `export PATH="$PWD/bin:$PATH"` + "\n"
	}
	t.Cleanup(w.stop)
	return w
}

// run runs a command of a page.
func (w *tour) run(c documentedCommand) {
	w.t.Helper()
	switch words := strings.Fields(c.text); {
	case words[0] == "make": // what it makes is there
	case words[0] == "export":
		w.exports += c.text + "\n"
	case strings.HasPrefix(c.text, "holdfast dev ") || strings.HasPrefix(c.text, "holdfast node"):
		w.stop()
		w.dev = w.fill(c)
		w.start()
	case strings.HasPrefix(c.text, "holdfast journal ") && !strings.HasPrefix(c.text, "holdfast journal backup "):
		w.stop()
		w.do(c)
	case strings.HasPrefix(strings.TrimPrefix(c.text, "bin/"), "holdfast bench "):
		c.text = regexp.MustCompile(`--duration \S+`).ReplaceAllString(c.text, "--duration 1s") // long enough to see that it goes
		w.do(c)
	default:
		w.need(c.place)
		w.do(c)
	}
}

// do runs a command as a shell does, and compares its exit status.
func (w *tour) do(c documentedCommand) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), tourWithin)
	defer cancel()
	out, status := w.shell(ctx, w.fill(c))
	if status != c.status {
		w.t.Fatalf("%s: exit status %d, want %d (a comment \"exits with N\" tells another than 0):\n%s\n%s",
			c.place, status, c.status, c.text, out)
	}
	if w.own && strings.Contains(strings.ToLower(out), "warning") {
		w.t.Errorf("%s: the tour has warnings:\n%s\n%s", c.place, c.text, out)
	}
}

func (w *tour) shell(ctx context.Context, text string) (out string, status int) {
	w.t.Helper()
	cmd := exec.CommandContext(ctx, "sh", "-c", w.exports+text)
	var output bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = w.dir, w.environ, &output, &output
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if cmd.ProcessState == nil {
		w.t.Fatal(err)
	}
	return output.String(), cmd.ProcessState.ExitCode()
}

// placeholder is a word in capitals that stands for something. Settings, and what is in quotes, are none.
var placeholder = regexp.MustCompile(`'[^']*'|"[^"]*"|#.*|\$\w+|--\w[\w-]*|\b[A-Z_]+=|\b(?:GET|POST|PUT|DELETE)\b|\b[A-Z][A-Z_]+\b`)

// fill replaces the placeholders of a command. Addresses become those of the page's node.
func (w *tour) fill(c documentedCommand) string {
	w.t.Helper()
	text := placeholder.ReplaceAllStringFunc(c.text, func(word string) string {
		if hereDoc.MatchString(c.text) { // it stands for itself
			return word
		}
		if !regexp.MustCompile(`^[A-Z][A-Z_]+$`).MatchString(word) {
			return word
		}
		switch word {
		case "ORDER":
			id, _ := w.faulted()
			return id
		case "SUBSCRIBER":
			_, key := w.faulted()
			return key
		case "FILE":
			return w.file()
		case "DIR":
			return "data"
		case "GET", "POST", "PUT", "DELETE":
			return word
		}
		w.t.Fatalf("%s: nobody knows what %s stands for: tell this test, or mark the block console:\n%s", c.place, word, c.text)
		return ""
	})
	return strings.NewReplacer("127.0.0.1:7460", w.listen, "localhost:7460", w.listen, "127.0.0.1:7461", w.admin,
		"localhost:7461", w.admin).Replace(text)
}

// faulted makes an order that has faulted, and holds its key.
func (w *tour) faulted() (id, key string) {
	w.t.Helper()
	w.orders++
	id, key = fmt.Sprintf("order-%d", w.orders), fmt.Sprintf("subscriber-%d", w.orders)
	w.prepare(fmt.Sprintf(`echo '{"msisdn": "491701234567", "takesMs": -1}' |
		holdfast order submit --definition tour/activate --id %s --key %s --input - --wait`, id, key), exitFaulted)
	return id, key
}

// file makes a file with an object.
func (w *tour) file() string {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, "file.json"), []byte(`{"msisdn": "491701234567"}`), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return "file.json"
}

// prepare does what a page takes for granted.
func (w *tour) prepare(text string, status int) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), tourWithin)
	defer cancel()
	if out, got := w.shell(ctx, text); got != status {
		w.t.Fatalf("prepare: exit status %d, want %d:\n%s\n%s", got, status, text, out)
	}
}

// need sees to it that a node is there.
func (w *tour) need(place string) {
	w.t.Helper()
	if w.node != nil {
		return
	}
	if w.own {
		w.t.Fatalf("%s: the page has not said how to start a node", place)
	}
	w.start()
	w.prepare("holdfast definition deploy scenarios/tour/activate.yaml", exitOK)
}

// start starts the node.
func (w *tour) start() {
	w.t.Helper()
	out := newScreen()
	w.node = exec.Command("sh", "-c", w.exports+"exec "+w.dev)
	w.node.Dir, w.node.Env, w.node.Stdout, w.node.Stderr = w.dir, w.environ, out, out
	if err := w.node.Start(); err != nil {
		w.t.Fatal(err)
	}
	out.await(w.t, "ready: ", 1)
	connected := "until holdfast adapter list | grep -q bench.echo; do sleep 0.05; done"
	w.prepare(connected, exitOK)
}

// stop stops the node as Ctrl-C does.
func (w *tour) stop() {
	w.t.Helper()
	if w.node == nil {
		return
	}
	killed := time.AfterFunc(tourWithin, func() { _ = w.node.Process.Kill() })
	defer killed.Stop()
	if err := errors.Join(w.node.Process.Signal(syscall.SIGINT), w.node.Wait()); err != nil {
		w.t.Errorf("stop the node: %v", err)
	}
	w.node = nil
}
