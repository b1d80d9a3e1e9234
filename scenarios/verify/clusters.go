package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// cluster is nodes with a Consul and a database of their own.
type cluster struct {
	*stage.Cluster

	database *database
	running  context.Context //nolint:containedctx // it ends with the cluster, and its cause says why
	stage    *stage.Stage
	// atEnd is done when the nodes have ended, and before the database does.
	atEnd []func()
	dir   string
}

// clusterNodes is how many nodes a cluster has.
const clusterNodes = 3

// nodeBack is how long a node that has ended stays away.
const nodeBack = time.Second

// log is the file with the log of a node.
func (c *cluster) log(i int) string { return filepath.Join(c.dir, nodeName(i)+".log") }

func nodeName(i int) string { return fmt.Sprintf("node%d", i+1) }

// startCluster starts a cluster with a folder in dir. It runs until it is ended, also when ctx has ended.
func startCluster(ctx context.Context, s *site, dir string, change func(*cluster, *stage.ClusterSpec) error) (*cluster, error) {
	c := &cluster{}
	var err error
	if c.dir, err = os.MkdirTemp(dir, "verify-cluster-"); err != nil {
		return nil, err //nolint:wrapcheck // it names the folder
	}
	at := *s
	at.dir = c.dir
	if c.database, err = startDatabase(ctx, &at); err != nil {
		return nil, err
	}
	c.running, c.stage = stage.New(context.WithoutCancel(ctx), c.dir)
	spec := stage.ClusterSpec{
		Holdfast: s.holdfast, Consul: s.consul, Journal: c.database.Address(postgresDatabase), Nodes: clusterNodes,
	}
	if err := change(c, &spec); err != nil {
		return nil, errors.Join(err, c.end(false))
	}
	defer context.AfterFunc(ctx, c.stage.Stop)()
	if c.Cluster, err = c.stage.StartCluster(c.running, spec); err != nil { //nolint:contextcheck // it outlives the row
		return nil, errors.Join(why(ctx, err), c.end(false))
	}
	for _, n := range c.Nodes {
		n.StayAway(nodeBack)
	}
	return c, nil
}

// end ends all processes of the cluster. Its folder stays if something has failed.
func (c *cluster) end(passed bool) error {
	c.stage.Stop()
	for _, end := range c.atEnd {
		end()
	}
	err := c.database.stop()
	if passed && err == nil {
		return os.RemoveAll(c.dir) //nolint:wrapcheck // it names the folder
	}
	return err
}

// clusters has the cluster that rows use, one after the other. At full scale each row has one of its own.
type clusters struct{ current *cluster }

// take returns a cluster for a row.
func (c *clusters) take(ctx context.Context, s *site) (*cluster, error) {
	if c.current == nil {
		var err error
		if c.current, err = startCluster(ctx, s, filepath.Dir(s.dir), func(*cluster, *stage.ClusterSpec) error { return nil }); err != nil {
			return nil, err
		}
	}
	return c.current, nil
}

// give ends the cluster, if no other row is to use it.
func (c *clusters) give(s *site, passed bool) error {
	if s.ci() && passed {
		return nil
	}
	return c.end(passed)
}

// end ends the cluster, if there is one.
func (c *clusters) end(passed bool) error {
	if c.current == nil {
		return nil
	}
	last := c.current
	c.current = nil
	return last.end(passed)
}
