package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-run/holdfast/tokens"
	"github.com/holdfast-run/holdfast/tokens/login"
)

// loginWithin is how long a person may take to log in.
const loginWithin = 15 * time.Minute

func newLogin(a *app) *cobra.Command {
	var c login.Config
	cmd := &cobra.Command{
		Use:   "login",
		Short: "Log in at an issuer, by OpenID Connect",
		Long: "Logs in at an issuer that the nodes trust, and keeps the token, which is sent with each call from then on, and renewed. If\n" +
			"the issuer has codes for devices, the page that is told can be opened anywhere; else, or with --browser, on this machine.\n" +
			"A token that is given by --token or --token-file goes before.",
		Example: "  holdfast login --issuer https://id.example.com --issuer-client holdfast",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.logIn(cmd.Context(), c) },
	}
	f := cmd.Flags()
	f.StringVar(&c.Issuer, "issuer", "", "`address` of the issuer, as the file of the nodes' --access has it")
	f.StringVar(&c.Client, "issuer-client", "", "`id` of the client that is registered there for this: the audience in that file")
	f.StringVar(&c.Secret, "issuer-secret", "", "its `secret`, if it has one; better in the environment")
	f.StringVar(&c.CA, "issuer-ca", "", "`file` with the authorities that sign the certificate of the issuer (those of the system)")
	f.StringArrayVar(&c.Scopes, "scope", nil, "`scope` that is asked for; several times for more (what the issuer has of the usual ones)")
	f.BoolVar(&c.Browser, "browser", false, "log in with a browser of this machine, also if the issuer has codes for devices")
	setting(f, "issuer", "issuer-client", "issuer-secret", "issuer-ca")
	return cmd
}

func (a *app) logIn(ctx context.Context, c login.Config) error {
	file := a.loginFile()
	if file == "" {
		return errNoLoginFile
	}
	if c.CA != "" {
		whole, err := filepath.Abs(c.CA) // it is needed again, from wherever
		if err != nil {
			return fmt.Errorf("--issuer-ca: %w", err)
		}
		c.CA = whole
	}
	c.Tell = func(s login.Step) {
		fmt.Fprintf(a.stderr, "Open %s\n", clean(s.Page))
		if s.Code != "" {
			fmt.Fprintf(a.stderr, "and make sure that this code is there, or enter it: %s\n", clean(s.Code))
		}
	}
	ctx, cancel := context.WithTimeout(ctx, loginWithin)
	defer cancel()
	l, err := login.In(ctx, c)
	if errors.Is(err, login.ErrMissing) {
		return usagef("--issuer and --issuer-client are both needed")
	}
	if err != nil {
		return err
	}
	if err := l.Write(file); err != nil {
		return err
	}
	if a.output == outputJSON {
		return a.printJSON(map[string]any{"name": l.Name, "issuer": l.Issuer, "expires": l.Expires.UTC(), "renewed": l.Refresh != ""})
	}
	if l.Refresh == "" {
		return a.say("%s is logged in until %s", l.Name, l.Expires.UTC().Format(time.RFC3339))
	}
	return a.say("%s is logged in", l.Name)
}

func newLogout(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "logout",
		Short: "Forget the login",
		Long: "Forgets the login. Who has a copy of its token can use that until it expires, which the issuer has told: to have nodes take it\n" +
			"no longer, take its roles away in the file of --access.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			file := a.loginFile()
			if file == "" {
				return errNoLoginFile
			}
			err := os.Remove(file)
			if errors.Is(err, os.ErrNotExist) {
				return a.say("nobody is logged in")
			}
			if err != nil {
				return fmt.Errorf("forget the login: %w", err)
			}
			return a.say("the login is forgotten")
		},
	}
}

//nolint:gochecknoglobals // a constant
var errNoLoginFile = usageError{errors.New("there is no folder to keep a login in: name a file with --login-file")}

// loginFile is where the login is kept: in the configuration folder of the user, if nothing else is said; empty: there is none.
func (a *app) loginFile() string {
	if a.client.login != "" {
		return a.client.login
	}
	var folder, home string
	for _, e := range a.environ() {
		switch name, value, _ := strings.Cut(e, "="); name {
		case "XDG_CONFIG_HOME":
			folder = value
		case "HOME":
			home = value
		}
	}
	if folder == "" && home != "" {
		folder = filepath.Join(home, ".config")
	}
	if folder == "" {
		return ""
	}
	return filepath.Join(folder, "holdfast", "login.json")
}

// sender sends the token that was given, or that of the login; nil: there is none.
func (a *app) sender() *tokens.Sender {
	t := &a.client.token
	if t.Token != "" || t.File != "" || t.Source != nil {
		return t
	}
	file := a.loginFile()
	if _, err := os.Stat(file); file == "" || err != nil {
		return nil
	}
	t.Source = (&login.Keeper{File: file, Now: time.Now}).Token
	return t
}
