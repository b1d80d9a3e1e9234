package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/lane"
)

// committer makes the batches of one lane of a shard. All but its lane, confirmed, mark and unresolved belongs to the goroutine that runs
// the lane.
type committer struct {
	shard  *shard
	number int
	lane   *lane.Lane
	// accepts: its batches are acceptances without an epoch, which may have to wait for those of other nodes.
	accepts bool

	conn *pgx.Conn // nil: there is none
	// timeline is that of the server of conn, trust how often a server had turned out to lack something when that was used.
	timeline, trust int64
	// place is where the row of the lane is, as far as is known.
	place pgtype.TID
	// locked: the connection holds the lock that nodes of a cluster hold together. lockTried is when it was last tried for.
	locked    bool
	lockTried time.Time
	// missed is when a connection was last tried for in vain, why what came of the last try.
	missed time.Time
	why    error
	// confirmed is the number of the last batch that was made for sure, mark what others are told of it.
	confirmed atomic.Int64
	mark      mark
	// unresolved: nobody knows yet whether the batch after confirmed was made.
	unresolved atomic.Bool

	results []error
	open    []int // the requests of a batch that are still to be done
	// blocked counts those of a batch that have waited in vain for another session.
	blocked int
	// statements has those that batches needed, of 2^8 at most.
	statements map[variant]*statement
	// handles and ids are those of a batch.
	handles map[messages.Handle]struct{}
	ids     map[messages.OrderID]struct{}
}

// retryConnect is how long a lane waits after it got no connection.
const retryConnect = 200 * time.Millisecond

// run makes the batches of the lane until it is closed, and looks for a connection as long as there is none and one is needed.
func (c *committer) run(turn func()) {
	c.lane.Run(func() {
		turn()
		if c.conn == nil && (!c.accepts || c.unresolved.Load()) {
			_ = c.connect() // it is told with the next batch
		}
		c.stayTogether()
	}, c.make, c.shrink)
}

// shrink gives up the memory that large batches have left.
func (c *committer) shrink() {
	c.results, c.open, c.handles, c.ids = nil, nil, map[messages.Handle]struct{}{}, map[messages.OrderID]struct{}{}
}

// make makes a batch, as lane.Run asks for.
func (c *committer) make(batch []lane.Request, since time.Time) (done int) {
	begun := time.Now()
	batch = batch[:c.cut(batch)]
	c.results, c.open, c.blocked = c.results[:0], c.open[:0], 0
	b := persistence.Batch{Waited: begun.Sub(since)}
	for i := range batch {
		err := c.admit(&batch[i])
		c.results = append(c.results, err)
		if err == nil {
			c.open = append(c.open, i)
		}
	}
	c.write(batch)
	for i := range batch {
		switch {
		case batch[i].Commit == nil:
			if batch[i].Releases && errors.Is(c.results[i], persistence.ErrUnavailable) {
				c.shard.journal.held.set(batch[i].Holding) // it was not released
			}
			continue
		case c.results[i] != nil:
			b.Failed++
		default:
			b.Bytes += len(batch[i].Commit.Record)
		}
		b.Commits++
	}
	b.Took = time.Since(begun)
	if o := c.shard.journal.cfg.Observer; o != nil && b.Commits > 0 {
		o.Synced(b)
	}
	for i := range batch {
		batch[i].Answer(c.results[i])
	}
	clear(c.results)
	return len(batch)
}

// cut says how many requests are made in one statement: no order is in it twice.
func (c *committer) cut(batch []lane.Request) int {
	clear(c.handles)
	clear(c.ids)
	for i, r := range batch {
		if r.Commit == nil {
			continue
		}
		_, twice := c.handles[r.Commit.Handle]
		c.handles[r.Commit.Handle] = struct{}{}
		if id := r.Commit.ID; id != "" {
			_, same := c.ids[id]
			twice = twice || same
			c.ids[id] = struct{}{}
		}
		if twice {
			return i
		}
	}
	return len(batch)
}

// admit says why a request can't be done, as far as this incarnation knows itself.
func (c *committer) admit(r *lane.Request) error {
	j := c.shard.journal
	by := r.Holding
	if k := r.Commit; k != nil {
		if err := k.Check(j.cfg.CommitBytes); err != nil {
			return err
		}
		if p := k.Handle.Partition(); p != k.Partition {
			return fmt.Errorf("commit: Handle is of an order of partition %d, and Partition is %d", p, k.Partition) //nolint:err113 // for people
		}
		if k.Expected == 0 && k.Epoch == 0 {
			return nil // anybody may accept
		}
		by = persistence.Holding{Partition: k.Partition, Epoch: k.Epoch}
	}
	if err := j.held.check(by); err != nil {
		return err
	}
	if r.Releases {
		j.held.drop(by)
	}
	return nil
}

