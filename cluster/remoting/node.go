package remoting

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/holdfast-run/holdfast/messages"
)

// Node is a node in one of its lives. What is sent to it never reaches another one that has the address after it.
type Node struct {
	// Address is where it is reached, as host:port.
	Address string
	// Incarnation is which of the lives of that node it is.
	Incarnation messages.Incarnation
}

// String returns what ParseNode reads. It is how envelopes name who asks.
func (n Node) String() string { return n.Address + "/" + string(n.Incarnation) }

// ParseNode reads what Node.String has made.
func ParseNode(s string) (Node, error) {
	address, incarnation, _ := strings.Cut(s, "/")
	n := Node{Address: address, Incarnation: messages.Incarnation(incarnation)}
	return n, n.validate()
}

// maxName bounds an address, and an incarnation, in bytes.
const maxName = 256

func (n Node) validate() error {
	host, port, err := net.SplitHostPort(n.Address)
	if err != nil {
		return fmt.Errorf("address of a node: %w", err)
	}
	var errs []error
	if p, err := strconv.ParseUint(port, 10, 16); host == "" || err != nil || p == 0 {
		errs = append(errs, fmt.Errorf("address %q of a node is not host:port", n.Address))
	}
	for _, name := range []string{n.Address, string(n.Incarnation)} {
		if len(name) > maxName || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
			errs = append(errs, fmt.Errorf("name %.80q of a node has more than %d bytes, or other characters than those of ASCII", name, maxName))
		}
	}
	switch {
	case n.Incarnation == "":
		errs = append(errs, errors.New("node has no incarnation"))
	case strings.Contains(n.Address, "/"):
		errs = append(errs, fmt.Errorf("address %q of a node has a slash", n.Address))
	}
	return errors.Join(errs...)
}

// loopback tells whether an address is one of this machine, which the network does not reach.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
