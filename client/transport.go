package client

import (
	"fmt"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/resolver"

	"github.com/holdfast-run/holdfast/certificates"
)

// transport is what secures the connections.
func (c Config) transport() (credentials.TransportCredentials, error) {
	switch {
	case c.TLS != nil:
		return credentials.NewTLS(c.TLS), nil
	case c.Files != nil:
		files, err := c.Files.Credentials()
		if err != nil {
			return nil, fmt.Errorf("secure the connections: %w", err)
		}
		return files, nil
	default:
		return certificates.Plaintext(), nil
	}
}

// endpoint is a node for gRPC. Its certificate must have the name, or the IP address, at which it is reached, unless all have one name.
func (c Config) endpoint(address string) resolver.Address {
	e := resolver.Address{Addr: address, ServerName: address}
	if c.TLS != nil && c.TLS.ServerName != "" {
		e.ServerName = c.TLS.ServerName
	}
	return e
}
