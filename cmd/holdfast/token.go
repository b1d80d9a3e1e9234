package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/holdfast-run/holdfast/actors/access"
	"github.com/holdfast-run/holdfast/tokens"
)

func newToken(a *app) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make, list and revoke tokens in the file that says who may call",
		Long: "Tokens are kept in the file of 'holdfast node --access', as their SHA-256: a token itself is told once, when it is made.\n" +
			"Nodes look at the file every 5 s. Where several nodes have a copy of it each, bring the changed file to all of them.",
	}
	asGroup(cmd)
	cmd.PersistentFlags().StringVar(&file, "access", "", "`file` that says who may call and what each caller may do")
	setting(cmd.PersistentFlags(), "access")
	cmd.AddCommand(newTokenCreate(a, &file), newTokenRevoke(a, &file), newTokenList(a, &file))
	return cmd
}

//nolint:gochecknoglobals // a constant
var errNoAccess = usageError{errors.New("--access is missing: name the file that says who may call")}

// madeToken says which token is made.
type madeToken struct {
	caller, role           string
	namespaces, activities []string
	lasts                  time.Duration
}

func newTokenCreate(a *app, file *string) *cobra.Command {
	var made madeToken
	cmd := &cobra.Command{
		Use:   "create CALLER",
		Short: "Make a token for a caller, and print it",
		Long: "Makes a token for a caller, and prints it. A caller that is not in the file yet is added, with the role given; more roles\n" +
			"are added in the file itself.",
		Args: one("the name of a caller"),
		RunE: func(_ *cobra.Command, args []string) error {
			made.caller = args[0]
			return a.createToken(*file, made)
		},
	}
	f := cmd.Flags()
	f.DurationVar(&made.lasts, "lasts", 0, "how long it is taken, such as 2160h (0: until it is revoked)")
	f.StringVar(&made.role, "role", "", "`role` of a new caller: viewer, submitter, operator, deployer, administrator or adapter")
	f.StringArrayVar(&made.namespaces, "namespace", nil, "`namespace` in which it has the role, or the beginning of some with * behind it")
	f.StringArrayVar(&made.activities, "activity", nil,
		"`activity` that an adapter may serve, or definitions of a deployer call: billing.charge, billing.*")
	return cmd
}

func (a *app) createToken(file string, made madeToken) error {
	if file == "" {
		return errNoAccess
	}
	if made.lasts < 0 {
		return usagef("--lasts %v is negative", made.lasts)
	}
	var roles []access.RoleGrant
	if made.role != "" {
		roles = append(roles, access.RoleGrant{
			Role: access.Role(made.role), Namespaces: made.namespaces, Activities: made.activities,
		})
	}
	secret := tokens.New()
	kept := access.Token{ID: uuid.NewString()[:8], SHA256: tokens.HashOf(secret).String()}
	if made.lasts > 0 {
		kept.Expires = time.Now().Add(made.lasts).UTC().Truncate(time.Second)
	}
	err := access.Edit(file, func(text []byte) ([]byte, error) { return access.AddToken(text, made.caller, kept, roles...) })
	if errors.Is(err, access.ErrNoCaller) {
		return advise(err, "Say with --role, and --namespace or --activity, what it may do, and it is added.")
	}
	if err != nil {
		return err
	}
	if a.output == outputJSON {
		return a.printJSON(map[string]string{"id": kept.ID, "token": secret})
	}
	fmt.Fprintf(a.stderr, "Token %s of %s. It is not told again:\n", kept.ID, made.caller)
	fmt.Fprintln(a.stdout, secret)
	return nil
}

// one is the arguments of commands about one thing.
func one(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 || args[0] == "" {
			return usagef("one argument is needed: %s", what)
		}
		return nil
	}
}

func newTokenRevoke(_ *app, file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke ID",
		Short: "Have a token not be taken any more",
		Args:  one("the id of a token, as 'holdfast token list' tells it"),
		RunE: func(_ *cobra.Command, args []string) error {
			if *file == "" {
				return errNoAccess
			}
			return access.Edit(*file, func(text []byte) ([]byte, error) { return access.RemoveToken(text, args[0]) })
		},
	}
}

// listedToken is a token as JSON has it.
type listedToken struct {
	ID      string     `json:"id"`
	Caller  string     `json:"caller"`
	Expires *time.Time `json:"expires,omitempty"`
	Expired bool       `json:"expired,omitempty"`
}

func newTokenList(a *app, file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the tokens, and who has them",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if *file == "" {
				return errNoAccess
			}
			f, _, err := access.Read(*file)
			if err != nil {
				return err
			}
			t := a.newTable(whole("ID"), cut("CALLER"), whole("EXPIRES"))
			for _, e := range f.Callers {
				for _, k := range e.Tokens {
					l := listedToken{ID: k.ID, Caller: e.Name}
					when := "never"
					if !k.Expires.IsZero() {
						l.Expires, l.Expired = &k.Expires, !time.Now().Before(k.Expires)
						if when = k.Expires.UTC().Format(time.RFC3339); l.Expired {
							when += " (expired)"
						}
					}
					if a.output == outputJSON {
						if err := a.printJSON(l); err != nil {
							return err
						}
						continue
					}
					t.row(l.ID, l.Caller, when)
				}
			}
			if a.output == outputJSON {
				return nil
			}
			return t.end()
		},
	}
}
