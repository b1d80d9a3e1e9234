package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/actors/definition"
	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/client/shown"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
)

func newDefinition(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "definition", Short: "Test and deploy workflow definitions, and look them up"}
	asGroup(cmd)
	a.clientFlags(cmd)
	cmd.AddCommand(newDefinitionValidate(a), newDefinitionTest(a), newDefinitionGraph(a), newDefinitionDeploy(a), newDefinitionList(a),
		newDefinitionGet(a), newDefinitionRetire(a), newDefinitionReinstate(a), newDefinitionRemove(a))
	return cmd
}

// textMistake is a mistake in the form that editors understand: file:line:column: severity: message.
func textMistake(file string, m *definitionv1.Mistake) string {
	place := file
	if m.GetLine() > 0 {
		place += fmt.Sprintf(":%d", m.GetLine())
		if m.GetColumn() > 0 {
			place += fmt.Sprintf(":%d", m.GetColumn())
		}
	}
	place += ": " + shown.Severity(m)
	if m.GetPath() != "" {
		place += ": " + m.GetPath()
	}
	return clean(place + ": " + m.GetMessage())
}

// someFiles is the arguments of commands about documents.
func someFiles(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usagef("name the files of the definitions, or - for the standard input")
	}
	return nil
}

// completeFiles offers the files of definitions.
func completeFiles(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return []cobra.Completion{"yaml", "yml", "json"}, cobra.ShellCompDirectiveFilterFileExt
}

// eachDocument calls do with each file's content. It goes on after an error.
func (a *app) eachDocument(
	cmd *cobra.Command, files []string, do func(ctx context.Context, c *api, file string, document []byte) error,
) error {
	return a.call(cmd.Context(), a.dial, func(ctx context.Context, c *api) (err error) {
		return a.eachFile(cmd.Context(), files, func(file string, document []byte) error { //nolint:contextcheck // it is the user's
			return do(ctx, c, file, document)
		})
	})
}

// eachFile calls do with each file's content. It goes on after an error, unless no node can be reached.
func (a *app) eachFile(ctx context.Context, files []string, do func(file string, document []byte) error) (err error) {
	for _, file := range files {
		document, e := a.readFile(ctx, file)
		if e == nil {
			e = do(file, document)
		}
		if st, isRPC := client.StatusOf(e); isRPC && st.Code() == codes.Unavailable {
			return e // it would be the same with the others
		}
		err = a.laterError(ctx, err, e)
	}
	return err
}

// laterError returns the last of several errors, and tells the one before.
func (a *app) laterError(ctx context.Context, before, err error) error {
	if err == nil {
		return before
	}
	if before != nil {
		text, _ := a.describe(ctx, before)
		fmt.Fprint(a.stderr, text)
	}
	return err
}

// resourceFlag adds the flag that names files for what definitions refer to. It returns how that is got.
func resourceFlag(cmd *cobra.Command) func() (client.Fetch, error) {
	given := cmd.Flags().StringArray("resource", nil, "take what definitions refer to by an address from a file, `ADDRESS=FILE`; several "+
		"allowed (fetch it)")
	return func() (client.Fetch, error) {
		files := make(map[string]string, len(*given))
		for _, g := range *given {
			at := strings.LastIndex(g, "=")
			if at < 1 || at == len(g)-1 {
				return nil, usagef("--resource %q is not of the form ADDRESS=FILE", g)
			}
			files[g[:at]] = g[at+1:]
		}
		fetch := client.FetchBy(&http.Client{Timeout: fetchWithin})
		return func(ctx context.Context, address string) ([]byte, error) {
			if file := files[address]; file != "" {
				return os.ReadFile(file)
			}
			return fetch(ctx, address)
		}, nil
	}
}

// fetchWithin is how long it may take to fetch one thing that a definition refers to.
const fetchWithin = 30 * time.Second

func newDefinitionValidate(a *app) *cobra.Command {
	var strict bool
	cmd := &cobra.Command{
		Use:   "validate FILE...",
		Short: "Say everything that is wrong with definitions, or looks so, without deploying them",
		Long: "Say everything that is wrong with definitions, or looks so, without deploying them. No node is asked, so this also\n" +
			"serves editors and builds: a line for each finding is file:line:column: severity: message. The status is 1 if\n" +
			"something is wrong; warnings alone leave it 0, unless --strict is given. What definitions refer to, such as documents of\n" +
			"OpenAPI, is fetched, or taken from files (--resource).",
		Args:              someFiles,
		ValidArgsFunction: completeFiles,
	}
	fetched := resourceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, files []string) error {
		fetch, err := fetched()
		if err != nil {
			return err
		}
		return a.eachFile(cmd.Context(), files, func(file string, document []byte) error {
			document, err := withResources(cmd.Context(), file, document, fetch)
			if err != nil {
				return err
			}
			return a.validate(file, document, strict)
		})
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "a warning counts as a mistake")
	return cmd
}

// withResources adds to a document what it refers to, by the compiler of this program.
func withResources(ctx context.Context, file string, document []byte, fetch client.Fetch) ([]byte, error) {
	check := func(_ context.Context, document []byte) ([]*definitionv1.Mistake, error) {
		_, found := definition.Check(document, definition.Limits{})
		return found, nil
	}
	document, err := client.Complete(ctx, document, fetch, check)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return document, nil
}

// bySeverity separates what is wrong with a document from what only looks so.
func bySeverity(found []*definitionv1.Mistake) (mistakes, warnings []*definitionv1.Mistake) {
	for _, m := range found {
		if m.GetSeverity() == definitionv1.Severity_SEVERITY_WARNING {
			warnings = append(warnings, m)
		} else {
			mistakes = append(mistakes, m)
		}
	}
	return mistakes, warnings
}

