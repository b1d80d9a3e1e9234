package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/holdfast-run/holdfast/scenarios/constructs"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

const (
	// examplesRefused is how many examples may be refused: those that call by MCP, or subscribe at a broker.
	examplesRefused = 5
	// examplesAtOnce is how many are run at a time.
	examplesAtOnce = 8
)

// exampleFiles are the examples of the language; none: they are not there.
func exampleFiles(s *site) []string {
	files, _ := filepath.Glob(filepath.Join(s.examples, "*.yaml")) // its pattern is right
	return files
}

// examples runs all examples of the language on a node, with the adapters that the language has, and what stands in for the hosts and the
// engine of containers that they name.
func examples(ctx context.Context, s *site) (figures, error) {
	files := exampleFiles(s)
	if len(files) == 0 {
		return figures{"why": "skipped: there are no *.yaml files in " + s.examples, "skipped": 1}, nil
	}
	ctx, st := stage.New(ctx, s.dir)
	defer st.Stop()
	world, end, err := exampleWorld(ctx, s, st)
	if err != nil {
		return nil, why(ctx, err)
	}
	defer end()
	var mu sync.Mutex
	var failures []string
	f := figures{"examples": len(files), "ran": 0, "refused": 0, "skipped": 0}
	count := func(name, what string, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			failures = append(failures, name+": "+err.Error())
			s.sayf("examples: %s: %v", name, err)
			return
		}
		n, _ := f[what].(int)
		f[what] = n + 1
	}
	var running sync.WaitGroup
	free := make(chan struct{}, examplesAtOnce)
	for _, file := range files {
		free <- struct{}{}
		running.Go(func() {
			name := strings.TrimSuffix(filepath.Base(file), ".yaml")
			what, err := oneExample(ctx, world, file, name)
			count(name, what, err)
			<-free
		})
	}
	running.Wait()
	slices.Sort(failures)
	f["wrong"] = len(failures)
	if len(failures) > 0 {
		f["failures"] = failures
	}
	if ctx.Err() != nil {
		return f, context.Cause(ctx)
	}
	return f, nil
}

// exampleWorld begins a node, its adapters, and all that these lead to.
func exampleWorld(ctx context.Context, s *site, st *stage.Stage) (*constructs.World, func(), error) {
	log := &constructs.Log{}
	greeter, err := constructs.Greet(log) //nolint:contextcheck // each call has a context of its own
	if err != nil {
		return nil, nil, err
	}
	hosts, err := hostsOf{
		secure: exampleHosts, plain: []string{"keycloak", "myorg.io"}, handler: exampleHost{log},
		called: []string{"localhost:5011"}, greeter: greeter,
	}.serve(ctx, s.dir)
	if err != nil {
		return nil, nil, err
	}
	w := &constructs.World{Log: log, Short: s.ci(), Fetch: func(ctx context.Context, address string) ([]byte, error) {
		if address == "file://app/greet.proto" {
			return []byte(constructs.GreeterProto), nil
		}
		return hosts.fetch(ctx, address)
	}}
	secrets, err := exampleSecrets(s.dir)
	if err == nil {
		err = startWorld(ctx, s, st, w, hosts, secrets)
	}
	if err != nil {
		hosts.end()
		return nil, nil, err
	}
	return w, func() {
		_ = errors.Join(w.Conn.Close(), w.Admin.Close()) // they fail only if they were closed before
		hosts.end()
	}, nil
}

// startWorld starts a node, and the adapters that the language has.
func startWorld(ctx context.Context, s *site, st *stage.Stage, w *constructs.World, hosts *standIns, secrets string) error {
	node, err := st.StartNode(ctx, s.holdfast, false)
	if err != nil {
		return err
	}
	if err := node.Ready(ctx); err != nil {
		return err
	}
	if err := startAdapters(ctx, s, st, node.Server, hosts, secrets); err != nil {
		return err
	}
	return dialWorld(w, node)
}

func dialWorld(w *constructs.World, node *stage.Node) (err error) {
	if w.Conn, err = node.Dial(); err != nil {
		return err
	}
	if w.Admin, err = node.DialAdmin(); err != nil {
		return errors.Join(err, w.Conn.Close())
	}
	return nil
}

