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

// exampleWorld begins the world of the examples.
func exampleWorld(ctx context.Context, s *site, st *stage.Stage) (*constructs.World, func(), error) {
	secrets, err := exampleSecrets(s.dir)
	if err != nil {
		return nil, nil, err
	}
	log := &constructs.Log{}
	w, _, end, err := worldOf{
		log: log, secrets: secrets, binary: s.holdfast,
		hosts: hostsOf{
			secure: exampleHosts, plain: []string{"keycloak", "myorg.io"}, handler: exampleHost{log}, called: []string{"localhost:5011"},
		},
	}.begin(ctx, s, st, s.dir)
	if err != nil {
		return nil, nil, err
	}
	w.Short = s.ci()
	fetch := w.Fetch
	w.Fetch = func(ctx context.Context, address string) ([]byte, error) {
		if address == "file://app/greet.proto" {
			return []byte(constructs.GreeterProto), nil
		}
		return fetch(ctx, address)
	}
	return w, end, nil
}

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
		c.Needs = slices.Clone(c.Needs)
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
