package pebble

import (
	"bytes"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// indexKinds are the kinds of keys that follow from an order's rows.
var indexKinds = []byte{kindByStatus, kindByName, kindDirectory, kindByKey, kindByLabel, kindOpen, kindDue, kindOverflow}

// walk looks at everything in the store.
func (v *verifier) walk() error {
	if err := checkFormat(v.db); err != nil {
		v.keyProblemf([]byte{kindFormat}, "the format of the journal: %s", told(err))
	}
	for _, part := range []func() error{v.kinds, v.epochs, v.definitions, v.limits, v.orders} {
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
	known := append([]byte{kindFormat, kindEpoch, kindDefinition, kindLimit, kindOrder, kindRecord}, indexKinds...)
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

func (v *verifier) epochs() error {
	return v.each([]byte{kindEpoch}, []byte{kindEpoch + 1}, func(key, value []byte) {
		if len(key) != 3 || key[1] != 0 || len(value) < epochSize {
			v.keyProblemf(key, "not the epoch of a partition")
		}
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
		ref := messages.DefinitionRef{Namespace: row.GetNamespace(), Name: row.GetName(), Version: row.GetVersion()}
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
	events, err := checkRecord(h, first, value)
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
	p := messages.Partition(o.Row.GetPartition()) //nolint:gosec // checked next
	if o.Row.GetPartition() >= messages.Partitions {
		v.orderProblemf(o.Handle, "row has the partition %d", o.Row.GetPartition())
		return
	}
	if err := checkStrings(o.Row); err != nil {
		v.orderProblemf(o.Handle, "%v", err)
		return
	}
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
	ended := hasEnded(o.Row.GetStatus())
	if (ended && !o.Open.GetHeld()) != (o.Open == nil) || ended != (o.Row.GetEndedAt() != 0) {
		v.orderProblemf(o.Handle, "row has the status %s and ended at %d, and the index of open orders says %t",
			orderv1.Status(o.Row.GetStatus()), o.Row.GetEndedAt(), o.Open != nil)
	}
	if o.Open != nil && o.Open.GetId() != o.Row.GetId() {
		v.orderProblemf(o.Handle, "open row has the id %q, the row %q", o.Open.GetId(), o.Row.GetId())
	}
	v.directory(o, p)
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

func hasEnded(status int32) bool {
	return endedBadly(status) || status == int32(orderv1.Status_STATUS_COMPLETED)
}

// indexKeys returns the keys that follow from an order's rows.
func indexKeys(h messages.Handle, row *journalv1.OrderRow, open *journalv1.OpenRow) [][]byte {
	name := persistence.DefinitionName(row.GetDefinition())
	keys := [][]byte{
		appendDirectoryKey(nil, messages.OrderID(row.GetId())),
		append(appendNamePrefix(nil, name), h[:]...),
	}
	if endedBadly(row.GetStatus()) {
		keys = append(keys, append(appendStatusPrefix(nil, row.GetStatus()), h[:]...))
	}
	if row.GetOrderKey() != "" {
		keys = append(keys, append(appendKeyPrefix(nil, row.GetOrderKey()), h[:]...))
	}
	for _, l := range row.GetLabels() {
		keys = append(keys, append(appendLabelPrefix(nil, l.GetName(), l.GetValue()), h[:]...))
	}
	p := messages.Partition(row.GetPartition()) //nolint:gosec // checked by the caller
	if open != nil {
		keys = append(keys, appendOpenKey(nil, p, h))
	}
	if open.GetDue() != 0 {
		keys = append(keys, appendDueKey(nil, p, open.GetDue(), h))
	}
	for _, o := range open.GetOverflow() {
		keys = append(keys, appendOverflowKey(nil, p, h, o))
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
		if kind == kindDirectory {
			var row journalv1.DirectoryRow
			if err := proto.Unmarshal(value, &row); err != nil {
				v.keyProblemf(key, "directory row can't be decoded: %v", err)
				return
			}
			copy(h[:], row.GetHandle())
		} else if len(key) > handleSize {
			copy(h[:], key[len(key)-handleSize:])
		}
		row, open := new(journalv1.OrderRow), new(journalv1.OpenRow)
		if err := get(v.db, appendOrderKey(nil, h), row); err != nil {
			v.keyProblemf(key, "leads to order %s, whose row: %v", h, err)
			return
		}
		if checkStrings(row) != nil {
			return // Was reported with the order.
		}
		p := messages.Partition(row.GetPartition()) //nolint:gosec // wrong ones are reported as such
		if get(v.db, appendOpenKey(nil, p, h), open) != nil {
			open = nil
		}
		if !slices.ContainsFunc(indexKeys(h, row, open), func(k []byte) bool { return bytes.Equal(k, key) }) {
			v.keyProblemf(key, "leads to order %s, which does not call for it", h)
		}
	})
}
