package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/cluster"
	"github.com/holdfast-run/holdfast/cluster/remoting"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// clusterConfig says how a node is one of several. Without addresses of Consul it is alone.
type clusterConfig struct {
	cluster.Config

	// Name is the node's, which it keeps when it starts again; default: the address at which others reach it.
	Name string
	// Listen is the address at which it takes connections of other nodes; Advertise is how others reach that, by default the same.
	// AdvertiseAPI is how clients and adapters reach the API; default: the address of that.
	Listen, Advertise, AdvertiseAPI string
	TLS                             remoting.TLS
}

func (c *clusterConfig) on() bool { return len(c.Consul.Addresses) > 0 }

func clusterFlags(f *pflag.FlagSet, c *nodeConfig) {
	k := &c.Cluster
	f.StringArrayVar(&k.Consul.Addresses, "consul", nil,
		"`address` of an agent of Consul, as http://127.0.0.1:8500; several times for more, of which one is used")
	f.StringVar(&k.Consul.Service, "cluster", "", "name of the cluster, and of the service in Consul that its nodes are (holdfast)")
	f.StringVar(&k.Name, "node-name", "", "name of the node, which it keeps when it starts again (the address of --advertise)")
	f.StringVar(&k.Listen, "cluster-listen", "127.0.0.1:7470", "`address` for other nodes")
	f.StringVar(&k.Advertise, "advertise", "", "`address` at which other nodes reach this one (that of --cluster-listen)")
	f.StringVar(&k.AdvertiseAPI, "advertise-api", "", "`address` at which clients and adapters reach the API (that of --listen)")
	f.Uint32Var(&k.Announcement.Weight, "weight", 0, "share of the work that the node gets, beside those of others (100)")
	f.StringVar(&k.TLS.Certificate, "cluster-cert", "", "`file` with the certificate by which other nodes know this one")
	f.StringVar(&k.TLS.Key, "cluster-key", "", "`file` with its key")
	f.StringVar(&k.TLS.CA, "cluster-ca", "", "`file` with the authorities that sign the certificates of nodes")
	f.StringArrayVar(&k.TLS.Allow, "cluster-allow", nil,
		"`name` in the certificates of nodes, as spiffe://example.org/holdfast/*; several times for more")
	f.BoolVar(&k.Remoting.Plaintext, "cluster-plaintext", false, "nodes believe each other without proof; on loopback addresses only")
	f.StringVar(&k.Consul.Datacenter, "consul-datacenter", "", "datacenter whose servers of Consul are asked (that of the agent)")
	f.StringVar(&k.Consul.TokenFile, "consul-token-file", "", "`file` with the ACL token for Consul")
	f.StringVar(&k.Consul.TLS.CA, "consul-ca", "", "`file` with the authorities that sign the certificates of Consul's agents")
	f.StringVar(&k.Consul.TLS.Cert, "consul-cert", "", "`file` with the certificate that is shown to Consul")
	f.StringVar(&k.Consul.TLS.Key, "consul-key", "", "`file` with its key")
	f.DurationVar(&k.Consul.TTL, "consul-ttl", 0,
		"how long a node counts as alive that is not heard of; the same for all nodes (3s)")
	f.DurationVar(&k.HandOver, "hand-over", 0,
		"how long a database may answer other nodes and not this one, until this one ends and they take over from it (15s)")
	f.DurationVar(&k.Stand, "stand", 0, "how long the node keeps a share of the work that it took because another node did not (30s)")
}

// complete fills in what follows from other settings.
func (c *clusterConfig) complete(listen string) cluster.Config {
	k := c.Config
	k.Announcement.Remoting = cmp.Or(c.Advertise, c.Listen)
	k.Announcement.Public = cmp.Or(c.AdvertiseAPI, listen)
	k.Announcement.Adapters = k.Announcement.Public
	k.Announcement.Level, k.Announcement.Version = persistence.NewestLevel, version().Version
	k.Remoting.Cluster = cmp.Or(k.Consul.Service, "holdfast")
	if !k.Remoting.Plaintext {
		k.Remoting.TLS = &c.TLS
	}
	return k
}

// nodeName is what the node is called in the cluster.
func (c *clusterConfig) nodeName() messages.NodeID {
	return messages.NodeID(cmp.Or(c.Name, c.Advertise, c.Listen))
}

func (c *nodeConfig) checkCluster(flags *pflag.FlagSet) error {
	k := &c.Cluster
	if !k.on() {
		return nil
	}
	var errs []error
	if len(c.Shared.Shards) == 0 {
		errs = append(errs, errors.New("--consul makes the node one of a cluster, whose nodes share a journal: --journal is missing"))
	}
	if strings.ContainsRune(string(k.nodeName()), '/') {
		errs = append(errs, fmt.Errorf("--node-name is %q: it must not have a slash", k.nodeName()))
	}
	if !k.Remoting.Plaintext {
		errs = append(errs, k.checkCertificates())
	}
	names := flagNames(flags, k)
	maps.Copy(names, derivedFields)
	return errors.Join(append(errs, byNames(k.complete(c.Listen).Validate(), names))...)
}

// checkCertificates says which of the settings are missing without which nodes do not know each other.
func (c *clusterConfig) checkCertificates() error {
	var missing []string
	for flag, value := range map[string]string{
		"--cluster-cert": c.TLS.Certificate, "--cluster-key": c.TLS.Key, "--cluster-ca": c.TLS.CA,
		"--cluster-allow": strings.Join(c.TLS.Allow, ""),
	} {
		if value == "" {
			missing = append(missing, flag)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return fmt.Errorf("%s must be given, as nodes know each other by certificates; to try a cluster out, on loopback addresses, "+
		"give --cluster-plaintext", strings.Join(missing, ", ")) //nolint:err113 // for people
}

// derivedFields are what sets the fields of a cluster's configuration that follow from other settings.
var derivedFields = map[string]string{ //nolint:gochecknoglobals // a table
	"Remoting": "--advertise", "Public": "--advertise-api", "Adapters": "--advertise-api",
	"TLS": "--cluster-cert, --cluster-key, --cluster-ca and --cluster-allow",
}

// place makes the node's placement: alone, or in a cluster.
func (n *node) place(ctx context.Context) (placement actors.Placement, address string, remote actors.Remote, err error) {
	k := &n.config.Cluster
	if !k.on() {
		return cluster.NewSingle(), "", nil, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", k.Listen)
	if err != nil {
		return nil, "", nil, fmt.Errorf("listen for other nodes: %w", err)
	}
	n.member, err = cluster.NewMember(k.complete(n.config.Listen), cluster.Deps{
		Journal: n.shared, Level: func() uint32 { return n.engine.Catalog().Level() },
		Answers:    func(shard int) bool { return n.engine.Answers(shard) },
		Watermarks: n.watermarks, Confirmed: n.shared.Watermarks,
		Listener: listener, Watchdog: n.watchdog, Metrics: n.registry, Log: n.log.With("part", "cluster"), Fatal: n.fail,
	})
	if err != nil {
		return nil, "", nil, err
	}
	return n.member, n.member.Address(), n.member, nil
}

// publishWithin bounds how long a node that ends takes to tell Consul.
const publishWithin = time.Second

// publishLast has Consul know what the journal has confirmed to the node to the last, for those that come later: it is closed.
func (n *node) publishLast(ctx context.Context) {
	if n.watermarks == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishWithin)
	defer cancel()
	if err := n.watermarks.Publish(ctx, n.shared.Incarnation(), n.shared.Watermarks()); err != nil {
		n.log.Warn("Consul is not told what the journal has confirmed last", "error", err)
	}
	n.watermarks.Close()
}
