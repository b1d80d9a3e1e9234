package shell_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/adapters/sealed"
	"github.com/holdfast-run/holdfast/adapters/shell"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	succeeded = adapterv1.Outcome_OUTCOME_SUCCEEDED
	failed    = adapterv1.Outcome_OUTCOME_FAILED
	inDoubt   = adapterv1.Outcome_OUTCOME_IN_DOUBT
)

// object is what the engine sends.
type object map[string]any

// bench is an adapter with a node.
type bench struct {
	*testing.T

	node *adaptertest.Node
	work string
}

// setup runs an adapter, whose processes are those of nobody if the test is root's.
func setup(t *testing.T, c shell.Config) *bench {
	t.Helper()
	if c.User == "" && os.Getuid() == 0 {
		c.User = "65534:65534"
	}
	c.Work = t.TempDir()
	for dir := c.Work; os.Getuid() == 0 && dir != filepath.Clean(os.TempDir()) && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	a, err := shell.New(c)
	if err != nil {
		t.Fatal(err)
	}
	node := adaptertest.Start(t)
	node.Run(a, adapters.Config{})
	return &bench{t, node, c.Work}
}

// do runs a process. Nothing may be left of its folder.
func (b *bench) do(activity string, o object) *adapterv1.Result {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	o["namespace"] = "shop"
	r := b.node.Do(ctx, activity, o)
	if left, err := os.ReadDir(b.work); err != nil || len(left) > 0 {
		b.Errorf("left over: %v, %v", left, err)
	}
	return r
}

// output runs a process that succeeds.
func (b *bench) output(activity string, o object) any {
	b.Helper()
	r := b.do(activity, o)
	var v any
	if err := json.Unmarshal(r.GetOutput(), &v); err != nil || r.GetOutcome() != succeeded || r.GetError() != nil {
		b.Fatalf("%v, %v", r, err)
	}
	return v
}

// refuses runs a process that does not succeed.
func (b *bench) refuses(activity string, o object, outcome adapterv1.Outcome, status int32, detail string) {
	b.Helper()
	r := b.do(activity, o)
	e := r.GetError()
	if r.GetOutcome() != outcome || e.GetStatus() != status || !strings.Contains(e.GetTitle()+": "+e.GetDetail(), detail) {
		b.Errorf("%v, want %s, status %d and %q", r, outcome, status, detail)
	}
}

// interpreters are those of this machine that any user may run.
func interpreters() map[string]string {
	found := map[string]string{}
	for language, path := range map[string]string{"javascript": "/usr/bin/node", "python": "/usr/bin/python3"} {
		if _, err := os.Stat(path); err == nil {
			found[language] = path
		}
	}
	return found
}

// TestCommand: a command gets its arguments, input and environment, and nothing of the adapter's but what is named.
func TestCommand(t *testing.T) {
	t.Parallel()
	b := setup(t, shell.Config{})
	got := b.output("command", object{
		"command": `read line; echo "$line $1 $2 $A"; pwd | grep -c holdfast-process; [ "$HOME" = "$PWD" ] || exit 1; env | cut -d= -f1 | sort | tr "\n" " "`,
		"stdin":   "Hello World", "arguments": []any{"Foo", 1.5}, "environment": object{"A": "b c", "N": nil},
	})
	text, _ := got.(string)
	lines := strings.Split(text, "\n")
	if lines[0] != "Hello World Foo 1.5 b c" || lines[1] != "1" {
		t.Errorf("got %q", lines[:2])
	}
	for name := range strings.FieldsSeq(lines[2]) {
		switch name {
		case "A", "HOME", "HOLDFAST_KEY", "HOLDFAST_ORDER", "HOLDFAST_ATTEMPT", "PATH", "LANG", "LC_ALL", "TZ", "PWD", "SHLVL", "_", "OLDPWD":
		default:
			t.Errorf("the process has the variable %s", name)
		}
	}
	if got := b.output("commandOnce", object{"command": "cat", "stdin": object{"a": []any{1}}}); got != `{"a":[1]}` {
		t.Errorf("got %q", got)
	}
	if got := b.output("command", object{"command": "cat; echo none"}); got != "none\n" { // nobody gives it anything
		t.Errorf("got %q", got)
	}
	if os.Getuid() == 0 {
		if got := b.output("command", object{"command": "id -u; id -g; id -G"}); got != "65534\n65534\n65534\n" {
			t.Errorf("the process is %q's", got)
		}
	}
}

// TestReturn: the task's output is what the definition says; an exit code that is wanted is none that fails.
func TestReturn(t *testing.T) {
	t.Parallel()
	b := setup(t, shell.Config{})
	const command = `echo out; echo err >&2; printf '\377' >&2; exit $1`
	for _, c := range []struct{ wanted, code, want string }{
		{"", "0", `"out\n"`},
		{"stdout", "0", `"out\n"`},
		{"stderr", "0", "\"err\\n\uFFFD\""},
		{"none", "0", `null`},
		{"code", "0", `0`},
		{"code", "3", `3`},
		{"all", "3", "{\"code\":3,\"stderr\":\"err\\n\uFFFD\",\"stdout\":\"out\\n\"}"},
	} {
		got, err := json.Marshal(b.output("command", object{"command": command, "arguments": []any{c.code}, "return": c.wanted}))
		if err != nil || string(got) != c.want {
			t.Errorf("%s: got %s, %v, want %s", c.wanted, got, err, c.want)
		}
	}
	for _, wanted := range []string{"", "stdout", "stderr", "none"} {
		b.refuses("commandOnce", object{"command": command, "arguments": []any{7}, "return": wanted}, failed, 500,
			"Process failed: with exit code 7: err")
	}
}

