package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/holdfast-run/holdfast/scenarios/constructs"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// worldOf is where cases of the language are run: a node, the adapters that the language has, and all that these lead to.
type worldOf struct {
	log *constructs.Log
	// hosts are those that adapters call; what they call by gRPC is a greeter.
	hosts hostsOf
	// secrets is the folder of those of definitions.
	secrets string
	// binary is that of the node, with env added to its environment, in which it is killed; nil: nobody kills it.
	binary string
	env    []string
}

// begin begins the world, whose files are in a folder.
func (o worldOf) begin(
	ctx context.Context, s *site, st *stage.Stage, dir string,
) (w *constructs.World, node *stage.Node, end func(), err error) {
	if o.hosts.greeter, err = constructs.Greet(o.log); err != nil { //nolint:contextcheck // each call has a context of its own
		return nil, nil, nil, err
	}
	hosts, err := o.hosts.serve(ctx, dir)
	if err != nil {
		return nil, nil, nil, err
	}
	w = &constructs.World{Log: o.log, Fetch: hosts.fetch}
	node, err = st.StartNodeIn(ctx, o.env, o.binary, len(o.env) > 0)
	if err == nil {
		err = startAdapters(ctx, s, st, node.Server, hosts, o.secrets)
	}
	if err == nil {
		w.Conn, err = node.Dial()
	}
	if err == nil {
		if w.Admin, err = node.DialAdmin(); err != nil {
			err = errors.Join(err, w.Conn.Close())
		}
	}
	if err != nil {
		hosts.end()
		return nil, nil, nil, err
	}
	return w, node, func() {
		_ = errors.Join(w.Conn.Close(), w.Admin.Close()) // they fail only if they were closed before
		hosts.end()
	}, nil
}

// startAdapters starts the adapters that the language has.
func startAdapters(ctx context.Context, s *site, st *stage.Stage, server string, hosts *standIns, secrets string) error {
	engine := filepath.Join(s.dir, "engine")
	if err := os.WriteFile(engine, []byte(exampleEngine), 0o700); err != nil { //nolint:gosec // it is a program
		return fmt.Errorf("write what stands in for an engine of containers: %w", err)
	}
	processes := []string{"--engine", engine, "--memory", "-1", "--interpreter", "python=/bin/sh"} // nobody has to have Python
	if hasNode() {
		processes = append(processes, "--interpreter", "javascript=node")
	}
	if os.Geteuid() == 0 { // then it has to have a user
		processes = append(processes, "--user", "65534:65534")
	}
	for name, settings := range map[string][]string{"http": hosts.http, "grpc": hosts.grpc, "shell": processes} {
		args := append([]string{"adapter", name, "--server", server, "--secrets", secrets}, settings...)
		if _, err := st.Start(ctx, stage.Spec{Name: name, Path: s.holdfast, Args: args}); err != nil {
			return err
		}
	}
	return nil
}

// exampleEngine stands in for podman and docker: it says by which options it was asked for the image hello-world, and runs the command of
// any other one.
const exampleEngine = `#!/bin/sh
while [ $# -gt 0 ]; do
	case "$1" in
	--cidfile) printf 0123456789abcdef >"$2"; shift ;;
	--pull|--name) said="$said $1 $2"; shift ;;
	--rm) said="$said $1" ;;
	--entrypoint) entry="$2"; shift ;;
	--label|--memory|--env-file) shift ;;
	hello-world) echo "hello$said"; echo "seen" >&2; exit 0 ;;
	alpine) shift; exec "$entry" "$@" ;;
	esac
	shift
done
exit 125
`
