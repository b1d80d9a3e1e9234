package postgres

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/jackc/pgx/v5/pgtype"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/rows"
)

// uid is a handle, or a hash by which something is found.
type uid = [16]byte

// hashOf is the hash by which an index finds texts.
func hashOf(texts ...string) uid {
	h := sha256.New()
	for _, s := range texts {
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	return uid(h.Sum(nil)[:16])
}

// What a change does to the open row of an order.
const (
	keepsOpen int16 = iota
	setsOpen
	closesOpen
)

// columns are the parameters of the statement that makes a batch. Most are arrays, with an element for each commit, change and so on.
type columns struct {
	// needs says which of them the statement has.
	needs variant

	incarnation messages.Incarnation
	lane        int16
	number      int64
	place       pgtype.TID // where the row of the lane is
	// oldest and newest are the least and the greatest handle of orders that were there before: their histories are in no tables but those
	// of the time between.
	oldest, newest uid

	commits struct {
		handle []uid
		first  []int64
		events []int32
		record [][]byte
		owned  []bool
	}
	changes struct {
		handle     []uid
		id         [][]byte
		partition  []int16
		hash, row  [][]byte
		opens      []int16
		open       [][]byte
		intake     []bool
		name, key  []uid
		endedBadly []int16
		inDoubt    []bool
		due        []int64
		queue      []uid
		place      []int32
	}
	labels   struct{ label, handle []uid }
	overflow struct {
		activity            []uid
		priority, partition []int16
		at, frame           []int64
		handle              []uid
		bytes               []int64
	}
	releases struct {
		partition []int16
		epoch     []int64
	}
}

// addCommit adds a commit that was checked. It fails for one that can't be encoded, and then adds nothing.
func (t *columns) addCommit(c *persistence.Commit) error {
	row, err := encode(c.Row)
	if err != nil {
		return err
	}
	open, err := encode(c.Open)
	if err != nil {
		return err
	}
	k := &t.commits
	k.handle = append(k.handle, c.Handle)
	k.first = append(k.first, int64(c.Expected)+1) //nolint:gosec // versions don't get that high
	k.events = append(k.events, int32(c.Events))   //nolint:gosec // a record is not that large
	k.record = append(k.record, c.Record)
	k.owned = append(k.owned, c.Epoch != 0 || c.Expected != 0)
	if c.Expected > 0 {
		t.goOn(c.Handle)
	}
	if c.Row == nil && c.Open == nil && !c.Close {
		t.needs.Takes = t.needs.Takes || c.Expected == 1
		return nil
	}
	t.addChange(c, row, open)
	return nil
}

// goOn notes an order that was there before.
func (t *columns) goOn(h uid) {
	if !t.needs.Continues || bytes.Compare(h[:], t.oldest[:]) < 0 {
		t.oldest = h
	}
	if !t.needs.Continues || bytes.Compare(h[:], t.newest[:]) > 0 {
		t.newest = h
	}
	t.needs.Continues = true
}

func encode[M interface {
	comparable
	proto.Message
}](m M) ([]byte, error) {
	var none M
	if m == none {
		return nil, nil
	}
	b, err := proto.MarshalOptions{}.MarshalAppend([]byte{}, m)
	if err != nil {
		return nil, fmt.Errorf("commit: encode a row: %w", err)
	}
	return b, nil
}

func (t *columns) addChange(c *persistence.Commit, row, open []byte) {
	r := &t.changes
	var id []byte
	if c.ID != "" {
		id = []byte(c.ID)
		t.needs.Accepts = true
	} else {
		t.needs.Updates = true
		t.needs.Counts = t.needs.Counts || c.Row != nil // it may be better than it was
	}
	hash := c.ContentHash
	if hash == nil {
		hash = []byte{}
	}
	r.handle, r.id, r.hash = append(r.handle, c.Handle), append(r.id, id), append(r.hash, hash)
	r.partition = append(r.partition, int16(c.Partition)) //nolint:gosec // it was checked
	r.row, r.open = append(r.row, row), append(r.open, open)
	r.intake = append(r.intake, c.Expected == 0 && c.Epoch == 0)
	r.place = append(r.place, int32(len(r.place))) //nolint:gosec // a batch is not that large
	opens := keepsOpen
	switch {
	case c.Open != nil:
		opens = setsOpen
	case c.Close:
		opens = closesOpen
	}
	r.opens = append(r.opens, opens)
	t.find(c)
	for _, x := range c.Open.GetOverflow() {
		t.needs.Overflows = true
		o := &t.overflow
		o.activity, o.handle = append(o.activity, hashOf(x.GetActivity())), append(o.handle, c.Handle)
		o.priority = append(o.priority, int16(x.GetPriority())) //nolint:gosec // it was checked
		o.partition = append(o.partition, int16(c.Partition))   //nolint:gosec // it was checked
		o.at, o.frame = append(o.at, x.GetAt()), append(o.frame, int64(x.GetFrame()))
		o.bytes = append(o.bytes, int64(x.GetBytes()))
	}
}

// find adds what the order of a change is found by.
func (t *columns) find(c *persistence.Commit) {
	r := &t.changes
	var name, key, queue uid
	var endedBadly int16
	if c.Row != nil && rows.IsOrder(c.Row.GetId()) {
		name = hashOf(rows.DefinitionName(c.Row.GetDefinition()))
		if c.Row.GetOrderKey() != "" {
			key = hashOf(c.Row.GetOrderKey())
		}
		if rows.EndedBadly(orderv1.Status(c.Row.GetStatus())) {
			endedBadly = int16(c.Row.GetStatus()) //nolint:gosec // a status is small
		}
		if c.Expected == 0 {
			t.label(c.Handle, c.Row.GetLabels())
		}
	}
	if rows.Queues(c.Open) {
		queue = hashOf(c.Open.GetOrderKey())
	}
	r.name, r.key, r.queue = append(r.name, name), append(r.key, key), append(r.queue, queue)
	r.endedBadly = append(r.endedBadly, endedBadly)
	inDoubt := c.Row.GetInDoubt() && rows.IsOrder(c.Row.GetId())
	r.inDoubt = append(r.inDoubt, inDoubt)
	t.needs.Counts = t.needs.Counts || endedBadly != 0 || inDoubt
	r.due = append(r.due, c.Open.GetDue())
}

func (t *columns) label(h messages.Handle, labels []*journalv1.Label) {
	for _, l := range labels {
		t.needs.Labels = true
		t.labels.label = append(t.labels.label, hashOf(l.GetName(), l.GetValue()))
		t.labels.handle = append(t.labels.handle, h)
	}
}

func (t *columns) addRelease(h persistence.Holding) {
	t.needs.Releases = true
	t.releases.partition = append(t.releases.partition, int16(h.Partition)) //nolint:gosec // it was checked
	t.releases.epoch = append(t.releases.epoch, int64(h.Epoch))             //nolint:gosec // epochs don't get that high
}
