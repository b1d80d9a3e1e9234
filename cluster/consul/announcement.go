package consul

import (
	"errors"
	"fmt"
	"math/big"
	"net"
	"strconv"

	"github.com/holdfast-run/holdfast/messages"
)

// Announcement is what nodes need to know of each other before they have spoken. It is metadata of the service.
type Announcement struct {
	// Remoting, Public and Adapters are the addresses, host and port, at which other nodes, clients and adapters reach the node.
	Remoting, Public, Adapters string
	// Level is the highest feature level that the node can read.
	Level uint32
	// Weight is the node's share of the partitions, beside the weights of others; 0: it is to have none.
	Weight uint32
	// Drained: its weight is 0 as an operator wants it so, though it stays.
	Drained bool
	// Version is that of the program.
	Version string
	// Shards are the numbers of the journal's databases that the node reaches, in rising order.
	Shards []int
}

// announcedKeys are the keys of the metadata, which Config.Meta can't have.
var announcedKeys = []string{"remoting", "public", "adapters", "level", "weight", "drained", "version", "shards"}

func (a Announcement) validate() error {
	var errs []error
	for _, at := range []struct{ name, address string }{
		{"Remoting", a.Remoting}, {"Public", a.Public}, {"Adapters", a.Adapters},
	} {
		if _, _, err := splitAddress(at.address); err != nil || len(at.address) > mostMetaValue {
			errs = append(errs, fmt.Errorf("consul: %s is %q: it must be a host and a port, as node1:7071", at.name, at.address))
		}
	}
	if len(a.Version) > mostMetaValue {
		errs = append(errs, fmt.Errorf("consul: Version has %d bytes, more than %d", len(a.Version), mostMetaValue))
	}
	for i, shard := range a.Shards {
		if shard < 0 || shard >= messages.Partitions || i > 0 && shard <= a.Shards[i-1] {
			errs = append(errs, fmt.Errorf("consul: Shards are %v: they must be below %d and rise", a.Shards, messages.Partitions))
			break
		}
	}
	return errors.Join(errs...)
}

func splitAddress(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("address %q: %w", address, err)
	}
	number, err := strconv.ParseUint(text, 10, 16)
	if err != nil || number == 0 || host == "" {
		return "", 0, fmt.Errorf("address %q: it must be a host and a port", address)
	}
	return host, int(number), nil
}

// meta returns it as metadata. Shards are bits of a hexadecimal number, as 256 of them would not fit otherwise.
func (a Announcement) meta() map[string]string {
	var shards big.Int
	for _, shard := range a.Shards {
		shards.SetBit(&shards, shard, 1)
	}
	return map[string]string{
		"drained": strconv.FormatBool(a.Drained), "remoting": a.Remoting, "public": a.Public, "adapters": a.Adapters,
		"level": strconv.FormatUint(uint64(a.Level), 10), "weight": strconv.FormatUint(uint64(a.Weight), 10),
		"version": a.Version, "shards": shards.Text(16),
	}
}

// announcementOf reads metadata. A number that can't be read is 0: the node gets no partitions.
func announcementOf(meta map[string]string) Announcement {
	number := func(key string) uint32 {
		n, err := strconv.ParseUint(meta[key], 10, 32)
		if err != nil {
			return 0
		}
		return uint32(n)
	}
	a := Announcement{
		Remoting: meta["remoting"], Public: meta["public"], Adapters: meta["adapters"],
		Level: number("level"), Weight: number("weight"), Version: meta["version"],
		Drained: meta["drained"] == "true",
	}
	shards, ok := new(big.Int).SetString(meta["shards"], 16)
	if !ok || shards.Sign() < 0 {
		return a
	}
	for shard := range messages.Partitions {
		if shards.Bit(shard) == 1 {
			a.Shards = append(a.Shards, shard)
		}
	}
	return a
}
