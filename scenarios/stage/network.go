package stage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
)

// Network is hosts of its own on this machine, which can be cut off from each other. Each is a network namespace of Linux, and all are
// joined by a bridge in one more, to which this process is joined as well. What is said there leaves the machine nowhere.
type Network struct {
	name string // begins the names of its namespaces
	link string // by which this process is joined
	all  netip.Prefix

	namespaces []string
	hosts      int
}

// Host is one of the hosts of a network.
type Host struct {
	// Address is the host's own.
	Address netip.Addr

	namespace string
	ports     int // that are used
}

// networks counts the networks of this process.
var networks atomic.Int64

// hub is the name of the namespace with the bridge, behind that of the network.
const hub = "hub"

// NoNetwork says why there can be no Network here; empty: there can.
func NoNetwork(ctx context.Context) string {
	if os.Geteuid() != 0 {
		return "only root can make network namespaces"
	}
	for _, program := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(program); err != nil {
			return program + " is not installed"
		}
	}
	name := fmt.Sprintf("holdfast-%d-%d-try", os.Getpid(), networks.Add(1))
	if err := ip(ctx, "netns", "add", name); err != nil {
		return err.Error()
	}
	if err := ip(ctx, "netns", "del", name); err != nil {
		return err.Error()
	}
	return ""
}

// NewNetwork makes a network without hosts. It removes those that processes have left which are gone. Close it.
func NewNetwork(ctx context.Context) (*Network, error) {
	if err := removeOld(ctx); err != nil {
		return nil, err
	}
	all, err := freeNetwork(ctx)
	if err != nil {
		return nil, err
	}
	pid, number := os.Getpid(), networks.Add(1)
	n := &Network{name: fmt.Sprintf("holdfast-%d-%d", pid, number), link: fmt.Sprintf("hf%d-%d", pid, number), all: all}
	at, err := n.namespace(ctx, hub)
	if err == nil {
		err = ips(ctx,
			"-n "+at+" link add bridge type bridge",
			"-n "+at+" link set bridge up",
			"-n "+at+" link add here type veth peer name "+n.link+" netns "+strconv.Itoa(pid),
			"-n "+at+" link set here master bridge up",
			"addr add "+n.Here().String()+" dev "+n.link,
			"link set "+n.link+" up",
		)
	}
	if err != nil {
		return nil, errors.Join(err, n.Close()) //nolint:contextcheck // it is removed in any case
	}
	return n, nil
}

// Here is the address of this process, within the network.
func (n *Network) Here() netip.Prefix { return netip.PrefixFrom(n.all.Addr().Next(), n.all.Bits()) }

// cuts are the rules of a host: what comes from an address of the set is lost on its way.
const cuts = `table inet holdfast {
	set cut { type ipv4_addr; }
	counter lost { }
	chain input { type filter hook input priority filter; policy accept; ip saddr @cut counter name lost drop; }
}
`

// firstPort is below the ports of hosts, which nobody else uses.
const firstPort = 7000

// firstHost is the last part of the address of the first host.
const firstHost = 10

// Host adds a host. Its name is short, as that of an interface.
func (n *Network) Host(ctx context.Context, name string) (*Host, error) {
	at, err := n.namespace(ctx, name)
	if err != nil {
		return nil, err
	}
	address := n.all.Addr().As4()
	address[3] = byte(firstHost + n.hosts) //nolint:gosec // a scenario has few
	n.hosts++
	h := &Host{Address: netip.AddrFrom4(address), namespace: at}
	bridge := n.name + "-" + hub
	if err := ips(ctx,
		"-n "+bridge+" link add "+name+" type veth peer name eth0 netns "+at,
		"-n "+bridge+" link set "+name+" master bridge up",
		"-n "+at+" addr add "+netip.PrefixFrom(h.Address, n.all.Bits()).String()+" dev eth0",
		"-n "+at+" link set lo up",
		"-n "+at+" link set eth0 up",
	); err != nil {
		return nil, err
	}
	_, err = h.nft(ctx, cuts)
	return h, err
}

// addresses returns addresses of the host that are free; nil: of this one, on the loopback.
func (h *Host) addresses(ctx context.Context, count int) (all []string, err error) {
	if h == nil {
		return FreeAddresses(ctx, count)
	}
	for range count {
		h.ports++
		all = append(all, netip.AddrPortFrom(h.Address, uint16(firstPort+h.ports)).String()) //nolint:gosec // few
	}
	return all, nil
}

func (n *Network) namespace(ctx context.Context, name string) (string, error) {
	at := n.name + "-" + name
	if err := ip(ctx, "netns", "add", at); err != nil {
		return "", err
	}
	n.namespaces = append(n.namespaces, at)
	return at, nil
}

