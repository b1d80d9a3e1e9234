package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-run/holdfast/actors/definition"
	"github.com/holdfast-run/holdfast/actors/rehearsal"
	"github.com/holdfast-run/holdfast/actors/workflow"
	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
)

// rehearse is one run of 'holdfast definition test'.
type rehearse struct {
	*app

	fetch       client.Fetch
	folder      string
	pattern     string
	only        *regexp.Regexp
	verbose     bool
	junit       string
	coverage    bool
	minCoverage int
	limits      rehearsal.Limits

	defs   []*rehearsed // those that are tested, and then those of the folder
	others *rehearsal.Definitions
	suites []*suite
	// told are the mistakes that have been told.
	told int
}

// rehearsed is a definition, and where it was read.
type rehearsed struct {
	file     string
	def      *workflow.Definition
	coverage *rehearsal.Coverage
	places   *definition.Whereabouts
}

// suite is a definition and its file of cases.
type suite struct {
	definition string // its file
	file       string // that of the cases; empty: there is none
	of         *rehearsed
	cases      []*rehearsal.Case
	wrong      []string // why it can't be run, in lines
	results    []result
}

// result is what came of a case, and how long that took.
type result struct {
	*rehearsal.Result

	lasted time.Duration
}

func newDefinitionTest(a *app) *cobra.Command {
	r := &rehearse{app: a}
	cmd := &cobra.Command{
		Use:   "test FILE...",
		Short: "Run the test cases of definitions, without a node",
		Long: "Run the test cases of definitions. For order.yaml they are in order.test.yaml beside it: each is an order with its input, the\n" +
			"stubs that answer for activities and children, events, and what is expected of it. No node is asked, no adapter is there and\n" +
			"no time is spent: that of a case passes at once when nothing else is to be done. Children run for real if their definitions\n" +
			"are among the files, or in the folder of --definitions. See docs/testing-definitions.md.\n\n" +
			"The status is 1 if a case fails, a file is wrong, or less is reached than --min-coverage says.",
		Args:              someFiles,
		ValidArgsFunction: completeFiles,
	}
	fetched := resourceFlag(cmd)
	flags := cmd.Flags()
	limits := rehearsal.Limits{}.WithDefaults()
	flags.StringVar(&r.folder, "definitions", "", "`folder` of the definitions that children run, beside those that are tested")
	flags.StringVar(&r.pattern, "run", "", "run only the cases whose names match a regular `expression`")
	flags.BoolVar(&r.verbose, "verbose", false, "print the histories of all orders")
	flags.StringVar(&r.junit, "junit", "", "write what came of the cases to a `file`, as JUnit does in XML")
	flags.BoolVar(&r.coverage, "coverage", false, "tell which tasks, cases of switches and catches no test case has reached")
	flags.IntVar(&r.minCoverage, "min-coverage", 0, "fail if fewer `percent` of these are reached, of all definitions together")
	flags.IntVar(&r.limits.Steps, "max-steps", limits.Steps, "the most decisions and events of one test case")
	flags.DurationVar(&r.limits.Time, "max-time", limits.Time, "the longest that a test case may take, of its own time")
	if err := cmd.MarkFlagDirname("definitions"); err != nil {
		panic(err) // there is no such flag
	}
	cmd.RunE = func(cmd *cobra.Command, files []string) (err error) {
		if r.fetch, err = fetched(); err != nil {
			return err
		}
		if err := r.settings(); err != nil {
			return err
		}
		return r.run(cmd.Context(), files)
	}
	return cmd
}

// settings checks the flags.
func (r *rehearse) settings() (err error) {
	switch {
	case r.minCoverage < 0 || r.minCoverage > 100:
		return usagef("--min-coverage is %d: give a number of percent from 0 to 100", r.minCoverage)
	case r.limits.Steps < 1:
		return usagef("--max-steps is %d: give a number above 0", r.limits.Steps)
	case r.limits.Time <= 0:
		return usagef("--max-time is %s: give a time above 0", r.limits.Time)
	}
	r.coverage = r.coverage || r.minCoverage > 0
	if r.only, err = regexp.Compile(r.pattern); err != nil {
		return usagef("--run: %w", err)
	}
	return nil
}

