package pebble

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// Source is a journal that no node has open, to be moved elsewhere. It is locked, and nothing in it is changed but that it was moved.
type Source struct {
	verifier *verifier
	lock     *pebble.Lock
	summary  persistence.Summary
}

// errDamagedSource is why a journal is not moved.
var errDamagedSource = errors.New("the journal is damaged, and is not moved as long as it is")

// OpenSource verifies a journal, and opens it to be moved. It must be closed. If it is damaged, the report says in what.
func OpenSource(ctx context.Context, c Check) (*Source, Report, error) {
	misfit := error(nil)
	fold := c.Fold
	c.Fold = func(o Order) error {
		if h := o.Handle; uint32(h.Partition()) != o.Row.GetPartition() && misfit == nil {
			misfit = fmt.Errorf("order %s was accepted by a version that named orders otherwise (%s): a journal that has such orders can't be moved",
				o.Row.GetId(), h)
		}
		if fold == nil {
			return nil
		}
		return fold(o)
	}
	v, err := newVerifier(ctx, c)
	if err != nil {
		return nil, Report{}, err
	}
	lock, err := lockDir(v.FS, v.Dir)
	if err != nil {
		return nil, Report{}, err
	}
	s := &Source{verifier: v, lock: lock}
	err = v.run(lock) //nolint:contextcheck // a default that ends the process, which is not used here
	switch {
	case err != nil:
	case v.report.ProblemCount > 0:
		err = errDamagedSource
	case misfit != nil:
		err = misfit
	case v.seal.state == stateCopy:
		err = v.seal.checkRuns(v.Dir)
	case v.report.Journal == "":
		err = fmt.Errorf("the journal in %s has no identity yet: start a node of this version on it once, and stop it", v.Dir)
	default:
		err = s.summarize()
	}
	if err != nil {
		return nil, v.report, errors.Join(err, s.Close())
	}
	return s, v.report, nil
}

// Close gives the journal up.
func (s *Source) Close() error { return errors.Join(s.verifier.close(), s.lock.Close()) }

// Summary tells of the journal.
func (s *Source) Summary() persistence.Summary { return s.summary }

func (s *Source) summarize() error {
	v, r := s.verifier, s.verifier.report
	var o owners
	if err := o.load(v.db); err != nil {
		return err
	}
	position, err := getNumber(v.db, kindPosition)
	if err != nil {
		return err
	}
	s.summary = persistence.Summary{
		Journal: r.Journal, Digest: r.Digest, FeatureLevel: r.FeatureLevel, Generation: r.Generation,
		Position: persistence.Position(position), Orders: r.Orders, Records: r.Records, Definitions: r.Definitions,
	}
	for p := range o.all {
		s.summary.Epochs[p] = o.all[p].Epoch
	}
	if v.seal.state == stateMoved {
		s.summary.MovedTo, _, _ = strings.Cut(v.seal.note, " ")
	}
	return s.months()
}

// months finds the months in which orders were accepted.
func (s *Source) months() error {
	it, err := s.verifier.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kindOrder}, UpperBound: []byte{kindOrder + 1}})
	if err != nil {
		return readError("look for the months of the orders", err)
	}
	for valid := it.First(); valid; {
		h, err := handleAtEnd(it.Key(), 1)
		if err != nil {
			return errors.Join(persistence.DecodeError("rows of orders", err), it.Close())
		}
		at := h.Time().UTC()
		month := time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC)
		s.summary.Months = append(s.summary.Months, month)
		valid = it.SeekGE(appendOrderKey(nil, messages.HandleAt(month.AddDate(0, 1, 0))))
	}
	return readError("look for the months of the orders", it.Close())
}

// MarkMoved notes that the journal was moved into another one. No node can open it from then on.
func (s *Source) MarkMoved(to string) error {
	v := s.verifier
	moved := v.seal
	moved.state, moved.note = stateMoved, to+" "+time.Now().UTC().Format(time.RFC3339)
	return writeSeal(v.FS, v.Dir, moved)
}