// TestBounds: a process has so much time, memory and output, and nothing of it stays.
func TestBounds(t *testing.T) {
	t.Parallel()
	b := setup(t, shell.Config{
		OutputBytes: 10_000, Memory: 64 << 20, Grace: 100 * time.Millisecond, Timeout: 10 * time.Second, Interpreters: interpreters(),
	})
	b.refuses("command", object{"command": "yes"}, inDoubt, 500, "more than 10000 bytes")
	b.refuses("commandOnce", object{"command": "yes >&2"}, inDoubt, 500, "more than 10000 bytes")
	b.refuses("command", object{"command": "kill -9 $$"}, inDoubt, 500, `by the signal "killed"`)
	b.refuses("command", object{"command": "trap '' TERM; while :; do sleep 1; done"}, inDoubt, 408, "ended")
	if interpreters()["python"] != "" {
		b.refuses("script", object{"language": "python", "code": "x = bytearray(200 << 20)"}, failed, 500, "MemoryError")
	}
	// What it leaves behind in its group is killed.
	text, _ := b.output("command", object{"command": "sleep 1000 >/dev/null 2>&1 & echo $!"}).(string)
	left, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); syscall.Kill(left, 0) == nil && !isZombie(left); {
		if time.Now().After(deadline) {
			t.Fatalf("the process %d is left over", left)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// isZombie tells whether a process has ended, and nobody has asked for its end.
func isZombie(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && strings.Contains(string(text), ") Z ")
}

// TestMistakes: what can't be run as it is says why.
func TestMistakes(t *testing.T) {
	t.Parallel()
	b := setup(t, shell.Config{Interpreters: interpreters()})
	for detail, o := range map[string]object{
		"is no list":                     {"command": "x", "arguments": "a"},
		"is no object":                   {"command": "x", "environment": "a"},
		`"A=B" is no name of a variable`: {"command": "x", "environment": object{"A=B": "a"}},
		"the variable A has a character": {"command": "x", "environment": object{"A": "a\x00"}},
		"the argument 1 has a character": {"command": "x", "arguments": []any{"a", "\x00"}},
		"the command has a character":    {"command": "x\x00"},
		"the command is empty":           {"command": nil},
		`give what is long as "stdin"`:   {"command": strings.Repeat("x", 200<<10)},
	} {
		b.refuses("commandOnce", o, failed, 400, detail)
	}
	if len(interpreters()) > 0 {
		b.refuses("scriptOnce", object{"language": "cobol", "code": "x"}, failed, 400, `no interpreter for "cobol"`)
	}
	b.refuses("commandOnce", object{"command": "x", "sealed": object{"/command": object{"secret": []any{"api"}}}}, failed, 403,
		"given no folder of secrets")
}

// TestScript: a script is run by the interpreter of its language, as a module if it is one.
func TestScript(t *testing.T) {
	t.Parallel()
	found := interpreters()
	if len(found) < 2 {
		t.Logf("of node and python3 in /usr/bin there are %v: the others are not tried", found)
	}
	if len(found) == 0 {
		t.Skip("neither is there")
	}
	b := setup(t, shell.Config{Interpreters: found})
	if interpreters()["python"] != "" {
		if got := b.output("script", object{
			"language": "Python", "code": "import sys, os\nprint(sys.argv[1:], sys.stdin.read(), os.environ['foo'])", "stdin": "in",
			"arguments": []any{"a"}, "environment": object{"foo": "bar"},
		}); got != "['a'] in bar\n" {
			t.Errorf("python: %q", got)
		}
	}
	if interpreters()["javascript"] != "" {
		for _, code := range []string{
			"import { readFileSync } from 'node:fs';\nconst [_, __, arg] = process.argv;\nconsole.log(readFileSync(0, 'utf8'), arg)",
			"const fs = require('fs'); const [_, __, arg] = process.argv; console.log(fs.readFileSync(0, 'utf8'), arg)",
		} {
			if got := b.output("scriptOnce", object{"language": "js", "code": code, "stdin": "in", "arguments": []any{"a"}}); got != "in a\n" {
				t.Errorf("node: %q", got)
			}
		}
	}
}

// TestSecrets: secrets come from the folder, and reach the process.
func TestSecrets(t *testing.T) {
	t.Parallel()
	secrets := t.TempDir()
	if err := os.Mkdir(filepath.Join(secrets, "shop"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(secrets, "shop", "api.json"), []byte(`{"key": "s3cret"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	b := setup(t, shell.Config{Secrets: sealed.Folder(secrets)})
	if got := b.output("command", object{
		"command": `cat; echo ", $A"`, "environment": object{"A": nil}, "stdin": nil,
		"sealed": object{
			"/environment/A": object{"secret": []any{"api", "key"}}, "/stdin": object{"text": []any{object{"secret": []any{"api", "key"}}}},
		},
	}); got != "s3cret, s3cret\n" {
		t.Errorf("got %q", got)
	}
}

// engine stands for podman or docker: it writes down what it is told, and runs the rest of it.
const engine = `#!/bin/sh
echo "$@" >>ENGINE/told
[ "$1" = rm ] && exit
while [ $# -gt 0 ]; do
	case "$1" in
	--cidfile) id="$2"; shift ;;
	--entrypoint) entry="$2"; shift ;;
	--env-file) cat "$2" >>ENGINE/told; shift ;;
	no/image) echo "no such image" >&2; exit 125 ;;
	*/image)
		printf 0123456789abcdef >"$id"
		[ "$1" = lost/image ] && { echo "lost it" >&2; exit 125; }
		shift
		exec $entry "$@" ;;
	esac
	shift
done`

// TestContainer: the engine's command is told what the definition says, and removes what has not ended by itself.
func TestContainer(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	told := filepath.Join(folder, "told")
	command := filepath.Join(folder, "engine")
	if err := os.WriteFile(command, []byte(strings.ReplaceAll(engine, "ENGINE", folder)), 0o700); err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	if err := os.Symlink("/etc", filepath.Join(data, "link")); err != nil {
		t.Fatal(err)
	}
	b := setup(t, shell.Config{Engine: command, Volumes: []string{data}, Timeout: 10 * time.Second, Grace: 100 * time.Millisecond})
	if got := b.output("container", object{
		"image": "my/image", "name": "hello-1", "command": `cat; echo " $1"`, "arguments": []any{"a b"}, "stdin": "in",
		"environment": object{"A": "b c"}, "ports": object{"8080": 80}, "volumes": object{data: "/in"}, "pullPolicy": "always", "cleanup": "always",
	}); got != "in a b\n" {
		t.Errorf("got %q", got)
	}
	text, err := os.ReadFile(told)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"run --interactive --pull always --label run.holdfast.order=", " --name hello-1 ", " --rm ", "\nHOLDFAST_KEY=", " --memory 536870912 ", " --publish 8080:80 ",
		" --volume " + data + ":/in ", ` --entrypoint /bin/sh my/image -c cat; echo " $1" sh a b`, "\nA=b c\n",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q lacks %q", text, want)
		}
	}
	b.refuses("containerOnce", object{"image": "no/image", "return": "all"}, failed, 500, "Container could not be run: the engine ends with 125: no such")
	b.refuses("containerOnce", object{"image": "lost/image", "return": "code"}, inDoubt, 500, "the engine ends with 125: lost it")
	b.refuses("containerOnce", object{"image": "my/image", "command": "exit 137"}, inDoubt, 500, "exit code 137 says so")
	b.refuses("containerOnce", object{"image": "my/image", "command": "sleep 100"}, inDoubt, 408, "ended")
	b.refuses("containerOnce", object{"image": "my/image", "volumes": object{"/etc": "/in"}}, failed, 403, "none of its --volume")
	b.refuses("containerOnce", object{"image": "my/image", "volumes": object{filepath.Join(data, "link"): "/in"}}, failed, 403, "--volume")
	for detail, o := range map[string]object{
		"no name of an image":      {"image": "--privileged"},
		"no name of a container":   {"image": "a", "name": "-x"},
		"must map ports":           {"image": "a", "ports": object{"1": "x"}},
		"must map folders":         {"image": "a", "volumes": object{"/a:b": "/c"}},
		"can't have line breaks":   {"image": "a", "environment": object{"A": "b\nC=d"}},
		`"pullPolicy" is "rarely"`: {"image": "a", "pullPolicy": "rarely"},
	} {
		b.refuses("containerOnce", o, failed, 400, detail)
	}
	if text, err = os.ReadFile(told); err != nil || strings.Count(string(text), "rm --force 0123456789abcdef\n") != 2 {
		t.Errorf("%q, %v", text, err)
	}
}

// TestSettings: what is wrong with the settings is told, all of it.
func TestSettings(t *testing.T) {
	t.Parallel()
	_, err := shell.New(shell.Config{
		User: "no such user", Secrets: "nowhere", Interpreters: map[string]string{"js": "nosuchthing", "python": " "}, Engine: "nosuchengine",
		Volumes: []string{"a"}, Concurrency: -1, Timeout: -1, Grace: 25 * time.Hour, Memory: 1, OutputBytes: 1 << 30, Work: "nowhere",
	})
	for _, want := range []string{
		"user", `secrets "nowhere"`, "work", `interpreter of "js"`, `interpreter of "python"`, "engine", "volume", "concurrency", "timeout", "grace",
		"memory", "output",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
	if os.Getuid() == 0 {
		if _, err := shell.New(shell.Config{}); err == nil || !strings.Contains(err.Error(), "runs as root") {
			t.Errorf("as root: %v", err)
		}
	}
}
