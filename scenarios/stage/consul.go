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

// Consul is a server of Consul, with all that it knows in a folder: it may be killed, and comes back.
type Consul struct {
	*Process

	// Address is where its API is, as host and port.
	Address string
	// Host is where it runs; nil: on this one.
	Host *Host

	dir string
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
	dir := filepath.Join(s.dir, "consul")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("folder of Consul: %w", err)
	}
	// One server, which elects itself at once; what it writes to the network stays on this machine.
	config := filepath.Join(s.dir, "consul.hcl")
	text := fmt.Sprintf(`ports { http = %s  server = %s  serf_lan = %s  dns = -1  grpc = -1  grpc_tls = -1  serf_wan = -1 }
performance { raft_multiplier = 1 }
disable_update_check = true
enable_debug = false
log_level = "warn"
`, ports...)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("configuration of Consul: %w", err)
	}
	c := &Consul{Address: addresses[0], Host: at, dir: dir}
	c.Process, err = s.Start(ctx, Spec{Name: "consul", Path: binary, Restart: true, Host: at, Args: []string{
		"agent", "-server", "-bootstrap-expect=1", "-bind=" + own, "-client=" + own, "-data-dir=" + dir, "-config-file=" + config,
	}})
	if err != nil {
		return nil, err
	}
	return c, Answers(ctx, "http://"+c.Address+"/v1/catalog/service/consul?consistent")
}

// Keys counts the keys of its store that begin with something: it waits, for a while at most, until there are so many.
func (c *Consul) Keys(ctx context.Context, prefix string, want int, within time.Duration) (count int, err error) {
	for deadline := time.Now().Add(within); ; {
		text, err := get(ctx, "http://"+c.Address+"/v1/kv/"+prefix+"?keys&consistent")
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
