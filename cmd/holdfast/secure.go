package main

import (
	"github.com/spf13/pflag"

	"github.com/holdfast-run/holdfast/certificates"
)

// secureSettings say how connections to nodes, or to their administration, are secured.
type secureSettings struct {
	certificates.Client

	on     bool
	prefix string // of the flags
}

// flags gives a command the flags of the settings. of is what is connected to.
func (s *secureSettings) flags(flags *pflag.FlagSet, prefix, of string) {
	s.prefix = prefix
	flags.BoolVar(&s.on, prefix+"tls", false, "secure connections to "+of+"; the files and the name that can be given imply it")
	flags.StringVar(&s.CA, prefix+"ca", "", "`file` with the authorities that sign the certificates of "+of+" (those of the system)")
	flags.StringVar(&s.Certificate, prefix+"client-cert", "", "`file` with the certificate that is shown to "+of+", if asked for")
	flags.StringVar(&s.Key, prefix+"client-key", "", "`file` with its key")
	flags.StringVar(&s.ServerName, prefix+"server-name", "", "`name` that the certificates of all nodes have (that of the address)")
	setting(flags, prefix+"tls", prefix+"ca", prefix+"client-cert", prefix+"client-key", prefix+"server-name")
}

// files are the files; nil: connections are in plain text.
func (s *secureSettings) files() *certificates.Client {
	if !s.on && s.CA == "" && s.Certificate == "" && s.Key == "" && s.ServerName == "" {
		return nil
	}
	return &s.Client
}
