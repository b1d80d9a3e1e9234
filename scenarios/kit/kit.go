package kit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/cucumber/godog"

	"github.com/holdfast-run/holdfast/client"
)

// System begins a system for a scenario. end ends it.
type System func(ctx context.Context) (conn *client.Client, end func() error, err error)

// Result is how many scenarios there were, and what came of them.
type Result struct{ Scenarios, Passed, Refused, Failed int }

// ErrNoKit says that a folder has no features.
var ErrNoKit = errors.New("no *.feature files")

// Run runs all features of a folder, and writes what comes of each scenario, a line each. fetch gets what definitions refer to.
func Run(ctx context.Context, folder string, system System, fetch client.Fetch, out io.Writer) (Result, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.feature"))
	if err != nil || len(files) == 0 {
		return Result{}, fmt.Errorf("%w in %s", errors.Join(err, ErrNoKit), folder)
	}
	say := func(what string, is *godog.Scenario, why error) {
		line := fmt.Sprintf("%-7s %s: %s", what, filepath.Base(is.Uri), is.Name)
		if why != nil {
			line += ": " + why.Error()
		}
		_, _ = fmt.Fprintln(out, line) // what can't be said is counted
	}
	var r Result
	suite := godog.TestSuite{
		Name: "conformance",
		ScenarioInitializer: func(sc *godog.ScenarioContext) {
			s := &scenario{system: system, fetch: fetch, end: func() error { return nil }}
			s.steps(sc)
			sc.After(func(ctx context.Context, is *godog.Scenario, err error) (context.Context, error) {
				err = errors.Join(err, s.end())
				r.Scenarios++
				switch {
				case s.refused != nil:
					r.Refused++
					say("refused", is, s.refused)
				case err != nil:
					r.Failed++
					say("FAILED", is, err)
				default:
					r.Passed++
					say("passed", is, nil)
				}
				return ctx, nil
			})
		},
		Options: &godog.Options{Format: "progress", Paths: []string{folder}, Output: io.Discard, DefaultContext: ctx, Concurrency: 1},
	}
	suite.Run() // what it returns, and would print, tells less
	return r, nil
}
