package journaltest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/rows"
)

// Backend makes stores.
type Backend interface {
	// NewStore makes an empty store that lives as long as the test.
	NewStore(t testing.TB) Store
}

// Store is one store, whose journal is opened and closed many times, but never twice at once.
type Store interface {
	Open(t testing.TB) persistence.Journal
}

// Crasher is a Store that can crash.
type Crasher interface {
	// Crash ends the journal that is open as a crash of the machine would. What was not durable is lost, or kept if keep,
	// or, if neither is certain, some of it. The journal must not be used or closed afterwards.
	Crash(t testing.TB, keep Keep)
}

// Keep says what a crash leaves of what was written but not made durable.
type Keep int

// What a crash leaves.
const (
	KeepNone Keep = iota
	KeepSome
	KeepAll
)

// Breaker is a Store that can be crippled.
type Breaker interface {
	Crasher
	// Break makes the open journal fail to make anything durable from now on, until it crashes.
	Break(t testing.TB)
}

// Sharer is a Store whose journal can be open more than once at a time, each time as another incarnation.
type Sharer interface {
	Store
	// Shared does nothing: it tells that the store can be shared.
	Shared()
}

// env is what a test works with.
type env struct {
	*testing.T

	store Store
}

// Open opens the store's journal, and claims all partitions.
func (e env) Open(tb testing.TB) *owning {
	tb.Helper()
	return own(tb, e.store.Open(tb))
}

// owning is a journal as an incarnation has it that owns all partitions: commits that bear no epoch get the right one.
type owning struct {
	persistence.Journal

	epochs [messages.Partitions]messages.Epoch
}

func (o *owning) Commit(c *persistence.Commit) {
	owned := *c
	if c.Epoch == 0 && int(c.Partition) < len(o.epochs) {
		owned.Epoch = o.epochs[c.Partition]
	}
	o.Journal.Commit(&owned)
}

// holding is how it owns a partition.
func (o *owning) holding(p messages.Partition) persistence.Holding {
	return persistence.Holding{Partition: p, Epoch: o.epochs[p]}
}

// own is Own, in a test.
func own(tb testing.TB, j persistence.Journal) *owning {
	tb.Helper()
	o := &owning{Journal: j}
	var err error
	if o.epochs, err = Own(tb.Context(), j); err != nil {
		tb.Fatal(err)
	}
	return o
}

// Own claims all partitions, which must be free, and returns their epochs.
func Own(ctx context.Context, j persistence.Ownership) (epochs [messages.Partitions]messages.Epoch, err error) {
	owners, err := j.Owners(ctx)
	if err != nil {
		return epochs, fmt.Errorf("read the owners: %w", err)
	}
	var seen []persistence.Holding
	for p, owner := range owners {
		seen = append(seen, persistence.Holding{Partition: messages.Partition(p), Epoch: owner.Epoch})
	}
	claimed, err := j.Claim(ctx, seen)
	if err != nil || len(claimed) != len(seen) {
		return epochs, fmt.Errorf("%d of %d partitions were claimed: %w", len(claimed), len(seen), err)
	}
	for _, h := range claimed {
		epochs[h.Partition] = h.Epoch
	}
	return epochs, nil
}

// part is a part of the contract.
type part struct {
	name string
	run  func(env)
}

// Run holds a backend against the contract.
func Run(t *testing.T, backend Backend) {
	t.Helper()
	run(t, backend, append([]part{
		{"Accept", testAccept},
		{"AcceptTaken", testAcceptTaken},
		{"Commit", testCommit},
		{"Conflict", testConflict},
		{"Fenced", testFenced},
		{"Malformed", testMalformed},
		{"EachFailsAlone", testEachFailsAlone},
		{"SameOrderInOneBatch", testSameOrderInOneBatch},
		{"Records", testRecords},
		{"RecordsAtOnce", testRecordsAtOnce},
		{"FeatureLevel", testFeatureLevel},
		{"Open", testOpen},
		{"Due", testDue},
		{"Overflow", testOverflow},
		{"Kinds", testKinds},
		{"Definitions", testDefinitions},
		{"Limits", testLimits},
		{"Audit", testAudit},
		{"AuditAtOnce", testAuditAtOnce},
		{"Shards", testShards},
		{"Claim", testClaim},
		{"ClaimOnce", testClaimOnce},
		{"Release", testRelease},
		{"Check", testCheck},
		{"Fence", testFence},
		{"Generation", testGeneration},
		{"Intake", testIntake},
		{"Queue", testQueue},
		{"QueueModel", testQueueModel},
		{"CatalogVersion", testCatalogVersion},
		{"Level", testLevel},
		{"TwoClaim", testTwoClaim},
		{"TwoFence", testTwoFence},
		{"TwoAccept", testTwoAccept},
		{"TwoQueue", testTwoQueue},
		{"TwoCatalog", testTwoCatalog},
		{"Concurrent", testConcurrent},
		{"OneWinner", testOneWinner},
		{"Close", testClose},
		{"CloseUnderLoad", testCloseUnderLoad},
		{"Reopen", testReopen},
		{"List", testList},
		{"ListBounds", testListBounds},
		{"ListModel", testListModel},
		{"Canceled", testCanceled},
	}, crashes()...))
}

