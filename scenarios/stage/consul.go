package stage

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Consul is a server of Consul, or an agent, with all that it knows in a folder: it may be killed, and comes back.
type Consul struct {
	*Process

	// Address is where its API is, as host and port.
	Address string
	// Host is where it runs; nil: on this one.
	Host *Host

	dir, gossip string
}

// Wipe has it forget all that it knew, and come back as another one.
func (c *Consul) Wipe(ctx context.Context) error {
	if err := c.Signal(syscall.SIGSTOP); err != nil { // so that it writes nothing more
		return err
	}
	if err := os.RemoveAll(c.dir); err != nil {
		return fmt.Errorf("wipe Consul: %w", err)
	}
	_, err := c.Kill(ctx)
	return err
}

// StartConsul starts one server of Consul with a binary of it, on a host; nil: on this one. It runs until ctx ends, which must be the
// stage's or come from it.
func (s *Stage) StartConsul(ctx context.Context, binary string, at *Host) (*Consul, error) {
	return s.startConsul(ctx, binary, "consul", at, "-server", "-bootstrap-expect=1") // it elects itself at once
}

// StartAgent starts an agent of Consul that asks a server, as StartConsul does that.
func (s *Stage) StartAgent(ctx context.Context, binary, name string, at *Host, server *Consul) (*Consul, error) {
	return s.startConsul(ctx, binary, name, at, "-retry-join="+server.gossip, "-retry-interval=1s")
}

func (s *Stage) startConsul(ctx context.Context, binary, name string, at *Host, args ...string) (*Consul, error) {
	addresses, err := at.addresses(ctx, 3)
	if err != nil {
		return nil, err
	}
	var own string
	var ports []any
	for _, a := range addresses {
		host, port, err := net.SplitHostPort(a)
		if err != nil {
			return nil, fmt.Errorf("port of Consul: %w", err)
		}
		own, ports = host, append(ports, port)
	}
	dir := filepath.Join(s.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("folder of Consul: %w", err)
	}
	config := filepath.Join(s.dir, name+".hcl")
	text := fmt.Sprintf(`ports { http = %s  server = %s  serf_lan = %s  dns = -1  grpc = -1  grpc_tls = -1  serf_wan = -1 }
performance { raft_multiplier = 1 }
disable_update_check = true
enable_debug = false
log_level = "warn"
`, ports...)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("configuration of Consul: %w", err)
	}
	c := &Consul{Address: addresses[0], Host: at, dir: dir, gossip: addresses[2]}
	c.Process, err = s.Start(ctx, Spec{Name: name, Path: binary, Restart: true, Host: at, Args: append([]string{
		"agent", "-node=" + name, "-bind=" + own, "-client=" + own, "-data-dir=" + dir, "-config-file=" + config,
	}, args...)})
	if err != nil {
		return nil, err
	}
	return c, Answers(ctx, "http://"+c.Address+"/v1/catalog/service/consul?consistent")
}

// Keys counts the keys of its store that begin with something: it waits, for a while at most, until there are so many.
func (c *Consul) Keys(ctx context.Context, prefix string, want int, within time.Duration) (count int, err error) {
	for deadline := time.Now().Add(within); ; {
		text, err := get(ctx, "http://"+c.Address+"/v1/kv/"+prefix+"?keys&consistent", nil)
		if err != nil {
			return 0, err
		}
		var keys []string
		if err := json.Unmarshal([]byte(text), &keys); err != nil {
			return 0, fmt.Errorf("keys of Consul: %w", err)
		}
		if len(keys) == want || time.Now().After(deadline) {
			return len(keys), nil
		}
		if err := Pause(ctx, 10*pollEvery); err != nil {
			return 0, err
		}
	}
}
