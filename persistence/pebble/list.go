package pebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/rows"
)

// List returns orders, newest first. Each condition that has an index gives a descending stream of handles; the orders
// looked at are those that are in all streams. Without any, all orders are looked at.
func (j *Journal) List(ctx context.Context, q persistence.Query) (found []persistence.FoundOrder, next messages.Handle, err error) {
	if err := j.enter(ctx); err != nil {
		return nil, next, err
	}
	defer j.leave()
	if err := q.Check(); err != nil {
		return nil, next, err
	}
	snapshot := j.db.NewSnapshot()
	defer func() { _ = snapshot.Close() }() // It has no error.
	l := listing{ctx: ctx, reader: snapshot, query: q}
	defer func() { err = errors.Join(err, l.close()) }()
	if err := l.choose(); err != nil {
		return nil, next, fmt.Errorf("list orders: %w", err)
	}
	if err := j.settle(ctx); err != nil {
		return nil, next, err
	}
	found, next, err = l.run()
	if err != nil {
		return nil, messages.Handle{}, fmt.Errorf("list orders: %w", err)
	}
	return found, next, nil
}

// listing is one run of List.
type listing struct {
	ctx     context.Context //nolint:containedctx // lives as long as the call
	reader  pebble.Reader
	query   persistence.Query
	streams []stream
	iters   []*pebble.Iterator
}

// stream is a set of handles in descending order.
type stream interface {
	// atMost returns the greatest handle that is not greater than h; false if there is none.
	atMost(h messages.Handle) (messages.Handle, bool, error)
}

// choose opens a stream for each condition that has an index.
func (l *listing) choose() error {
	q := l.query
	if q.OrderKey != "" {
		if len(q.OrderKey) > rows.MaxText {
			l.streams = append(l.streams, anyOf(nil))
			return nil
		}
		if err := l.open(appendKeyPrefix(nil, q.OrderKey)); err != nil {
			return err
		}
	}
	for _, label := range q.Labels {
		if len(label.GetName()) > rows.MaxText || len(label.GetValue()) > rows.MaxText {
			l.streams = append(l.streams, anyOf(nil))
			return nil
		}
		if err := l.open(appendLabelPrefix(nil, label.GetName(), label.GetValue())); err != nil {
			return err
		}
	}
	if err := l.chooseStatus(); err != nil {
		return err
	}
	if q.Definition != "" && len(q.Definition) <= rows.MaxText {
		name := rows.DefinitionName(q.Definition)
		if err := l.open(appendNamePrefix(nil, name)); err != nil {
			return err
		}
	}
	if len(l.streams) == 0 {
		return l.open([]byte{kindOrder})
	}
	return nil
}

// chooseStatus uses the index of orders that ended badly if nothing else is asked for; or the one of open orders, if
// nothing more selective was found.
func (l *listing) chooseStatus() error {
	statuses := l.query.Statuses
	if len(statuses) == 0 {
		return nil
	}
	if !slices.ContainsFunc(statuses, func(s orderv1.Status) bool { return !rows.EndedBadly(s) }) {
		var union anyOf
		for _, s := range statuses {
			one, err := l.stream(appendStatusPrefix(nil, int32(s)))
			if err != nil {
				return err
			}
			union = append(union, one)
		}
		l.streams = append(l.streams, union)
		return nil
	}
	if len(l.streams) > 0 || slices.Contains(statuses, orderv1.Status_STATUS_COMPLETED) || slices.ContainsFunc(statuses, rows.EndedBadly) {
		return nil
	}
	it, err := l.iter([]byte{kindOpen})
	if err != nil {
		return err
	}
	l.streams = append(l.streams, &openStream{it: it})
	return nil
}

// run looks at orders until it has enough.
func (l *listing) run() (found []persistence.FoundOrder, next messages.Handle, err error) {
	at, oldest := l.bounds()
	for scanned := 0; ; scanned++ {
		h, more, err := l.common(at)
		if err != nil || !more || less(h, oldest) {
			return found, messages.Handle{}, err
		}
		if len(found) == l.query.Limit || scanned == l.query.Scan {
			return found, next, nil
		}
		row := new(journalv1.OrderRow)
		if err := get(l.reader, appendOrderKey(nil, h), row); err != nil {
			if errors.Is(err, persistence.ErrNotFound) {
				err = persistence.DecodeError("index", fmt.Errorf("order %s has no row", h))
			}
			return nil, next, err
		}
		if l.query.Matches(row) {
			found = append(found, persistence.FoundOrder{Handle: h, Row: row})
		}
		next = h
		if at, more = before(h); !more {
			return found, messages.Handle{}, nil
		}
	}
}