// RunCrashes holds a backend against that part of the contract which is about crashes and unknown outcomes: one whose stores are dearer
// if they can crash, and that has others for the rest.
func RunCrashes(t *testing.T, backend Backend) {
	t.Helper()
	run(t, backend, crashes())
}

func crashes() []part {
	return []part{{"Crash", testCrash}, {"CrashUnconfirmed", testCrashUnconfirmed}, {"UnknownOutcome", testUnknownOutcome}}
}

func run(t *testing.T, backend Backend, parts []part) {
	t.Helper()
	for _, test := range parts {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(env{t, backend.NewStore(t)})
		})
	}
}

// open opens the journal as env.Open does, and closes it at the end of the test.
func open(t env) *owning {
	t.Helper()
	j := t.Open(t)
	t.Cleanup(func() { closeJournal(t, j) })
	return j
}

func closeJournal(tb testing.TB, j persistence.Journal) {
	tb.Helper()
	if err := j.Close(); err != nil {
		tb.Errorf("close: %v", err)
	}
}

// order is an order as a test goes on with it.
type order struct {
	id        messages.OrderID
	handle    messages.Handle
	partition messages.Partition
	version   messages.Version
	row       *journalv1.OrderRow
	open      *journalv1.OpenRow
}

// newOrder makes an order that was not accepted yet.
func newOrder() *order {
	o := &order{id: messages.NewOrderID()}
	o.partition = messages.PartitionOf(o.id, "")
	o.handle = messages.NewHandle(o.partition, time.Now())
	o.row = &journalv1.OrderRow{
		Id: string(o.id), Definition: "test/activate:1.0.0", Status: int32(orderv1.Status_STATUS_PENDING),
		AcceptedAt: 1_700_000_000_000_000_000, Partition: uint32(o.partition),
	}
	o.open = &journalv1.OpenRow{Id: string(o.id)}
	return o
}

// record makes a record of n events, told apart by mark.
func record(n int, mark string) []byte {
	r := &journalv1.Record{FeatureLevel: 1}
	for i := range n {
		r.Events = append(r.Events, &journalv1.Event{At: int64(i + 1), Kind: &journalv1.Event_OrderCancelled{
			OrderCancelled: &journalv1.OrderCancelled{Reason: fmt.Sprintf("%s %d", mark, i)},
		}})
	}
	b, err := proto.Marshal(r)
	if err != nil {
		panic(err)
	}
	return b
}

// accept makes the commit that accepts the order, with n events.
func (o *order) accept(n int) *persistence.Commit {
	return &persistence.Commit{
		Partition: o.partition, Handle: o.handle, Events: n, Record: record(n, "accept"),
		ID: o.id, ContentHash: []byte("hash of " + o.id), Row: o.row, Open: o.open,
	}
}

// step makes a commit of n events that follows the last one.
func (o *order) step(n int) *persistence.Commit {
	return &persistence.Commit{
		Partition: o.partition, Handle: o.handle, Expected: o.version, Events: n,
		Record: record(n, fmt.Sprintf("step after %d", o.version)),
	}
}

// reopen makes a commit that replaces the open row.
func (o *order) wait(due int64) *persistence.Commit {
	c := o.step(1)
	c.Open = &journalv1.OpenRow{Id: string(o.id), Due: due}
	c.Row = o.rowWith(orderv1.Status_STATUS_WAITING)
	return c
}

// overflow makes a commit after which these tasks wait on disk.
func (o *order) overflow(tasks ...*journalv1.Overflow) *persistence.Commit {
	c := o.step(1)
	c.Open = &journalv1.OpenRow{Id: string(o.id), Parked: true, Overflow: tasks}
	return c
}

// end makes the commit that ends the order.
func (o *order) end(status orderv1.Status) *persistence.Commit {
	c := o.step(1)
	c.Close = true
	c.Row = o.rowWith(status)
	c.Row.EndedAt = o.row.GetAcceptedAt() + 1
	return c
}

func (o *order) rowWith(status orderv1.Status) *journalv1.OrderRow {
	row := proto.CloneOf(o.row)
	row.Status = int32(status)
	return row
}