// Close removes the network. Whatever runs on its hosts must have ended.
func (n *Network) Close() error {
	ctx := context.Background()
	_ = ip(ctx, "link", "del", n.link) // it is gone already if the bridge never was
	var errs []error
	for _, at := range n.namespaces {
		errs = append(errs, ip(ctx, "netns", "del", at))
	}
	return errors.Join(errs...)
}

// Deafen has the host get nothing more that another one sends it. What it sends itself goes on its way.
func (h *Host) Deafen(ctx context.Context, to *Host) error {
	_, err := h.nft(ctx, "add element inet holdfast cut { "+to.Address.String()+" }\n")
	return err
}

// Hear ends Deafen.
func (h *Host) Hear(ctx context.Context, from *Host) error {
	_, err := h.nft(ctx, "delete element inet holdfast cut { "+from.Address.String()+" }\n")
	return err
}

// Unplug has the host reach nobody, and nobody reach it.
func (h *Host) Unplug(ctx context.Context) error {
	return ip(ctx, "-n", h.namespace, "link", "set", "eth0", "down")
}

// Plug ends Unplug.
func (h *Host) Plug(ctx context.Context) error {
	return ip(ctx, "-n", h.namespace, "link", "set", "eth0", "up")
}

var lostPackets = regexp.MustCompile(`packets (\d+)`)

// Lost counts the packets that were lost on their way to the host.
func (h *Host) Lost(ctx context.Context) (int, error) {
	out, err := h.nft(ctx, "list counter inet holdfast lost\n")
	if err != nil {
		return 0, err
	}
	found := lostPackets.FindSubmatch(out)
	if found == nil {
		return 0, fmt.Errorf("nft says %q: %w", out, errNumber)
	}
	return strconv.Atoi(string(found[1])) //nolint:wrapcheck // it names what it can't read
}

func (h *Host) nft(ctx context.Context, commands string) ([]byte, error) {
	return command(ctx, commands, "netns", "exec", h.namespace, "nft", "-f", "-")
}

// run has what a Spec tells run on the host. It is one process still, as programs replace each other in it.
func (h *Host) run(spec Spec) Spec {
	spec.Args = append([]string{"netns", "exec", h.namespace, spec.Path}, spec.Args...)
	spec.Path = "ip"
	return spec
}

// removeOld removes the networks of processes that are gone.
func removeOld(ctx context.Context) error {
	out, err := command(ctx, "", "netns", "list")
	if err != nil {
		return err
	}
	var errs []error
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		var pid, number int
		if _, err := fmt.Sscanf(name, "holdfast-%d-%d-", &pid, &number); err != nil {
			continue
		}
		if _, err := os.Stat("/proc/" + strconv.Itoa(pid)); errors.Is(err, os.ErrNotExist) {
			errs = append(errs, ip(ctx, "netns", "del", name))
		}
	}
	return errors.Join(errs...)
}

// freeNetwork finds a private network that this machine knows no way to, but the general one.
func freeNetwork(ctx context.Context) (netip.Prefix, error) {
	out, err := command(ctx, "", "-4", "route", "show", "table", "all")
	if err != nil {
		return netip.Prefix{}, err
	}
	const candidates = 256
	for i := range candidates {
		third := byte(os.Getpid() + i) //nolint:gosec // any
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 77, third, 0}), 24)
		if !known(string(out), p) {
			return p, nil
		}
	}
	return netip.Prefix{}, errors.New("no network in 10.77.0.0/16 is free")
}

// known tells whether routes lead to a part of a network.
func known(routes string, p netip.Prefix) bool {
	for word := range strings.FieldsSeq(routes) {
		to, err := netip.ParsePrefix(word)
		if addr, notPrefix := netip.ParseAddr(word); err != nil && notPrefix == nil {
			to, err = addr.Prefix(addr.BitLen())
		}
		if err == nil && to.Bits() > 0 && to.Overlaps(p) {
			return true
		}
	}
	return false
}

func ips(ctx context.Context, lines ...string) error {
	for _, line := range lines {
		if err := ip(ctx, strings.Fields(line)...); err != nil {
			return err
		}
	}
	return nil
}

func ip(ctx context.Context, args ...string) error {
	_, err := command(ctx, "", args...)
	return err
}

// command runs ip, which is done at once.
func command(ctx context.Context, input string, args ...string) ([]byte, error) {
	c := exec.CommandContext(ctx, "ip", args...)
	c.Stdin = strings.NewReader(input)
	var out, failed bytes.Buffer
	c.Stdout, c.Stderr = &out, &failed
	if err := c.Run(); err != nil {
		return nil, fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(failed.Bytes()))
	}
	return out.Bytes(), nil
}