func (r *rehearse) run(ctx context.Context, args []string) error {
	suites, err := r.find(args)
	if err != nil {
		return err
	}
	if err := r.load(ctx, suites); err != nil {
		return err
	}
	for _, s := range r.suites {
		if s.of != nil && s.file != "" {
			if err := r.read(ctx, s); err != nil {
				return err
			}
		}
	}
	failed, ran := 0, 0
	for _, s := range r.suites {
		for _, c := range s.cases {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			ran++
			began := time.Now()
			done := rehearsal.Run(c, s.of.def, r.others, r.limits, r.covered()...)
			s.results = append(s.results, result{done, time.Since(began)})
			if !done.Passed() {
				failed++
			}
			if err := r.print(s, done); err != nil {
				return err
			}
		}
	}
	if r.junit != "" {
		if err := r.writeJUnit(); err != nil {
			return err
		}
	}
	return r.conclude(ran, failed)
}

// conclude tells how it went.
func (r *rehearse) conclude(ran, failed int) error {
	if r.output == outputTable {
		fmt.Fprintf(r.stdout, "cases: %d passed, %d failed\n", ran-failed, failed)
	}
	percent, err := r.printCoverage()
	switch {
	case err != nil:
		return err
	case r.told > 0:
		return fmt.Errorf("mistakes in definitions or in files of cases: %d", r.told)
	case failed > 0:
		return fmt.Errorf("cases that failed: %d of %d", failed, ran)
	case ran == 0:
		return fmt.Errorf("no case matches --run %s", r.pattern)
	case r.coverage && percent < r.minCoverage:
		return fmt.Errorf("the cases have reached %d %% of the definitions, less than --min-coverage %d", percent, r.minCoverage)
	}
	return nil
}

func (r *rehearse) covered() []*rehearsal.Coverage {
	var out []*rehearsal.Coverage
	for _, d := range r.defs {
		if d.coverage != nil {
			out = append(out, d.coverage)
		}
	}
	return out
}

// find finds the files of cases of definitions. A file of cases stands for its definition.
func (r *rehearse) find(args []string) (suites []*suite, err error) {
	var seen, lacking []string
	for _, arg := range args {
		if arg == "-" {
			return nil, usagef("the cases of a definition are in a file beside its own: name that, not -")
		}
		file := arg
		if before, ext, is := testOf(arg); is {
			if file = existing(before, ext); file == "" {
				return nil, fmt.Errorf("%s: there is no definition beside it, %s", arg, before+ext)
			}
		}
		if file = filepath.Clean(file); slices.Contains(seen, file) {
			continue
		}
		seen = append(seen, file)
		if _, err := os.Stat(file); err != nil {
			return nil, fmt.Errorf("read file: %w", err)
		}
		ext := filepath.Ext(file)
		s := &suite{definition: file}
		before := strings.TrimSuffix(file, ext) + ".test"
		if s.file = existing(before, ext); s.file == "" {
			lacking = append(lacking, fmt.Sprintf("%s: there is no file of cases beside it, %s", file, before+ext))
		}
		suites = append(suites, s)
	}
	if len(lacking) == len(suites) {
		return nil, errors.New(strings.Join(lacking, "\n"))
	}
	for _, text := range lacking {
		fmt.Fprintln(r.stderr, clean(text))
	}
	return suites, nil
}

// extensions are those of the names of definitions and of files of cases.
var extensions = []string{".yaml", ".yml", ".json"}

// testOf tells whether a name is that of a file of cases, such as order.test.yaml, and what that of its definition begins and ends with.
func testOf(name string) (before, ext string, is bool) {
	ext = filepath.Ext(name)
	before, is = strings.CutSuffix(strings.TrimSuffix(name, ext), ".test")
	return before, ext, is
}