func (a *app) validate(file string, document []byte, strict bool) error {
	def, found := definition.Check(document, definition.Limits{})
	mistakes, warnings := bySeverity(found)
	name := ""
	if def != nil {
		name = def.Ref.String()
	}
	valid := def != nil && (!strict || len(warnings) == 0)
	if a.output == outputJSON {
		if err := a.printJSON(shown.Validation{
			File: file, Definition: name, Valid: valid, Mistakes: shown.MistakesOf(mistakes), Warnings: shown.MistakesOf(warnings),
		}); err != nil {
			return err
		}
	} else {
		for _, m := range found {
			fmt.Fprintln(a.stdout, textMistake(file, m))
		}
		if valid {
			fmt.Fprintln(a.stdout, clean(file+": "+name+" can be deployed"))
		}
	}
	switch {
	case len(mistakes) > 0:
		return fmt.Errorf("%s has mistakes: %d", file, len(mistakes))
	case !valid:
		return fmt.Errorf("%s has warnings: %d", file, len(warnings))
	}
	return nil
}

func newDefinitionDeploy(a *app) *cobra.Command {
	var strict bool
	cmd := &cobra.Command{
		Use:   "deploy FILE...",
		Short: "Deploy definitions",
		Long: "Deploy definitions, under the namespace, name and version that they name. What is deployed never changes: deploying\n" +
			"the same again does no harm, and something else needs a new version. What they refer to, such as documents of OpenAPI,\n" +
			"is fetched, or taken from files (--resource), and deployed with them.",
		Args:              someFiles,
		ValidArgsFunction: completeFiles,
	}
	fetched := resourceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, files []string) error {
		fetch, err := fetched()
		if err != nil {
			return err
		}
		return a.eachDocument(cmd, files, func(ctx context.Context, c *api, file string, document []byte) error {
			return a.deploy(ctx, c, file, &definitionv1.DeployRequest{Document: document, Strict: strict}, fetch)
		})
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "refuse what 'holdfast definition validate' warns of")
	return cmd
}

func (a *app) deploy(ctx context.Context, c *api, file string, r *definitionv1.DeployRequest, fetch client.Fetch) error {
	answer, err := c.Deploy(ctx, r, fetch)
	if err != nil {
		err = fmt.Errorf("%s: %w", file, err)
		return advise(err, client.AdviceOnDeploy(err))
	}
	if a.output == outputJSON {
		d := shown.DefinitionOf(answer.GetDefinition())
		d.Document, d.Warnings = "", shown.MistakesOf(answer.GetWarnings())
		return a.printJSON(d)
	}
	for _, w := range answer.GetWarnings() {
		fmt.Fprintln(a.stderr, textMistake(file, w))
	}
	fmt.Fprintln(a.stdout, clean(shown.DefinitionName(answer.GetDefinition())))
	return nil
}

func newDefinitionList(a *app) *cobra.Command {
	var namespace string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the deployed definitions",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.listDefinitions(cmd.Context(), namespace)
		},
	}
	cmd.Flags().StringVar(&namespace, "namespace", "", "only those of this `namespace`")
	return cmd
}

func (a *app) listDefinitions(ctx context.Context, namespace string) error {
	return a.call(ctx, a.dial, func(ctx context.Context, c *api) error {
		var t *table
		if a.output == outputTable {
			t = a.newTable(whole("DEFINITION"), spare("TITLE"), cut("DEPLOYED AT"), spare("RETIRED AT"), wrap("ACTIVITIES"))
		}
		request := &definitionv1.ListRequest{Namespace: namespace, PageSize: maxListPage}
		for {
			answer, err := c.Definitions().List(ctx, request)
			if err != nil {
				return err
			}
			for _, d := range answer.GetDefinitions() {
				if t != nil {
					t.row(shown.DefinitionName(d), d.GetTitle(), shown.TimeText(d.GetDeployedAt()), shown.TimeText(d.GetRetirement().GetAt()),
						strings.Join(d.GetActivities(), ", "))
				} else if err := a.printJSON(shown.DefinitionOf(d)); err != nil {
					return err
				}
			}
			if request.PageToken = answer.GetNextPageToken(); request.GetPageToken() == "" {
				return t.end()
			}
		}
	})
}

func newDefinitionGet(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "get NAMESPACE/NAME[:VERSION]",
		Short: "Print a definition as it was deployed",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("name one definition, as namespace/name:version")
			}
			if _, err := messages.ParseDefinitionRef(args[0]); err != nil {
				return usageError{err}
			}
			return nil
		},
		ValidArgsFunction: a.completeDefinition,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.call(cmd.Context(), a.dial, func(ctx context.Context, c *api) error {
				answer, err := c.Definitions().Get(ctx, &definitionv1.GetRequest{Definition: args[0]})
				if err != nil {
					return err
				}
				return a.printDefinition(answer.GetDefinition())
			})
		},
	}
}

// printDefinition prints a document: to a file or pipe as it is, to a terminal made safe.
func (a *app) printDefinition(d *definitionv1.Definition) error {
	if a.output == outputJSON {
		return a.printJSON(shown.DefinitionOf(d))
	}
	text := string(d.GetDocument())
	if a.terminal(a.stdout) > 0 {
		text = cleanLines(text)
	}
	if !strings.HasSuffix(text, "\n") && a.terminal(a.stdout) > 0 {
		text += "\n"
	}
	if _, err := fmt.Fprint(a.stdout, text); err != nil {
		return errors.Join(errors.New("print the document"), err)
	}
	return nil
}
