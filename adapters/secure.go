package adapters

import (
	"cmp"
	"flag"
	"fmt"
	"strconv"
)

// The environment variables that say how connections are secured if no flag does; those of the command line have the same names.
const (
	TLSEnv        = "HOLDFAST_TLS"
	CAEnv         = "HOLDFAST_CA"
	CertEnv       = "HOLDFAST_CLIENT_CERT"
	KeyEnv        = "HOLDFAST_CLIENT_KEY"
	ServerNameEnv = "HOLDFAST_SERVER_NAME"
)

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