// Orders yields all orders behind a handle, in the order of their handles.
func (s *Source) Orders(ctx context.Context, after messages.Handle) iter.Seq2[persistence.WholeOrder, error] {
	return func(yield func(persistence.WholeOrder, error) bool) {
		lower := append(appendOrderKey(nil, after), 0)
		if err := s.each(ctx, lower, kindOrder, func(key, value []byte) (bool, error) {
			o, err := s.order(key, value)
			if err != nil {
				return false, err
			}
			return yield(o, nil), nil
		}); err != nil {
			yield(persistence.WholeOrder{}, fmt.Errorf("read the orders: %w", err))
		}
	}
}

func (s *Source) order(key, value []byte) (o persistence.WholeOrder, err error) {
	db := s.verifier.db
	h, err := handleAtEnd(key, 1)
	if err != nil {
		return o, persistence.DecodeError("rows of orders", err)
	}
	o.Row = new(journalv1.OrderRow)
	if err := proto.Unmarshal(value, o.Row); err != nil {
		return o, persistence.DecodeError("row of order "+h.String(), err)
	}
	var entry journalv1.DirectoryRow
	if err := get(db, appendDirectoryKey(nil, messages.OrderID(o.Row.GetId())), &entry); err != nil {
		return o, fmt.Errorf("find order %s: %w", o.Row.GetId(), err)
	}
	if o.Entry, err = entryOf(&entry); err != nil {
		return o, persistence.DecodeError("directory row of order "+o.Row.GetId(), err)
	}
	o.Open = new(journalv1.OpenRow)
	switch err := get(db, appendOpenKey(nil, o.Partition, h), o.Open); {
	case errors.Is(err, persistence.ErrNotFound):
		o.Open = nil
	case err != nil:
		return o, err
	}
	o.Intake, err = has(db, appendIntakeKey(nil, o.Partition, h))
	return o, err
}

// Records yields all records behind a place, in the order of their places.
func (s *Source) Records(ctx context.Context, after persistence.RecordPlace) iter.Seq2[persistence.PlacedRecord, error] {
	return func(yield func(persistence.PlacedRecord, error) bool) {
		lower := append(appendRecordKey(nil, after.Handle, after.First), 0)
		if err := s.each(ctx, lower, kindRecord, func(key, value []byte) (bool, error) {
			r := persistence.PlacedRecord{Data: value}
			var err error
			if r.Handle, r.First, err = parseRecordKey(key); err != nil {
				return false, persistence.DecodeError("history", err)
			}
			if r.Events, err = persistence.CheckRecord(r.Handle, r.First, value); err != nil {
				return false, err
			}
			return yield(r, nil), nil
		}); err != nil {
			yield(persistence.PlacedRecord{}, fmt.Errorf("read the histories: %w", err))
		}
	}
}

// AllDefinitions yields all definitions.
func (s *Source) AllDefinitions(ctx context.Context) iter.Seq2[*journalv1.DefinitionRow, error] {
	return sourceRows[journalv1.DefinitionRow](ctx, s, kindDefinition)
}

// AllLimits yields all limits.
func (s *Source) AllLimits(ctx context.Context) iter.Seq2[*journalv1.LimitRow, error] {
	return sourceRows[journalv1.LimitRow](ctx, s, kindLimit)
}

func sourceRows[T any, M interface {
	*T
	proto.Message
}](ctx context.Context, s *Source, kind byte) iter.Seq2[M, error] {
	return func(yield func(M, error) bool) {
		if err := s.each(ctx, []byte{kind}, kind, func(key, value []byte) (bool, error) {
			row := M(new(T))
			if err := proto.Unmarshal(value, row); err != nil {
				return false, persistence.DecodeError(fmt.Sprintf("row under key %q", key), err)
			}
			return yield(row, nil), nil
		}); err != nil {
			yield(nil, fmt.Errorf("read the catalogue: %w", err))
		}
	}
}

// each visits the keys of a kind from one on, until it is told to stop.
func (s *Source) each(ctx context.Context, lower []byte, kind byte, visit func(key, value []byte) (more bool, err error)) error {
	it, err := s.verifier.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: lower, UpperBound: []byte{kind + 1}})
	if err != nil {
		return readError("iterate", err)
	}
	defer func() { _ = it.Close() }() // Its error is that of the iteration.
	return walk(ctx, it, visit)
}