// done notes a commit that was made.
func (o *order) done(c *persistence.Commit) {
	o.version = c.Expected + messages.Version(c.Events)
	if c.Row != nil {
		o.row = c.Row
	}
	if c.Open != nil {
		o.open = c.Open
	}
	if c.Close {
		o.open = nil
	}
}

// commitAll hands commits over without waiting in between, and returns their results.
func commitAll(j persistence.Journal, commits ...*persistence.Commit) []error {
	type result struct {
		i   int
		err error
	}
	results := make(chan result, 2*len(commits))
	for i, c := range commits {
		c.Done = func(err error) { results <- result{i, err} }
	}
	for _, c := range commits {
		j.Commit(c)
	}
	errs := make([]error, len(commits))
	for range commits {
		r := <-results
		errs[r.i] = r.err
	}
	return errs
}

func commit(j persistence.Journal, c *persistence.Commit) error { return commitAll(j, c)[0] }

// must makes a commit that can't fail.
func (o *order) must(tb testing.TB, j persistence.Journal, c *persistence.Commit) {
	tb.Helper()
	if err := commit(j, c); err != nil {
		tb.Fatalf("commit of order %s at version %d: %v", o.id, c.Expected, err)
	}
	o.done(c)
}

// accepted makes an order and accepts it.
func accepted(tb testing.TB, j persistence.Journal) *order {
	tb.Helper()
	o := newOrder()
	o.must(tb, j, o.accept(1))
	return o
}

// history reads all records.
func history(tb testing.TB, j persistence.Reader, h messages.Handle) []persistence.StoredRecord {
	tb.Helper()
	var all []persistence.StoredRecord
	for r, err := range j.Records(tb.Context(), h, 0) {
		if errors.Is(err, persistence.ErrNotFound) {
			return nil
		}
		if err != nil {
			tb.Fatalf("read history: %v", err)
		}
		all = append(all, persistence.StoredRecord{First: r.First, Data: append([]byte(nil), r.Data...)})
	}
	return all
}

// last is the version of the last event of a history.
func last(tb testing.TB, records []persistence.StoredRecord) messages.Version {
	tb.Helper()
	if len(records) == 0 {
		return 0
	}
	var r journalv1.Record
	end := records[len(records)-1]
	if err := proto.Unmarshal(end.Data, &r); err != nil {
		tb.Fatalf("decode a record: %v", err)
	}
	return end.First + messages.Version(len(r.GetEvents())) - 1
}

// check compares what the journal has of an order with what it should have.
func (o *order) check(tb testing.TB, j persistence.Journal) {
	tb.Helper()
	ctx := tb.Context()
	entry, err := j.Find(ctx, o.id)
	if err != nil || entry.Handle != o.handle || entry.Partition != o.partition || string(entry.ContentHash) != "hash of "+string(o.id) {
		tb.Errorf("find %s: %+v, %v", o.id, entry, err)
	}
	row, err := j.Row(ctx, o.handle)
	if err != nil || !proto.Equal(row, o.row) {
		tb.Errorf("row of %s: %v, %v; want %v", o.id, row, err, o.row)
	}
	if v := last(tb, history(tb, j, o.handle)); v != o.version {
		tb.Errorf("history of %s ends with version %d, want %d", o.id, v, o.version)
	}
	var stored *journalv1.OpenRow
	for _, found := range openOrders(tb, j, o.partition) {
		if found.Handle == o.handle {
			stored = found.Row
		}
	}
	if stored.GetPosition() != 0 != rows.Queues(o.open) {
		tb.Errorf("open row of %s: %v: a position is given to who queues, and only to them", o.id, stored)
	}
	if stored != nil {
		stored.Position = 0
	}
	if !proto.Equal(stored, o.open) {
		tb.Errorf("open row of %s: %v, want %v", o.id, stored, o.open)
	}
}

// openOrders pages through the open orders of a partition.
func openOrders(tb testing.TB, j persistence.Recoverer, p messages.Partition) []persistence.OpenOrder {
	tb.Helper()
	const page = 3
	var all []persistence.OpenOrder
	for after := (messages.Handle{}); ; {
		found, err := j.Open(tb.Context(), p, after, page)
		if err != nil || len(found) > page {
			tb.Fatalf("open orders of %d: %d, %v", p, len(found), err)
		}
		all = append(all, found...)
		if len(found) < page {
			return all
		}
		after = found[page-1].Handle
	}
}

func wantErr(tb testing.TB, what string, got, want error) {
	tb.Helper()
	if !errors.Is(got, want) {
		tb.Errorf("%s: %v, want %v", what, got, want)
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