// existing returns the name of a file that exists, preferably with the extension; empty: there is none.
func existing(before, ext string) string {
	for _, e := range append([]string{ext}, extensions...) {
		if info, err := os.Stat(before + e); err == nil && !info.IsDir() {
			return before + e
		}
	}
	return ""
}

// load compiles the definitions that are tested, and those of the folder.
func (r *rehearse) load(ctx context.Context, suites []*suite) error {
	for _, s := range suites {
		d, err := r.compile(ctx, s.definition, s)
		if err != nil {
			return err
		}
		if s.of = d; d != nil {
			d.coverage = rehearsal.Cover(d.def)
			r.defs = append(r.defs, d)
		}
		r.suites = append(r.suites, s)
	}
	more, err := r.inFolder()
	if err != nil {
		return err
	}
	for _, file := range more {
		same := func(d *rehearsed) bool { return filepath.Clean(d.file) == filepath.Clean(file) }
		if slices.ContainsFunc(r.defs, same) {
			continue
		}
		d, err := r.compile(ctx, file, nil)
		if err != nil {
			return err
		}
		if d != nil {
			r.defs = append(r.defs, d)
		}
	}
	var all []*workflow.Definition
	first := map[messages.DefinitionRef]*rehearsed{}
	for _, d := range r.defs {
		if other := first[d.def.Ref]; other != nil && !slices.Equal(other.def.Hash, d.def.Hash) {
			return fmt.Errorf("%s and %s both define %s, and differ: give one of them another version, or leave it out",
				other.file, d.file, d.def.Ref)
		} else if other == nil {
			first[d.def.Ref] = d
			all = append(all, d.def)
		}
	}
	r.others = rehearsal.NewDefinitions(all...)
	return nil
}

// inFolder returns the files of definitions in the folder.
func (r *rehearse) inFolder() ([]string, error) {
	if r.folder == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(r.folder)
	if err != nil {
		return nil, fmt.Errorf("read the folder of --definitions: %w", err)
	}
	var files []string
	for _, e := range entries {
		if _, _, cases := testOf(e.Name()); !cases && !e.IsDir() && slices.Contains(extensions, filepath.Ext(e.Name())) {
			files = append(files, filepath.Join(r.folder, e.Name()))
		}
	}
	return files, nil
}

// compile compiles a definition, with what it refers to. If it has mistakes it tells them, and there is no definition. s is the suite that
// it is for; it may be nil.
func (r *rehearse) compile(ctx context.Context, file string, s *suite) (*rehearsed, error) {
	document, err := r.readFile(ctx, file)
	if err != nil {
		return nil, err
	}
	document, err = client.Complete(ctx, document, r.fetch, func(_ context.Context, document []byte) ([]*definitionv1.Mistake, error) {
		_, found := definition.Check(document, definition.Limits{})
		return found, nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	def, mistakes := definition.Compile(document, definition.Limits{})
	if def == nil {
		r.tell(file, mistakes, s)
		return nil, nil //nolint:nilnil // there is none, and why was told
	}
	return &rehearsed{file: file, def: def, places: definition.WhereaboutsOf(document, definition.Limits{})}, nil
}

// tell tells the mistakes in a file.
func (r *rehearse) tell(file string, mistakes []*definitionv1.Mistake, s *suite) {
	for _, m := range mistakes {
		r.told++
		line := textMistake(file, m)
		fmt.Fprintln(r.stderr, line)
		if s != nil {
			s.wrong = append(s.wrong, line)
		}
	}
}

// read reads the cases of a suite.
func (r *rehearse) read(ctx context.Context, s *suite) error {
	document, err := r.readFile(ctx, s.file)
	if err != nil {
		return err
	}
	cases, mistakes := rehearsal.Read(document, s.of.def, r.others, r.limits)
	r.tell(s.file, mistakes, s)
	for _, c := range cases {
		if r.only.MatchString(c.Name) {
			s.cases = append(s.cases, c)
		}
	}
	return nil
}