// startAdapters starts the adapters that the language has.
func startAdapters(ctx context.Context, s *site, st *stage.Stage, server string, hosts *standIns, secrets string) error {
	engine := filepath.Join(s.dir, "engine")
	if err := os.WriteFile(engine, []byte(exampleEngine), 0o700); err != nil { //nolint:gosec // it is a program
		return fmt.Errorf("write what stands in for an engine of containers: %w", err)
	}
	processes := []string{"--engine", engine, "--memory", "-1", "--interpreter", "python=/bin/sh"} // nobody has to have Python
	if hasNode() {
		processes = append(processes, "--interpreter", "javascript=node")
	}
	if os.Geteuid() == 0 { // then it has to have a user
		processes = append(processes, "--user", "65534:65534")
	}
	for name, settings := range map[string][]string{"http": hosts.http, "grpc": hosts.grpc, "shell": processes} {
		args := append([]string{"adapter", name, "--server", server, "--secrets", secrets}, settings...)
		if _, err := st.Start(ctx, stage.Spec{Name: name, Path: s.holdfast, Args: args}); err != nil {
			return err
		}
	}
	return nil
}

// exampleEngine stands in for podman and docker: it says by which options it was asked for the image hello-world, and runs the command of
// any other one.
const exampleEngine = `#!/bin/sh
while [ $# -gt 0 ]; do
	case "$1" in
	--cidfile) printf 0123456789abcdef >"$2"; shift ;;
	--pull|--name) said="$said $1 $2"; shift ;;
	--rm) said="$said $1" ;;
	--entrypoint) entry="$2"; shift ;;
	--label|--memory|--env-file) shift ;;
	hello-world) echo "hello$said"; echo "seen" >&2; exit 0 ;;
	alpine) shift; exec "$entry" "$@" ;;
	esac
	shift
done
exit 125
`

// exampleSecrets writes the secret of those that name one, and returns the folder.
func exampleSecrets(dir string) (string, error) {
	folder := filepath.Join(dir, "secrets")
	for _, namespace := range []string{"authentication-oauth2-secret", "authentication-oidc-secret"} {
		err := os.MkdirAll(filepath.Join(folder, namespace), 0o700)
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, namespace, "mySecret.json"), []byte(`{"authority": "http://keycloak/realms/fake-authority", `+
				`"grant": "client_credentials", "client": {"id": "secret-client", "secret": "s3cret"}}`), 0o600)
		}
		if err != nil {
			return "", fmt.Errorf("write secrets: %w", err)
		}
	}
	return folder, nil
}

// exampleNamespace is where the namespace of a definition stands.
var exampleNamespace = regexp.MustCompile(`(?m)^  (namespace: \S+)$`)

// oneExample runs an example, in a namespace of its own, as several have the same name. It tells whether it ran or was refused.
func oneExample(ctx context.Context, w *constructs.World, file, name string) (what string, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	namespace := strings.ReplaceAll(name, " ", "-")
	found := exampleNamespace.FindStringSubmatch(string(text))
	cases := examplesList[name]
	if found == nil || len(cases) == 0 {
		return "", errors.New("nobody has said what has to come of it")
	}
	if needsNode(name) && !hasNode() {
		return "skipped", nil
	}
	what = "ran"
	for i, c := range cases {
		c.Name, c.Document = namespace, strings.ReplaceAll(string(text), found[1], "namespace: "+namespace)
		for n, need := range c.Needs {
			c.Needs[n] = strings.ReplaceAll(need, "NAMESPACE", namespace)
		}
		if c.Refused != "" {
			what = "refused"
		}
		if err := w.Run(ctx, c, fmt.Sprint(namespace, "-", i)); err != nil {
			return "", fmt.Errorf("%d: %w", i, err)
		}
	}
	return what, nil
}

// needsNode tells whether an example is a script that Node.js runs.
func needsNode(name string) bool { return name == "run-script-with-stdin-and-arguments" }

func hasNode() bool {
	_, err := exec.LookPath("node")
	return err == nil
}

func examplesBars(s *site) bars {
	files := exampleFiles(s)
	if len(files) == 0 {
		return bars{"skipped": atLeast(1)}
	}
	ran := len(files) - examplesRefused
	if !hasNode() {
		ran--
	}
	return bars{
		"examples": atLeast(float64(len(examplesList))), "ran": atLeast(float64(ran)), "refused": atMost(examplesRefused),
	}.none("wrong")
}