// write makes those of a batch that are open.
func (c *committer) write(batch []lane.Request) {
	switch s := c.shard; {
	case c.trust != s.distrusted.Load():
		c.disconnect(errLost)
	case c.timeline < s.timeline.Load():
		c.disconnect(errSuperseded)
	}
	for tries := 0; len(c.open) > 0; tries++ {
		if c.conn == nil {
			if err := c.connect(); err != nil {
				c.end(err)
				return
			}
		}
		var t columns
		c.fill(&t, batch)
		if len(c.open) == 0 {
			return
		}
		made, err := c.execute(&t)
		switch {
		case err == nil && made.ours == nil && tries < mostTries:
			moved, err := c.moved()
			switch {
			case err != nil:
				c.disconnect(err)
				c.end(c.shard.unavailable(err))
				return
			case !moved:
				c.judge(batch, made)
				return
			}
		case err == nil:
			c.judge(batch, made)
			return
		case isTaken(err) && tries < mostTries:
			if err := c.drop(batch); err != nil {
				c.disconnect(err)
				c.end(c.shard.unavailable(err))
				return
			}
		case isRetryable(err) && tries < mostTries:
		case isRefusal(err), stateOf(err) == lockNotAvailable:
			c.refused(batch, err)
			return
		case wasNotDone(err):
			c.disconnect(err)
			c.end(c.shard.unavailable(err))
			return
		default:
			c.unresolved.Store(true)
			c.disconnect(err)
			c.end(fmt.Errorf("%w: %w", persistence.ErrUnknown, err))
			return
		}
	}
}

// Why an order is not accepted.
var (
	errAcceptedElsewhere = fmt.Errorf("%w: another session accepts the order, and has not ended", persistence.ErrConflict)
	errBehindBlocked     = fmt.Errorf("%w: other sessions accept orders of the same batch, and have not ended", persistence.ErrBusy)
)

const (
	// mostTries is how often a statement is tried that others have got in the way of.
	mostTries = 20
	// mostBlocked is how many orders of a batch are waited for that other sessions accept, one after the other. If it is more, the sessions
	// or the server are stuck, and the rest of the batch is told at once: the lane must turn.
	mostBlocked = 3
)

// refused looks for those of the open ones because of which the server has refused a statement: each is made by itself.
func (c *committer) refused(batch []lane.Request, err error) {
	switch {
	case len(c.open) > 1:
		c.each(batch)
	case isRefusal(err):
		c.end(fmt.Errorf("commit: %w", err))
	default:
		c.blocked++
		c.end(errAcceptedElsewhere)
	}
}

// end gives all that are open the same result.
func (c *committer) end(err error) {
	for _, i := range c.open {
		c.results[i] = err
	}
	c.open = c.open[:0]
}

// each makes those that are open one by one, because the server has refused one of them.
func (c *committer) each(batch []lane.Request) {
	for _, i := range append([]int(nil), c.open...) {
		if c.open = append(c.open[:0], i); c.blocked >= mostBlocked {
			c.end(errBehindBlocked)
			continue
		}
		c.write(batch)
	}
}

// fill makes the parameters of those that are open. What can't be encoded is not open any more.
func (c *committer) fill(t *columns, batch []lane.Request) {
	rest := c.open[:0]
	for _, i := range c.open {
		r := &batch[i]
		switch {
		case r.Commit != nil:
			if err := t.addCommit(r.Commit); err != nil {
				c.results[i] = err
				continue
			}
		case r.Releases:
			t.addRelease(r.Holding)
		}
		rest = append(rest, i)
	}
	c.open = rest
}

// made is what the statement of a batch answers.
type made struct {
	// ours: the incarnation was not fenced; nil: its lane did not have the number before, or is not where it was looked for.
	ours *bool
	// place is where the row of the lane is now.
	place pgtype.TID
	// appended are the orders that were committed, nil: all were.
	appended []uid
	released []int16
}

// execute runs the statement of a batch. Nothing cancels it: if there is no answer in time, the connection is closed.
func (c *committer) execute(t *columns) (m made, err error) {
	overdue := c.closeLater()
	defer overdue.Stop()
	t.incarnation, t.lane = c.shard.journal.self, int16(c.number) //nolint:gosec // there are few lanes
	t.number, t.place = c.confirmed.Load()+1, c.place
	s := c.statements[t.needs]
	if s == nil {
		s = statementOf(t.needs)
		c.statements[t.needs] = s
	}
	arguments := []any{pgx.QueryExecModeCacheStatement}
	for _, argument := range s.arguments {
		arguments = append(arguments, argument(t))
	}
	err = c.conn.QueryRow(context.Background(), s.sql, arguments...).Scan(&m.ours, &m.place, &m.appended, &m.released)
	return m, err //nolint:wrapcheck // whoever tells of it says more
}