// bounds returns the greatest and the least handle to look at.
func (l *listing) bounds() (newest, oldest messages.Handle) {
	newest, oldest = l.query.Handles()
	if after := l.query.After; !after.IsZero() {
		if h, _ := before(after); less(h, newest) {
			newest = h
		}
	}
	return newest, oldest
}

// common returns the greatest handle up to h that is in all streams.
func (l *listing) common(h messages.Handle) (messages.Handle, bool, error) {
	for agreed := 0; agreed < len(l.streams); {
		if l.ctx.Err() != nil {
			return h, false, context.Cause(l.ctx)
		}
		for _, s := range l.streams {
			got, more, err := s.atMost(h)
			if err != nil || !more {
				return h, false, err
			}
			if got != h {
				h, agreed = got, 0
			}
			agreed++
		}
	}
	return h, true, nil
}

func (l *listing) iter(prefix []byte) (*pebble.Iterator, error) {
	it, err := l.reader.NewIterWithContext(l.ctx, &pebble.IterOptions{
		LowerBound: prefix, UpperBound: successor(slices.Clone(prefix)),
	})
	if err != nil {
		return nil, readError("iterate", err)
	}
	l.iters = append(l.iters, it)
	return it, nil
}

func (l *listing) stream(prefix []byte) (stream, error) {
	it, err := l.iter(prefix)
	return &indexStream{it: it, prefix: prefix}, err
}

func (l *listing) open(prefix []byte) error {
	s, err := l.stream(prefix)
	if err == nil {
		l.streams = append(l.streams, s)
	}
	return err
}

func (l *listing) close() error {
	var errs []error
	for _, it := range l.iters {
		errs = append(errs, readError("iterate", it.Close()))
	}
	return errors.Join(errs...)
}

// indexStream is the handles under a prefix.
type indexStream struct {
	it     *pebble.Iterator
	prefix []byte
	key    []byte
}

func (s *indexStream) atMost(h messages.Handle) (messages.Handle, bool, error) {
	s.key = append(append(append(s.key[:0], s.prefix...), h[:]...), 0)
	if !s.it.SeekLT(s.key) {
		return messages.Handle{}, false, readError("iterate", s.it.Error())
	}
	if !bytes.HasPrefix(s.it.Key(), s.prefix) {
		return messages.Handle{}, false, nil
	}
	got, err := handleAtEnd(s.it.Key(), len(s.prefix))
	if err != nil {
		return got, false, persistence.DecodeError("index", err)
	}
	return got, true, nil
}

// anyOf is the union of streams.
type anyOf []stream

func (u anyOf) atMost(h messages.Handle) (best messages.Handle, found bool, err error) {
	for _, s := range u {
		got, more, err := s.atMost(h)
		if err != nil {
			return best, false, err
		}
		if more && (!found || less(best, got)) {
			best, found = got, true
		}
	}
	return best, found, nil
}

// openStream is the open orders of all partitions. It keeps the next one of each.
type openStream struct {
	it   *pebble.Iterator
	next [messages.Partitions]struct {
		at          messages.Handle
		known, more bool
	}
}

func (s *openStream) atMost(h messages.Handle) (best messages.Handle, found bool, err error) {
	for p := range s.next {
		n := &s.next[p]
		if !n.known || n.more && less(h, n.at) {
			partition := indexStream{it: s.it, prefix: appendOpenPrefix(nil, messages.Partition(p))}
			if n.at, n.more, err = partition.atMost(h); err != nil {
				return best, false, err
			}
			n.known = true
		}
		if n.more && (!found || less(best, n.at)) {
			best, found = n.at, true
		}
	}
	return best, found, nil
}

func less(a, b messages.Handle) bool { return bytes.Compare(a[:], b[:]) < 0 }

// before returns the greatest handle less than h; false if h is zero.
func before(h messages.Handle) (messages.Handle, bool) {
	for i := len(h) - 1; i >= 0; i-- {
		h[i]--
		if h[i] != 0xff {
			return h, true
		}
	}
	return messages.Handle{}, false
}
