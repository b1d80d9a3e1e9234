package outbound

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/holdfast-run/holdfast/adapters"
)

// Allowed says where requests may go.
type Allowed struct {
	all   bool // there is no list, or * is in it
	hosts Hosts
	// resolved are other addresses for host:port.
	resolved map[string]string
	// proxy is the proxy's host:port; "" if there is none.
	proxy string
}

// Hosts are names, addresses and networks, each perhaps with a port.
type Hosts []entry

// entry is a name or a network.
type entry struct {
	name string // "" for a network; "*" for all, "*.x" for all names below
	net  netip.Prefix
	port string // "" for all
}

// refusedByDefault are networks that a request has no business in, unless an entry allows them: this machine, the link, those by which
// clouds tell about themselves, and what is no single machine.
var refusedByDefault = networks("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "100.100.100.200/32", "168.63.129.16/32",
	"192.0.0.192/32", "224.0.0.0/4", "240.0.0.0/4", "::/128", "::1/128", "fe80::/10", "fd00:ec2::/32", "fd20:ce::/32", "64:ff9b::/96",
	"64:ff9b:1::/48", "ff00::/8")

func networks(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// ParseHosts reads a setting that lists hosts. An error names the setting, and says everything that is wrong.
func ParseHosts(setting string, texts []string) (Hosts, error) {
	var all Hosts
	var errs []error
	for _, text := range texts {
		e, err := parseEntry(setting, text)
		errs = append(errs, err)
		all = append(all, e)
	}
	return all, errors.Join(errs...)
}

// Has tells whether a host is listed, by its name, or by its address if it is one. What a name leads to does not count.
func (h Hosts) Has(host, port string) bool {
	if addr, err := netip.ParseAddr(host); err == nil && h.address(addr.Unmap().WithZone(""), port) {
		return true
	}
	return h.name(strings.ToLower(strings.TrimSuffix(host, ".")), port)
}

func newAllowed(c Config) (*Allowed, error) {
	hosts, err := ParseHosts("allow", c.Allow)
	a := &Allowed{all: len(c.Allow) == 0, hosts: hosts, resolved: map[string]string{}, proxy: proxyAddress(c.Proxy)}
	a.all = a.all || slices.Contains(hosts, entry{name: "*"})
	errs := []error{err}
	for _, text := range c.Resolve {
		from, to, found := strings.Cut(text, "=")
		host, port, err1 := net.SplitHostPort(from)
		_, err2 := netip.ParseAddrPort(to)
		if !found || err1 != nil || err2 != nil || host == "" || port == "" {
			errs = append(errs, fmt.Errorf("resolve %q is not of the form HOST:PORT=ADDRESS:PORT", text))
			continue
		}
		a.resolved[net.JoinHostPort(strings.ToLower(host), port)] = to
	}
	return a, errors.Join(errs...)
}

// proxyAddress is where a proxy is reached.
func proxyAddress(proxy string) string {
	u, err := url.Parse(proxy)
	if err != nil || u.Host == "" {
		return ""
	}
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), PortOf(u.Scheme)))
}

// PortOf is the port that a scheme, http or https, has without one.
func PortOf(scheme string) string {
	if scheme == "https" {
		return "443"
	}
	return "80"
}