// moved looks where the row of the lane is, and tells whether that is another place than was known. A batch looks for it there alone: as
// long as somebody has a snapshot open, the row's index would lead through all its versions since.
func (c *committer) moved() (bool, error) {
	overdue := c.closeLater()
	defer overdue.Stop()
	before := c.place
	err := c.conn.QueryRow(context.Background(), `SELECT ctid FROM lanes WHERE incarnation = $1 AND lane = $2`,
		string(c.shard.journal.self), c.number).Scan(&c.place)
	if err != nil {
		return false, fmt.Errorf("look where the row of lane %d of %s is: %w", c.number, c.shard.journal.self, err)
	}
	return c.place != before, nil
}

// closeLater closes the connection when there was no answer in time, unless it is stopped.
func (c *committer) closeLater() *time.Timer {
	conn := c.conn.PgConn().Conn()
	return time.AfterFunc(c.shard.journal.cfg.AnswerWithin, func() { _ = conn.Close() }) // whoever reads from it is told
}

// judge says what came of those that are open, when the statement was made.
func (c *committer) judge(batch []lane.Request, m made) {
	if m.ours == nil {
		err := fmt.Errorf("lane %d of %s has another number than %d", c.number, c.shard.journal.self, c.confirmed.Load())
		c.disconnect(err)
		c.end(c.shard.unavailable(err))
		return
	}
	c.mark.batch.Store(c.confirmed.Add(1))
	c.place = m.place
	if !*m.ours {
		c.shard.journal.held.fence()
	}
	appended := make(map[uid]struct{}, len(m.appended))
	for _, h := range m.appended {
		appended[h] = struct{}{}
	}
	released := make(map[messages.Partition]bool, len(m.released))
	for _, p := range m.released {
		released[messages.Partition(p)] = true //nolint:gosec // it was one
	}
	for _, i := range c.open {
		r := &batch[i]
		switch k := r.Commit; {
		case k == nil && !*m.ours, k != nil && !*m.ours && (k.Epoch != 0 || k.Expected != 0):
			c.results[i] = persistence.ErrIncarnationFenced
		case k == nil:
			if r.Releases && !released[r.Holding.Partition] {
				c.results[i] = fmt.Errorf("%w: partition %d was not owned any more", persistence.ErrFenced, r.Holding.Partition)
			}
		case m.appended != nil:
			if _, ok := appended[k.Handle]; !ok {
				c.results[i] = fmt.Errorf("%w: order %s does not have version %d", persistence.ErrConflict, k.Handle, k.Expected)
			}
		}
	}
	c.open = c.open[:0]
}

// drop ends those that are open whose id, handle or version is taken: the server has told that one of them is.
func (c *committer) drop(batch []lane.Request) error {
	overdue := c.closeLater()
	defer overdue.Stop()
	var ids [][]byte
	var handles []uid
	var first []int64
	for _, i := range c.open {
		k := batch[i].Commit
		if k == nil {
			continue
		}
		if k.ID != "" {
			ids = append(ids, []byte(k.ID))
		}
		handles = append(handles, k.Handle)
		first = append(first, int64(k.Expected)+1) //nolint:gosec // versions don't get that high
	}
	taken, err := entries(context.Background(), c.conn, ids)
	if err != nil {
		return err
	}
	there := map[uid]bool{}
	var h uid
	found, err := c.conn.Query(context.Background(), `SELECT c.handle FROM unnest($1::uuid[], $2::bigint[]) AS c (handle, first)
		WHERE EXISTS (SELECT FROM events e WHERE e.handle = c.handle AND e.first = c.first)
		OR c.first = 1 AND EXISTS (SELECT FROM orders o WHERE o.handle = c.handle)`, handles, first)
	if err != nil {
		return err //nolint:wrapcheck // whoever tells of it says more
	}
	if _, err = pgx.ForEachRow(found, []any{&h}, func() error {
		there[h] = true
		return nil
	}); err != nil {
		return err //nolint:wrapcheck // whoever tells of it says more
	}
	rest := c.open[:0]
	for _, i := range c.open {
		k := batch[i].Commit
		var entry directoryRow
		same := false
		if k != nil && k.ID != "" {
			entry, same = taken[k.ID]
		}
		switch {
		case same:
			c.results[i] = &persistence.TakenError{Entry: entry.Entry}
		case k != nil && there[k.Handle]:
			c.results[i] = fmt.Errorf("%w: order %s has version %d already", persistence.ErrConflict, k.Handle, k.Expected+1)
		default:
			rest = append(rest, i)
		}
	}
	c.open = rest
	return nil
}
