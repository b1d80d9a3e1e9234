package messages

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/google/uuid"
)

// Interactive is the lowest priority of an order that somebody waits for. Under load such orders are still accepted when
// others no longer are: each bound on acceptance keeps a quarter for them.
const Interactive = 5

// ClientMetadata is the key of the gRPC metadata by which a client says who it is.
const ClientMetadata = "holdfast-client"

// OrderID is the id of an order and of its instance, chosen by the client; or that of an instance of another kind.
type OrderID string

// MaxOrderID is the length of the longest OrderID, in bytes.
const MaxOrderID = 128

// Kind says what an instance is. One that is no order has an id that begins with its kind and a slash, which no client can choose.
type Kind string

// KindOrder is the kind of orders.
const KindOrder Kind = ""

// Kind returns that of the instance which has this id.
func (id OrderID) Kind() Kind {
	kind, _, other := strings.Cut(string(id), "/")
	if !other {
		return KindOrder
	}
	return Kind(kind)
}

// NewOrderID makes a time-ordered id.
func NewOrderID() OrderID { return OrderID(uuid.Must(uuid.NewV7()).String()) }

// Validate says what is wrong with the id of an order.
func (id OrderID) Validate() error {
	if id == "" {
		return errors.New("is empty: give each order an id of its own")
	}
	if len(id) > MaxOrderID {
		return fmt.Errorf("has %d bytes, more than %d", len(id), MaxOrderID)
	}
	for i := range len(id) {
		c := id[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '~', c == '-':
		default:
			return fmt.Errorf("has the byte %q at %d: only A-Z a-z 0-9 . _ ~ - are allowed", c, i)
		}
	}
	return nil
}

// Key makes an idempotency key of the order's, for what is done at a place in it.
func (id OrderID) Key(place string) string { return string(id) + ":" + place }

// HasKey tells whether an idempotency key is one of the order's. No id has a colon in it.
func (id OrderID) HasKey(key string) bool {
	of, _, _ := strings.Cut(key, ":")
	return of == string(id)
}

// Handle is the journal's own name for an order: unique, and rising with the time of acceptance, so that writes append.
type Handle [16]byte

// lastHandle is the time of the handle that was made last: milliseconds since 1970, and 4096ths of one.
var lastHandle atomic.Int64 //nolint:gochecknoglobals // of the process, so that its handles rise

// NewHandle makes a handle for an order of a partition that is accepted at a time: a UUID of version 7, whose last byte is the partition.
// It is greater than all that this process has made before, even if the time is not.
func NewHandle(p Partition, at time.Time) Handle {
	const fraction = 12 // bits
	ms := at.UnixMilli()
	made := ms<<fraction | (at.UnixNano()-ms*int64(time.Millisecond))<<fraction/int64(time.Millisecond)
	for last := lastHandle.Load(); ; last = lastHandle.Load() {
		made = max(made, last+1)
		if lastHandle.CompareAndSwap(last, made) {
			break
		}
	}
	const version = 7
	h := Handle(uuid.New())
	binary.BigEndian.PutUint64(h[:], uint64(made)>>fraction<<16|version<<fraction|uint64(made)&(1<<fraction-1)) //nolint:gosec // since 1970
	h[len(h)-1] = byte(p)                                                                                       //nolint:gosec // there are 256
	return h
}

// Partition returns the partition that the handle was made for. Journals on one node may have older handles, whose last byte says nothing.
func (h Handle) Partition() Partition { return Partition(h[len(h)-1]) }

// HandleAt returns the least handle that an order accepted at t or later can have.
func HandleAt(t time.Time) Handle {
	var h Handle
	ms := uint64(max(t.UnixMilli(), 0))
	for i := range 6 {
		h[i] = byte(ms >> (8 * (5 - i)))
	}
	return h
}

func (h Handle) String() string { return hex.EncodeToString(h[:]) }

// Time returns when the handle was made, to the millisecond.
func (h Handle) Time() time.Time {
	ms := int64(0)
	for _, b := range h[:6] {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms)
}

// IsZero tells whether h names no order.
func (h Handle) IsZero() bool { return h == Handle{} }

// Partition is a hash slot: the unit of ownership and recovery.
type Partition uint16

// Partitions is the number of partitions. It can't be changed once a journal exists.
const Partitions = 256

// PartitionOf returns the partition of an order: by its key if it has one, else by its id.
func PartitionOf(id OrderID, orderKey string) Partition {
	s := orderKey
	if s == "" {
		s = string(id)
	}
	return Partition(xxhash.Sum64String(s) % Partitions)
}

// Validate says what is wrong with a partition.
func (p Partition) Validate() error {
	if p >= Partitions {
		return fmt.Errorf("partition is %d: it must be below %d", p, Partitions)
	}
	return nil
}

// Epoch rises each time a partition changes its owner. Its upper 24 bits are a generation: a number of the whole journal, which
// rises when that was restored from a copy. So no epoch is ever used twice.
type Epoch uint64

// generationShift is how many bits of an epoch count within a generation.
const generationShift = 40

// Generation is one between two restores of a journal.
type Generation uint32

// Next returns the epoch that follows in a generation, which is that of e or a later one.
func (e Epoch) Next(g Generation) Epoch { return max(e, Epoch(g)<<generationShift) + 1 }

// Generation returns the generation of the epoch.
func (e Epoch) Generation() Generation { return Generation(e >> generationShift) }

// Incarnation names one opening of a journal by a node: what commits there does so in its name.
type Incarnation string

// NewIncarnation makes one of a node.
func NewIncarnation(node NodeID) Incarnation {
	return Incarnation(string(node) + "/" + uuid.Must(uuid.NewV7()).String())
}

// Node returns the node whose incarnation it is.
func (i Incarnation) Node() NodeID {
	node, _, _ := strings.Cut(string(i), "/")
	return NodeID(node)
}

// Version counts the events of one order; the first event has version 1.
type Version uint64

// NodeID names one run of a node.
type NodeID string

// DefinitionRef names a definition.
type DefinitionRef struct{ Namespace, Name, Version string }

// Latest is the version that stands for the highest one deployed.
const Latest = "latest"

func (r DefinitionRef) String() string { return r.Namespace + "/" + r.Name + ":" + r.Version }

// RefOf returns how something is called that bears the name of a definition.
func RefOf(x interface {
	GetNamespace() string
	GetName() string
	GetVersion() string
},
) DefinitionRef {
	return DefinitionRef{Namespace: x.GetNamespace(), Name: x.GetName(), Version: x.GetVersion()}
}

// ParseDefinitionRef reads namespace/name:version. Without a version it means the latest.
func ParseDefinitionRef(s string) (DefinitionRef, error) {
	path, version, found := strings.Cut(s, ":")
	if !found {
		version = Latest
	}
	namespace, name, found := strings.Cut(path, "/")
	if !found || namespace == "" || name == "" || version == "" || strings.Contains(name, "/") {
		return DefinitionRef{}, fmt.Errorf("%q is not of the form namespace/name:version", s)
	}
	return DefinitionRef{Namespace: namespace, Name: name, Version: version}, nil
}

// Death is of an adapter process that was lost with an attempt, and may have died of it. Alone: it executed nothing else.
type Death struct {
	Process string
	Alone   bool
}