func parseEntry(setting, text string) (entry, error) {
	wrong := fmt.Errorf("%s %q is no host such as api.example.com or *.example.com, no address, and no network such as 10.0.0.0/8; "+
		"each may have a port", setting, text)
	if p, err := netip.ParsePrefix(text); err == nil {
		return entry{net: p.Masked()}, nil
	}
	host, port := text, ""
	if _, err := netip.ParseAddr(text); err != nil && strings.Contains(text, ":") {
		if host, port, err = net.SplitHostPort(text); err != nil || port == "" {
			return entry{}, wrong
		}
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return entry{net: netip.PrefixFrom(addr, addr.BitLen()), port: port}, nil
	}
	if p, err := netip.ParsePrefix(host); err == nil {
		return entry{net: p.Masked(), port: port}, nil
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "*" {
		return entry{name: name, port: port}, nil
	}
	if name == "" || strings.Contains(strings.TrimPrefix(name, "*."), "*") || strings.ContainsAny(name, "/ :@") {
		return entry{}, wrong
	}
	return entry{name: name, port: port}, nil
}

// Host tells whether a request may go to a host as far as is known before its name is looked up. Where that leads is checked when a
// connection is made.
func (a *Allowed) Host(host, port string) bool {
	if addr, err := netip.ParseAddr(strings.TrimRight(host, ".")); err == nil {
		return a.address(addr, port, a.all)
	}
	if !isName(host) {
		return false
	}
	if a.named(host, port) || a.resolved[net.JoinHostPort(host, port)] != "" {
		return true
	}
	return a.proxy == "" && slices.ContainsFunc(a.hosts, func(e entry) bool { return e.name == "" })
}

// isName tells whether a host is a name in the usual letters: other ways to write an address would be looked up by a proxy, which the list
// does not see.
func isName(host string) bool {
	last := strings.TrimRight(host, ".")
	last = last[strings.LastIndex(last, ".")+1:]
	isNumber := last != "" && last[0] >= '0' && last[0] <= '9'
	return last != "" && !isNumber && strings.IndexFunc(host, func(r rune) bool { return r > unicode.MaxASCII }) < 0
}

// named tells whether a host is allowed by its name.
func (a *Allowed) named(host, port string) bool {
	return a.all || a.hosts.name(strings.ToLower(strings.TrimSuffix(host, ".")), port)
}

// name tells whether a name is listed.
func (h Hosts) name(name, port string) bool {
	for _, e := range h {
		below, isBelow := strings.CutPrefix(e.name, "*.")
		switch {
		case e.name == "" || e.port != "" && e.port != port:
		case e.name == "*", e.name == name, isBelow && strings.HasSuffix(name, "."+below):
			return true
		}
	}
	return false
}

// address tells whether a connection may be made to an address. named: the name that led there is allowed.
func (a *Allowed) address(addr netip.Addr, port string, named bool) bool {
	addr = addr.Unmap().WithZone("")
	if a.hosts.address(addr, port) {
		return true
	}
	for _, p := range refusedByDefault {
		if p.Contains(addr) {
			return false
		}
	}
	return named
}

// address tells whether an address is listed.
func (h Hosts) address(addr netip.Addr, port string) bool {
	for _, e := range h {
		if e.name == "" && e.net.Contains(addr) && (e.port == "" || e.port == port) {
			return true
		}
	}
	return false
}

// ErrForbidden is why a connection is not made.
var ErrForbidden = errors.New("the allow-list does not permit this address")

// Check says what is wrong with the address that a request over HTTP goes to. shown is how it may be told.
func (a *Allowed) Check(u *url.URL, shown string) error {
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return Invalid("the address %s does not begin with http:// or https://", shown)
	case u.User != nil:
		return Invalid("the address holds a name or a password: use \"authentication\" for that")
	}
	if u.Hostname() == "" {
		return adapters.Permanent(adapters.Problem{
			Type: adapters.ErrorTypeCommunication, Title: "No answer", Status: http.StatusServiceUnavailable,
			Detail: fmt.Sprintf("the address %s names no host", shown),
		})
	}
	if !a.Host(strings.ToLower(u.Hostname()), cmp.Or(u.Port(), PortOf(u.Scheme))) {
		return Forbidden("the allow-list of the adapter does not permit %s", shown)
	}
	return nil
}

// Shown is an address as it may be told: without parameters, names and passwords.
func Shown(of *url.URL) string {
	u := *of
	u.RawQuery, u.Fragment, u.User = "", "", nil
	return u.String()
}

// Dial makes a connection, if it may be made. Its error is ErrForbidden if not.
func (a *Allowed) Dial(ctx context.Context, network, to string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(to)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrForbidden, to)
	}
	d := net.Dialer{Timeout: DialTimeout, KeepAlive: 30 * time.Second}
	if at := a.resolved[strings.ToLower(to)]; at != "" {
		to = at
	} else if to != a.proxy {
		_, notName := netip.ParseAddr(host)
		named := a.all || notName != nil && a.named(host, port)
		d.Control = func(_, address string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(address)
			if err != nil || !a.address(at.Addr(), port, named) {
				return fmt.Errorf("%w: %s", ErrForbidden, address)
			}
			return nil
		}
	}
	conn, err := d.DialContext(ctx, network, to)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return conn, nil
}

// DialTimeout is how long it may take to make a connection; a TLS handshake has as long once more.
const DialTimeout = 10 * time.Second
