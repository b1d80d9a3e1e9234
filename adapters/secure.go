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
		secure := TLS{
			CA: cmp.Or(given.CA, env(CAEnv)), Cert: cmp.Or(given.Cert, env(CertEnv)), Key: cmp.Or(given.Key, env(KeyEnv)),
			ServerName: cmp.Or(given.ServerName, env(ServerNameEnv)),
		}
		if said := env(TLSEnv); said != "" && !*on {
			var err error
			if *on, err = strconv.ParseBool(said); err != nil {
				return nil, fmt.Errorf("%s: %q is neither true nor false", TLSEnv, said)
			}
		}
		if !*on && secure == (TLS{}) {
			return nil, nil // in plain text
		}
		return &secure, nil
	}
}
