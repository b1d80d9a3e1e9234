package adapters

import (
	"cmp"
	"flag"
	"fmt"
	"strconv"

	"github.com/holdfast-run/holdfast/tokens"
)

// The environment variables that say how connections are secured if no flag does; those of the command line have the same names.
const (
	TLSEnv        = "HOLDFAST_TLS"
	CAEnv         = "HOLDFAST_CA"
	CertEnv       = "HOLDFAST_CLIENT_CERT"
	KeyEnv        = "HOLDFAST_CLIENT_KEY"
	ServerNameEnv = "HOLDFAST_SERVER_NAME"
)

// The environment variables that say which token is sent to the nodes, if no flag does: itself, a file that has it, and whether it is sent
// in plain text to other machines, too.
const (
	TokenEnv       = "HOLDFAST_TOKEN"
	TokenFileEnv   = "HOLDFAST_TOKEN_FILE" //nolint:gosec // the name of one
	TokenAnywayEnv = "HOLDFAST_TOKEN_ANYWAY"
)

// tokenFlags are the flags that say which token is sent. What it returns is to be called when they were read: it returns nil if none is.
// The token itself is no flag, which others on the machine could read.
func tokenFlags(flags *flag.FlagSet, env func(string) string) func() (*tokens.Sender, error) {
	file := flags.String("token-file", "", "file with the token that is sent to the nodes; else $"+TokenFileEnv+", or the token $"+TokenEnv)
	anyway := flags.Bool("token-anyway", false, "send it in plain text to other machines, too; else $"+TokenAnywayEnv)
	return func() (*tokens.Sender, error) {
		token, err := TokenOf(env)
		if err != nil || token == nil && *file == "" {
			return nil, err
		}
		if *file != "" {
			token = &tokens.Sender{File: *file, Anyway: token != nil && token.Anyway}
		}
		token.Anyway = token.Anyway || *anyway
		return token, nil
	}
}

// TokenOf is which token an environment, such as os.Getenv, says that is sent; nil: none.
func TokenOf(env func(string) string) (*tokens.Sender, error) {
	token := &tokens.Sender{Token: env(TokenEnv), File: env(TokenFileEnv)}
	if said := env(TokenAnywayEnv); said != "" {
		var err error
		if token.Anyway, err = strconv.ParseBool(said); err != nil {
			return nil, fmt.Errorf("%s: %q is neither true nor false", TokenAnywayEnv, said)
		}
	}
	if token.Token == "" && token.File == "" {
		return nil, nil //nolint:nilnil // none
	}
	return token, nil
}

// secureFlags are the flags that say how connections are secured. What it returns is to be called when they were read: it returns nil if
// they are not.
func secureFlags(flags *flag.FlagSet, env func(string) string) func() (*TLS, error) {
	var given TLS
	on := flags.Bool("tls", false, "secure the connections; implied by the flags that follow; else $"+TLSEnv)
	flags.StringVar(&given.CA, "ca", "",
		"file of the certificates that a node's must be signed by, in PEM; else $"+CAEnv+" (default the system's)")
	flags.StringVar(&given.Cert, "cert", "", "file of the adapter's certificate, in PEM; else $"+CertEnv)
	flags.StringVar(&given.Key, "key", "", "file of its key, in PEM; else $"+KeyEnv)
	flags.StringVar(&given.ServerName, "server-name", "",
		"a name that the certificates of all nodes have; else $"+ServerNameEnv+" (default each has the name at which it is reached)")
	return func() (*TLS, error) {
		secure, err := TLSOf(env)
		if err != nil || secure == nil && !*on && given == (TLS{}) {
			return nil, err
		}
		if secure == nil {
			secure = &TLS{}
		}
		return &TLS{
			CA: cmp.Or(given.CA, secure.CA), Cert: cmp.Or(given.Cert, secure.Cert), Key: cmp.Or(given.Key, secure.Key),
			ServerName: cmp.Or(given.ServerName, secure.ServerName),
		}, nil
	}
}

// TLSOf is how an environment, such as os.Getenv, says that connections are secured; nil: they are not.
func TLSOf(env func(string) string) (*TLS, error) {
	secure, on := TLS{CA: env(CAEnv), Cert: env(CertEnv), Key: env(KeyEnv), ServerName: env(ServerNameEnv)}, false
	if said := env(TLSEnv); said != "" {
		var err error
		if on, err = strconv.ParseBool(said); err != nil {
			return nil, fmt.Errorf("%s: %q is neither true nor false", TLSEnv, said)
		}
	}
	if !on && secure == (TLS{}) {
		return nil, nil //nolint:nilnil // in plain text
	}
	return &secure, nil
}
