package memory

import (
	"bytes"
	"fmt"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/rows"
)

// Store is what is kept. Its zero value is not usable.
type Store struct {
	mu     sync.Mutex
	orders map[messages.Handle]*order
	// handles are those of all orders, in their order.
	handles []messages.Handle
	byID    map[messages.OrderID]*order
	open    [messages.Partitions]map[messages.Handle]*order
	// intake are the orders that were accepted without an epoch, and nothing more of them was committed.
	intake map[messages.Handle]*order
	owners [messages.Partitions]persistence.Owner
	fenced map[messages.Incarnation]bool

	definitions map[messages.DefinitionRef]*journalv1.DefinitionRow
	// marks are the versions of the catalogue in which definitions were changed last.
	marks   map[messages.DefinitionRef]uint64
	limits  map[string]*journalv1.LimitRow
	level   uint32
	catalog uint64
	audit   map[string][]persistence.AuditEntry

	generation messages.Generation
	position   persistence.Position
	fallout    persistence.Fallout
}

// order is one order. What its fields point to is never changed.
type order struct {
	entry   persistence.Entry
	row     *journalv1.OrderRow
	open    *journalv1.OpenRow
	records []persistence.StoredRecord
	version messages.Version
}

// NewStore makes an empty store.
func NewStore() *Store {
	s := &Store{
		orders: map[messages.Handle]*order{}, byID: map[messages.OrderID]*order{}, fenced: map[messages.Incarnation]bool{},
		intake:      map[messages.Handle]*order{},
		definitions: map[messages.DefinitionRef]*journalv1.DefinitionRow{}, marks: map[messages.DefinitionRef]uint64{},
		limits: map[string]*journalv1.LimitRow{},
		audit:  map[string][]persistence.AuditEntry{},
		level:  persistence.NewestLevel,
	}
	for p := range s.open {
		s.open[p] = map[messages.Handle]*order{}
	}
	return s
}

// commit makes a commit of an incarnation, or says why not; mu is held.
func (s *Store) commit(by messages.Incarnation, c *persistence.Commit) error {
	if err := c.Check(commitBytes); err != nil {
		return err
	}
	if c.Expected != 0 || c.Epoch != 0 {
		if err := s.check(by, persistence.Holding{Partition: c.Partition, Epoch: c.Epoch}); err != nil {
			return err
		}
	}
	row, open := proto.CloneOf(c.Row), proto.CloneOf(c.Open)
	for _, m := range []proto.Message{row, open} {
		if _, err := proto.Marshal(m); err != nil {
			return fmt.Errorf("commit: encode a row: %w", err)
		}
	}
	o := s.orders[c.Handle]
	switch {
	case c.Expected == 0:
		if taken := s.byID[c.ID]; taken != nil {
			return &persistence.TakenError{Entry: taken.entry}
		}
		if o != nil {
			return fmt.Errorf("%w: handle %s is taken", persistence.ErrConflict, c.Handle)
		}
		o = &order{entry: persistence.Entry{Handle: c.Handle, Partition: c.Partition, ContentHash: bytes.Clone(c.ContentHash)}}
		if c.Epoch == 0 {
			s.intake[c.Handle] = o
		}
		s.orders[c.Handle], s.byID[c.ID] = o, o
		i, _ := slices.BinarySearchFunc(s.handles, c.Handle, compare)
		s.handles = slices.Insert(s.handles, i, c.Handle)
	case o == nil || o.version != c.Expected || o.entry.Partition != c.Partition:
		return fmt.Errorf("%w: order %s does not have version %d", persistence.ErrConflict, c.Handle, c.Expected)
	default:
		delete(s.intake, c.Handle)
	}
	o.records = append(o.records, persistence.StoredRecord{First: c.Expected + 1, Data: bytes.Clone(c.Record)})
	o.version = c.Expected + messages.Version(c.Events) //nolint:gosec // at least 1
	if row != nil {
		s.count(o.row, -1)
		s.count(row, 1)
		o.row = row
	}
	if open != nil || c.Close {
		s.setOpen(o, open)
	}
	return nil
}

// setOpen replaces the open row of an order. An order that joins a queue gets the next position; one that is in it keeps its own.
func (s *Store) setOpen(o *order, open *journalv1.OpenRow) {
	switch {
	case !rows.Queues(open):
	case rows.Queues(o.open) && o.open.GetOrderKey() == open.GetOrderKey():
		open.Position = o.open.GetPosition()
	default:
		s.position++
		open.Position = uint64(s.position)
	}
	if o.open = open; open == nil {
		delete(s.open[o.entry.Partition], o.entry.Handle)
	} else {
		s.open[o.entry.Partition][o.entry.Handle] = o
	}
}

func (s *Store) count(row *journalv1.OrderRow, by int64) {
	if !rows.IsOrder(row.GetId()) {
		return
	}
	if row.GetStatus() == int32(orderv1.Status_STATUS_FAULTED) {
		s.fallout.Faulted += by
	}
	if row.GetInDoubt() {
		s.fallout.InDoubt += by
	}
}

// check makes sure that an incarnation owns a partition under an epoch; mu is held.
func (s *Store) check(by messages.Incarnation, h persistence.Holding) error {
	switch {
	case h.Partition >= messages.Partitions:
		return h.Partition.Validate()
	case s.fenced[by]:
		return persistence.ErrIncarnationFenced
	case s.owners[h.Partition] == persistence.Owner{Epoch: h.Epoch, Incarnation: by}:
		return nil
	}
	return fmt.Errorf("%w: partition %d has the owner %+v, and not epoch %d", persistence.ErrFenced, h.Partition,
		s.owners[h.Partition], h.Epoch)
}

// fence ends the right of an incarnation to commit; mu is held.
func (s *Store) fence(who messages.Incarnation) {
	s.fenced[who] = true
	for p := range s.owners {
		if o := &s.owners[p]; o.Incarnation == who {
			o.Fenced = true
		}
	}
}

// openIn returns the open orders of a partition that are wanted, in the order of their handles; mu is held.
func (s *Store) openIn(p messages.Partition, wanted func(*order) bool) (found []*order) {
	if p >= messages.Partitions {
		return nil
	}
	for _, o := range s.open[p] {
		if wanted(o) {
			found = append(found, o)
		}
	}
	slices.SortFunc(found, func(a, b *order) int { return compare(a.entry.Handle, b.entry.Handle) })
	return found
}

func compare(a, b messages.Handle) int { return bytes.Compare(a[:], b[:]) }

// commitBytes is the size of the largest record.
const commitBytes = 64 << 20
