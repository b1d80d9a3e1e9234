package remoting

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// identity is which names in a certificate are those of nodes: an entry of the list of those who are allowed.
type identity struct {
	// uri is scheme and host of a URI; empty: the identity is a DNS name.
	uri string
	// parts are the segments of the path, or the labels of the name. An asterisk stands for any one of them.
	parts []string
}

// parseIdentity reads an entry of the list: a URI or a DNS name, in which * stands for one whole segment of the path, or for one label.
func parseIdentity(s string) (identity, error) {
	if !strings.Contains(s, "://") {
		parts := strings.Split(strings.ToLower(s), ".")
		for _, p := range parts {
			if p == "" || strings.ContainsAny(p, ":/ ") || p != "*" && strings.Contains(p, "*") {
				return identity{}, fmt.Errorf("%q is not a DNS name; * stands for a whole label", s)
			}
		}
		if !named(parts) {
			return identity{}, fmt.Errorf("%q allows any name", s)
		}
		return identity{parts: parts}, nil
	}
	u, err := url.Parse(s)
	if err != nil {
		return identity{}, fmt.Errorf("identity %q: %w", s, err)
	}
	uri, parts, plain := takeApart(u)
	for _, p := range parts {
		if p != "*" && strings.Contains(p, "*") {
			plain = false
		}
	}
	if !plain || strings.Contains(uri, "*") {
		return identity{}, fmt.Errorf("%q is not a URI with scheme, host and path alone; * stands for a whole segment of the path", s)
	}
	return identity{uri: uri, parts: parts}, nil
}

// named tells whether there is anything but asterisks.
func named(parts []string) bool {
	for _, p := range parts {
		if p != "*" {
			return true
		}
	}
	return false
}

// takeApart returns scheme and host of a URI, and the segments of its path. A URI with anything else is not plain.
func takeApart(u *url.URL) (uri string, parts []string, plain bool) {
	if u.Scheme == "" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Opaque != "" {
		return "", nil, false
	}
	uri = strings.ToLower(u.Scheme + "://" + u.Host)
	path := u.EscapedPath()
	if path == "" || path == "/" {
		return uri, nil, true
	}
	parts = strings.Split(strings.TrimPrefix(path, "/"), "/")
	for _, p := range parts {
		if p == "" || p == "." || p == ".." {
			return "", nil, false
		}
	}
	return uri, parts, true
}

// is tells whether the parts of a name fit.
func (i identity) is(parts []string) bool {
	if len(parts) != len(i.parts) {
		return false
	}
	for n, p := range i.parts {
		whole := parts[n] != "" && !strings.Contains(parts[n], "*")
		if p == "*" && !whole || p != "*" && p != parts[n] {
			return false
		}
	}
	return true
}

var errNotAllowed = errors.New("certificate has no name that is allowed")

// allowed returns the first name in a certificate that is on the list: a URI or a DNS name among its alternative names.
func allowed(list []identity, leaf *x509.Certificate) (string, error) {
	for _, u := range leaf.URIs {
		uri, parts, plain := takeApart(u)
		for _, i := range list {
			if plain && i.uri == uri && i.is(parts) {
				return u.String(), nil
			}
		}
	}
	for _, name := range leaf.DNSNames {
		for _, i := range list {
			if i.uri == "" && i.is(strings.Split(strings.ToLower(name), ".")) {
				return name, nil
			}
		}
	}
	return "", fmt.Errorf("%w: it has URIs %.300q and DNS names %.300q", errNotAllowed, leaf.URIs, leaf.DNSNames)
}
