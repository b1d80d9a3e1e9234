package stage

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/holdfast-run/holdfast/client"
)

// Cluster is several nodes that share Consul and a journal in PostgreSQL.
type Cluster struct {
	Consul *Consul
	Nodes  []*Node

	stage     *Stage
	spec      ClusterSpec
	authority *Authority
}

// ClusterSpec says what a cluster is made of.
type ClusterSpec struct {
	// Holdfast and Consul are the programs, Journal the connection string of the journal.
	Holdfast, Consul, Journal string
	// Nodes is how many nodes there are.
	Nodes int
	// Settings are given to each node, and SettingsOf to one of them, as its number counts; nil: nothing.
	Settings   []string
	SettingsOf func(node int) []string
	// Ahead is by how many seconds the clock of each node is ahead; nil: they are right. The program has to be built for that: the variable
	// CLOCK_AHEAD tells it.
	Ahead []int
	// Env are further variables of each node's environment.
	Env []string
	// Network has Consul and each node be on a host of its own; nil: all are on this one.
	Network *Network
	// Agents has an agent of Consul beside each node; else the nodes ask the server.
	Agents bool
}

// StartCluster starts Consul and the nodes. They run until ctx ends, which must be the stage's or come from it.
func (s *Stage) StartCluster(ctx context.Context, spec ClusterSpec) (*Cluster, error) {
	c := &Cluster{stage: s, spec: spec}
	at, err := spec.host(ctx, "consul")
	if err != nil {
		return nil, err
	}
	if c.Consul, err = s.StartConsul(ctx, spec.Consul, at); err != nil {
		return nil, err
	}
	if c.authority, err = NewAuthority(s.dir); err != nil {
		return nil, err
	}
	for range spec.Nodes {
		if _, err := c.Add(ctx); err != nil {
			return nil, err
		}
	}
	for _, n := range c.Nodes {
		if err := n.Ready(ctx); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// host adds a host; nil: there is no network.
func (spec ClusterSpec) host(ctx context.Context, name string) (*Host, error) {
	if spec.Network == nil {
		return nil, nil //nolint:nilnil // this one
	}
	return spec.Network.Host(ctx, name)
}

// Add starts one more node, and does not wait for it.
func (c *Cluster) Add(ctx context.Context) (*Node, error) {
	name := fmt.Sprintf("node%d", len(c.Nodes)+1)
	host, err := c.spec.host(ctx, name)
	if err != nil {
		return nil, err
	}
	addresses, err := host.addresses(ctx, 3)
	if err != nil {
		return nil, err
	}
	trust, err := c.authority.settings(name)
	if err != nil {
		return nil, err
	}
	env, own := []string{"HOLDFAST_JOURNAL=" + c.spec.Journal}, []string(nil)
	if c.spec.SettingsOf != nil {
		own = c.spec.SettingsOf(len(c.Nodes))
	}
	if c.spec.Ahead != nil {
		env = append(env, fmt.Sprint("CLOCK_AHEAD=", c.spec.Ahead[len(c.Nodes)]))
	}
	env = append(env, c.spec.Env...)
	n := &Node{Server: addresses[0], Admin: addresses[1], Data: filepath.Join(c.stage.dir, name), Host: host}
	consul := c.Consul
	if c.spec.Agents {
		if consul, err = c.stage.StartAgent(ctx, c.spec.Consul, name+"-consul", host, consul); err != nil {
			return nil, err
		}
		n.Agent = consul
	}
	args := []string{
		"node", "--data", n.Data, "--listen", n.Server, "--admin-listen", n.Admin, "--cluster-listen", addresses[2], "--node-name", name,
		"--consul", "http://" + consul.Address,
	}
	if host != nil { // its addresses are no loopback addresses
		args = append(args, "--plaintext", "--admin-plaintext")
	}
	n.Process, err = c.stage.Start(ctx, Spec{
		Name: name, Path: c.spec.Holdfast, Restart: true, Host: host, Env: env, Args: slices.Concat(args, trust, c.spec.Settings, own),
	})
	if err != nil {
		return nil, err
	}
	c.Nodes = append(c.Nodes, n)
	return n, nil
}

// Servers are the addresses of the nodes' APIs.
func (c *Cluster) Servers() (all []string) {
	for _, n := range c.Nodes {
		all = append(all, n.Server)
	}
	return all
}

// Dial makes a connection to all nodes, which goes to those that answer. It tries nothing again by itself, as that to one node. Close it.
func (c *Cluster) Dial() (*client.Client, error) { return dial(c.Servers(), nil) }

// DialAdmin makes such a connection to their administration. Close it.
func (c *Cluster) DialAdmin() (*client.Client, error) {
	var all []string
	for _, n := range c.Nodes {
		all = append(all, n.Admin)
	}
	return dial(all, nil)
}
