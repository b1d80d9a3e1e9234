package pebble

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/rows"
)

// indexKinds are the kinds of keys that follow from an order's rows.
var indexKinds = []byte{
	kindByStatus, kindByName, kindDirectory, kindByKey, kindByLabel, kindOpen, kindDue, kindOverflow, kindQueue, kindIntake,
}

// walk looks at everything in the store.
func (v *verifier) walk() error {
	if err := checkFormat(v.db); err != nil {
		v.keyProblemf([]byte{kindFormat}, "the format of the journal: %s", told(err))
	}
	for _, part := range []func() error{v.kinds, v.owners, v.numbers, v.definitions, v.limits, v.audit, v.orders} {
		if err := part(); err != nil {
			return err
		}
	}
	for _, kind := range indexKinds {
		if err := v.strays(kind); err != nil {
			return err
		}
	}
	return nil
}

// kinds looks for keys of unknown kinds.
func (v *verifier) kinds() error {
	known := slices.Concat(numberKinds, indexKinds,
		[]byte{kindFormat, kindIdentity, kindOwner, kindDefinition, kindLimit, kindAudit, kindOrder, kindRecord})
	for kind := range 256 {
		if slices.Contains(known, byte(kind)) {
			continue
		}
		upper := []byte{byte(kind + 1)}
		if kind == 255 {
			upper = nil
		}
		if err := v.each([]byte{byte(kind)}, upper, func(key, _ []byte) { v.keyProblemf(key, "no such kind of key") }); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) owners() error {
	return v.each([]byte{kindOwner}, []byte{kindOwner + 1}, func(key, value []byte) {
		if len(key) != 3 || key[1] != 0 || len(value) < epochSize {
			v.keyProblemf(key, "not the owner of a partition")
		}
	})
}

// numberKinds are the kinds of which there is one key at most, a number.
var numberKinds = []byte{kindCatalog, kindGeneration, kindPosition, kindLevel}

func (v *verifier) numbers() error {
	for _, kind := range numberKinds {
		if err := v.each([]byte{kind}, []byte{kind + 1}, func(key, value []byte) {
			if len(key) != 1 || len(value) != 8 {
				v.keyProblemf(key, "not a number of the journal")
				return
			}
			switch number := binary.BigEndian.Uint64(value); kind {
			case kindGeneration:
				v.report.Generation = messages.Generation(number) //nolint:gosec // it was one
			case kindLevel:
				v.report.FeatureLevel = uint32(number) //nolint:gosec // it was one
			}
		}); err != nil {
			return err
		}
	}
	return v.each([]byte{kindIdentity}, []byte{kindIdentity + 1}, func(key, value []byte) {
		id, err := uuid.FromBytes(value)
		if len(key) != 1 || err != nil {
			v.keyProblemf(key, "not the identity of the journal")
			return
		}
		v.report.Journal = id.String()
	})
}

func (v *verifier) definitions() error {
	return v.each([]byte{kindDefinition}, []byte{kindDefinition + 1}, func(key, value []byte) {
		v.report.Definitions++
		var row journalv1.DefinitionRow
		if err := proto.Unmarshal(value, &row); err != nil {
			v.keyProblemf(key, "definition can't be decoded: %v", err)
			return
		}
		ref := messages.RefOf(&row)
		if !bytes.Equal(key, definitionKey(ref)) {
			v.keyProblemf(key, "holds the definition %s", ref)
		}
		if v.Definition != nil {
			if err := v.Definition(&row); err != nil {
				v.keyProblemf(key, "%v", err)
			}
		}
	})
}

func (v *verifier) limits() error {
	return v.each([]byte{kindLimit}, []byte{kindLimit + 1}, func(key, value []byte) {
		var row journalv1.LimitRow
		if err := proto.Unmarshal(value, &row); err != nil {
			v.keyProblemf(key, "limit can't be decoded: %v", err)
		} else if string(key[1:]) != row.GetActivity() {
			v.keyProblemf(key, "holds the limit of %s", row.GetActivity())
		}
	})
}

// orders walks through histories and rows side by side.
func (v *verifier) orders() error {
	rows, err := v.db.NewIterWithContext(v.ctx, &pebble.IterOptions{LowerBound: []byte{kindOrder}, UpperBound: []byte{kindOrder + 1}})
	if err != nil {
		return engineError("iterate", err)
	}
	rows.First()
	// rowsBefore deals with the rows before h, which have no history.
	rowsBefore := func(h []byte) {
		for ; rows.Valid() && (h == nil || bytes.Compare(rows.Key()[1:], h) < 0); rows.Next() {
			v.keyProblemf(rows.Key(), "an order has a row and no history")
			v.report.Orders++
		}
	}
	current := Order{}
	version, whole := messages.Version(0), true
	finish := func() {
		if version == 0 {
			return
		}
		rowsBefore(current.Handle[:])
		v.report.Orders++
		if !rows.Valid() || !bytes.Equal(rows.Key()[1:], current.Handle[:]) {
			v.orderProblemf(current.Handle, "has a history and no row")
			return
		}
		current.Row = new(journalv1.OrderRow)
		if err := unmarshalValue(rows, current.Row); err != nil {
			v.orderProblemf(current.Handle, "row can't be decoded: %v", err)
		} else {
			v.order(&current, whole)
		}
		rows.Next()
	}
	err = v.each([]byte{kindRecord}, []byte{kindRecord + 1}, func(key, value []byte) {
		h, first, err := parseRecordKey(key)
		if err != nil {
			v.keyProblemf(key, "%v", err)
			return
		}
		if h != current.Handle || version == 0 {
			finish()
			current, version, whole = Order{Handle: h, Records: current.Records[:0]}, 1, true
		}
		var r *journalv1.Record
		if r, version = v.record(h, first, version, value); r == nil {
			whole = false
		} else {
			current.Records = append(current.Records, r)
		}
	})
	finish()
	rowsBefore(nil)
	if closeErr := rows.Close(); closeErr != nil {
		v.keyProblemf([]byte{kindOrder}, "the rows of orders can't be read: %v", closeErr)
	}
	return err
}

func unmarshalValue(it *pebble.Iterator, m proto.Message) error {
	value, err := it.ValueAndErr()
	if err != nil {
		return err //nolint:wrapcheck // the caller says of what
	}
	return proto.Unmarshal(value, m) //nolint:wrapcheck // the caller says of what
}

// record looks at one record that should have the version want, and returns the version that the next should have. It
// returns no record if the history is not whole.
func (v *verifier) record(h messages.Handle, first, want messages.Version, value []byte) (*journalv1.Record, messages.Version) {
	v.report.Records++
	events, err := persistence.CheckRecord(h, first, value)
	if err != nil {
		v.orderProblemf(h, "%v", err)
		return nil, first + 1
	}
	v.report.Events += int64(events)
	next := first + messages.Version(events) //nolint:gosec // at least 1
	if first != want {
		v.orderProblemf(h, "the record at version %d should be at %d", first, want)
		return nil, next
	}
	r := new(journalv1.Record)
	if err := proto.Unmarshal(value, r); err != nil {
		v.orderProblemf(h, "the record at version %d can't be decoded: %v", first, err)
		return nil, next
	}
	return r, next
}

// order looks at the rows of one order.
func (v *verifier) order(o *Order, whole bool) {
	if v.unreadable >= maxUnreadable {
		return
	}
	if err := rows.Check(o.Row); err != nil {
		v.orderProblemf(o.Handle, "%v", err)
		return
	}
	p := messages.Partition(o.Row.GetPartition()) //nolint:gosec // checked above
	open := new(journalv1.OpenRow)
	switch err := get(v.db, appendOpenKey(nil, p, o.Handle), open); {
	case err == nil:
		o.Open = open
		v.report.Open++
	case !errors.Is(err, persistence.ErrNotFound):
		v.lost()
		v.orderProblemf(o.Handle, "open row can't be read: %v", err)
		return
	}
	if err := rows.Agree(o.Row, o.Open); err != nil {
		v.orderProblemf(o.Handle, "%v", err)
	}
	v.directory(o, p)
	v.intake(o, p, whole)
	for _, key := range indexKeys(o.Handle, o.Row, o.Open) {
		if v.has(key) {
			v.expected[key[0]]++
		} else {
			v.orderProblemf(o.Handle, "is missing in an index: there is no key %x", key)
		}
	}
	if v.Fold != nil && whole {
		if err := v.Fold(*o); err != nil {
			v.orderProblemf(o.Handle, "%v", err)
		}
	}
}

// intake looks for an order where those are that the owner of the partition has not decided anything about.
func (v *verifier) intake(o *Order, p messages.Partition, whole bool) {
	key := appendIntakeKey(nil, p, o.Handle)
	if !v.has(key) {
		return
	}
	v.expected[kindIntake]++
	if whole && (o.Open == nil || len(o.Records) != 1 || len(o.Records[0].GetEvents()) != 1) {
		v.orderProblemf(o.Handle, "is in the intake, and more of it was committed than its acceptance")
	}
}

func (v *verifier) directory(o *Order, p messages.Partition) {
	var row journalv1.DirectoryRow
	err := get(v.db, appendDirectoryKey(nil, messages.OrderID(o.Row.GetId())), &row)
	if errors.Is(err, persistence.ErrNotFound) {
		return // indexKeys leads to it.
	}
	entry, entryErr := entryOf(&row)
	switch {
	case err != nil || entryErr != nil:
		v.lost()
		v.orderProblemf(o.Handle, "directory row of %q can't be read: %v", o.Row.GetId(), errors.Join(err, entryErr))
	case entry.Handle != o.Handle || entry.Partition != p:
		v.orderProblemf(o.Handle, "id %q leads to order %s in partition %d", o.Row.GetId(), entry.Handle, entry.Partition)
	}
}

// indexKeys returns the keys that follow from an order's rows.
func indexKeys(h messages.Handle, row *journalv1.OrderRow, open *journalv1.OpenRow) [][]byte {
	p := messages.Partition(row.GetPartition()) //nolint:gosec // checked by the caller
	var keys [][]byte
	for _, x := range rows.OfOpen(rows.OfStatus(rows.OfOrder(nil, row), row), open, open.GetPosition()) {
		keys = append(keys, appendPlaceKey(nil, p, h, x))
	}
	slices.SortFunc(keys, bytes.Compare)
	return slices.CompactFunc(keys, bytes.Equal)
}

// strays looks for keys of an index that no order calls for. There are none if there are no more keys than were found
// when looking for those that orders call for.
func (v *verifier) strays(kind byte) error {
	var found int64
	if v.unreadable >= maxUnreadable {
		return nil // Not all that orders call for was counted.
	}
	if err := v.each([]byte{kind}, []byte{kind + 1}, func(_, _ []byte) { found++ }); err != nil || found == v.expected[kind] {
		return err
	}
	return v.each([]byte{kind}, []byte{kind + 1}, func(key, value []byte) {
		var h messages.Handle
		switch kind {
		case kindDirectory:
			var row journalv1.DirectoryRow
			if err := proto.Unmarshal(value, &row); err != nil {
				v.keyProblemf(key, "directory row can't be decoded: %v", err)
				return
			}
			copy(h[:], row.GetHandle())
		case kindQueue:
			copy(h[:], value)
		default:
			copy(h[:], key[max(0, len(key)-handleSize):])
		}
		row, open := new(journalv1.OrderRow), new(journalv1.OpenRow)
		if err := get(v.db, appendOrderKey(nil, h), row); err != nil {
			v.keyProblemf(key, "leads to order %s, whose row: %v", h, err)
			return
		}
		if rows.Check(row) != nil {
			return // Was reported with the order.
		}
		p := messages.Partition(row.GetPartition()) //nolint:gosec // wrong ones are reported as such
		if get(v.db, appendOpenKey(nil, p, h), open) != nil {
			open = nil
		}
		if !slices.ContainsFunc(append(indexKeys(h, row, open), appendIntakeKey(nil, p, h)), func(k []byte) bool { return bytes.Equal(k, key) }) {
			v.keyProblemf(key, "leads to order %s, which does not call for it", h)
		}
	})
}
