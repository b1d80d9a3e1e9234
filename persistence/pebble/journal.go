package pebble

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/lane"
)

// Journal is an open journal. Its methods may be called by many goroutines at once.
type Journal struct {
	cfg  Config
	lock *pebble.Lock
	db   *pebble.DB

	lane *lane.Lane
	// manifests is held while the manifest is synced.
	manifests sync.Mutex
	// grew has a token when the engine's manifest has grown.
	grew chan struct{}
	// spent has a token when much was written since the free disk space was asked for.
	spent chan struct{}
	// unwritten has an error when a table could not be written.
	unwritten chan error
	// logs tells how far the log is durable.
	logs logs
	// noted is what the file HOLDFAST has, while the journal is open.
	noted seal
	// gate lets in whoever uses db apart from the committer.
	gate gate
	// owned are the goroutines of the journal; stop ends those that watch the disk.
	owned sync.WaitGroup
	stop  chan struct{}

	// writing is held from the first check against the store until what was written is durable.
	writing sync.Mutex
	commits committer
	orders  *knownOrders
	owners  owners
	// identity is which journal this is. It stays the same when the journal is restored from a copy.
	identity uuid.UUID
	// restored is the generation that is to begin before a copy becomes a journal; 0: it is none.
	restored messages.Generation
	// backing is held while a backup is made.
	backing sync.Mutex
	// catalog is the version of the catalogue, level the feature level of the journal. Both are read without writing, and
	// changed with it.
	catalog atomic.Uint64
	level   atomic.Uint32
	// marks are the versions of the catalogue in which definitions were changed last, or that it had when the journal was opened;
	// writing guards them.
	marks map[messages.DefinitionRef]uint64

	// flight is what was written and may not be durable yet; nil if nothing.
	flight atomic.Pointer[flight]
	// failure is why the store can't go on.
	failure atomic.Pointer[error]
	full    atomic.Bool
	counts  counters
	close   func() error
}

var _ persistence.Journal = (*Journal)(nil)

// flight is a batch on its way to the disk.
type flight struct{ landed chan struct{} }

// Open opens the journal in a directory, or makes one there. It fails if another process has it, if a newer version of
// Holdfast wrote it, or if it is damaged.
func Open(cfg Config) (*Journal, error) { return open(cfg, 0) }

// open is Open. With a generation it makes a journal of a copy, in which that begins.
func open(cfg Config, restored messages.Generation) (*Journal, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := makeDir(cfg.FS, cfg.Dir); err != nil {
		return nil, err
	}
	lock, err := lockDir(cfg.FS, cfg.Dir)
	if err != nil {
		return nil, err
	}
	j := &Journal{
		cfg: cfg, lock: lock, stop: make(chan struct{}), grew: make(chan struct{}, 1), spent: make(chan struct{}, 1),
		unwritten: make(chan error, 1), orders: newKnownOrders(cfg.Versions),
		owners: owners{self: messages.NewIncarnation(cfg.Node)}, restored: restored, marks: map[messages.DefinitionRef]uint64{},
	}
	j.cfg.FS = disk{cfg.FS, j}
	j.lane = lane.New(lane.Bounds{
		Commits: cfg.QueueCommits, Bytes: cfg.QueueBytes, BatchCommits: cfg.QueueCommits, BatchBytes: cfg.BatchBytes,
	})
	j.close = sync.OnceValue(j.closeOnce)
	if err := j.openStore(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	j.commits.batch = j.newBatch()
	j.owned.Go(j.commitLoop)
	j.owned.Go(j.watchGrowth)
	if cfg.LowWaterBytes > 0 {
		j.checkFree()
		j.owned.Go(j.watchFree)
	}
	return j, nil
}

// lockDir makes sure that no other process has the directory.
func lockDir(fs vfs.FS, dir string) (*pebble.Lock, error) {
	lock, err := pebble.LockDirectory(dir, fs)
	if err == nil {
		return lock, nil
	}
	// A path error is about the file; the lock itself gives a bare error.
	if pathErr := (*os.PathError)(nil); errors.As(err, &pathErr) {
		return nil, fmt.Errorf("lock the journal in %s: %w", dir, err)
	}
	return nil, fmt.Errorf("journal in %s is in use, by another process or by this one: stop that first: %w", dir, err)
}

// openStore brings the directory to the state open, and reads what is kept in memory.
func (j *Journal) openStore() error {
	fs, dir := j.cfg.FS, j.cfg.Dir
	now, err := readSeal(fs, dir)
	if err != nil {
		return err
	}
	if j.restored == 0 || now.state != stateCopy {
		if err := now.checkRuns(dir); err != nil {
			return err
		}
	}
	if err := now.checkFiles(fs, dir); err != nil {
		return fmt.Errorf("journal in %s: %w", dir, err)
	}
	creating := now.state == stateNew || now.state == stateCreating
	if now.state == stateNew {
		if err := writeSeal(fs, dir, seal{state: stateCreating}); err != nil {
			return err
		}
	}
	if now.state == stateSealed {
		if err := writeSeal(fs, dir, seal{state: stateOpen, manifest: now.manifest}); err != nil {
			return err
		}
	}
	o := engineOptions(j.cfg, engineLogger{Logger: j.cfg.Logger, dir: dir, fail: j.fail}, func() { signal(j.grew) })
	o.Lock = j.lock
	o.ErrorIfNotExists = !creating
	if j.db, err = openEngine(dir, o); err != nil {
		return engineError("open the journal in "+dir, err)
	}
	err = j.failed()
	if err == nil && creating {
		err = j.create()
	}
	if err == nil {
		err = errors.Join(checkFormat(j.db), j.loadCatalog(), j.owners.load(j.db), j.loadPosition(), j.countFallout())
	}
	if err == nil {
		err = j.identify()
	}
	if err == nil && j.restored != 0 {
		err = j.beginGeneration(j.restored)
	}
	if err == nil {
		err = j.note(true)
	}
	if err != nil {
		close(j.stop)
		return errors.Join(fmt.Errorf("journal in %s: %w", dir, err), j.db.Close())
	}
	return nil
}

// identify reads which journal this is, or names one that has no name yet.
func (j *Journal) identify() error {
	value, found, err := getBytes(j.db, []byte{kindIdentity})
	switch {
	case err != nil:
		return err
	case !found:
		j.identity = uuid.New()
		return j.write(write{[]byte{kindIdentity}, j.identity[:]})
	}
	if j.identity, err = uuid.FromBytes(value); err != nil {
		return persistence.DecodeError("identity", err)
	}
	return nil
}

// openEngine makes an error of the panic by which the engine answers a disk that fails.
func openEngine(dir string, o *pebble.Options) (db *pebble.DB, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return pebble.Open(dir, o) //nolint:wrapcheck // the caller says of what
}

// create finishes a new store. The engine has begun its first log in an old format, which guards less; so it begins another
// one by moving what there is into a table.
func (j *Journal) create() error {
	b := j.db.NewBatch()
	_ = b.Set([]byte{kindFormat}, []byte{format}, nil)                                    // Always nil.
	_ = b.Set([]byte{kindLevel}, appendNumber(nil, uint64(persistence.NewestLevel)), nil) // Always nil.
	id := uuid.New()
	_ = b.Set([]byte{kindIdentity}, id[:], nil) // Always nil.
	if err := b.Commit(pebble.Sync); err != nil {
		return fmt.Errorf("write the format: %w", err)
	}
	if err := j.failed(); err != nil {
		return err
	}
	return engineError("flush the new store", j.flush())
}

// note notes in the file HOLDFAST how far the logs are durable, and what the manifest has if it has grown.
func (j *Journal) note(grown bool) (err error) {
	now := seal{state: stateOpen, manifest: j.noted.manifest, logs: j.logs.ends()}
	if grown {
		if now.manifest, err = readManifest(j.cfg.FS, j.cfg.Dir); err != nil {
			return err
		}
	}
	if err := writeSeal(j.cfg.FS, j.cfg.Dir, now); err != nil {
		return err
	}
	j.noted = now
	return nil
}

// watchGrowth takes notes, soon after the manifest or the log has grown. While the disk has no room for a note, or the manifest
// can't be read, the last one stays; it is tried again.
func (j *Journal) watchGrowth() {
	tick := time.NewTicker(j.cfg.NoteAfter)
	defer tick.Stop()
	for grown, told := false, false; ; {
		select {
		case <-j.grew:
			grown = true
		case <-tick.C:
			if !grown && slices.Equal(j.logs.ends(), j.noted.logs) {
				continue
			}
		case <-j.stop:
			return
		}
		if j.failed() != nil {
			return
		}
		switch err := j.note(grown); {
		case err == nil:
			grown, told = false, false
		case errors.Is(err, errNoRoom):
		case errors.Is(err, persistence.ErrUnavailable) && j.failed() == nil:
			if !told {
				j.cfg.Logger.LogAttrs(context.Background(), slog.LevelWarn, "journal: its manifest can't be read; it is tried again",
					slog.String("dir", j.cfg.Dir), slog.String("error", err.Error()))
			}
			told = true
		default:
			j.fail(err)
			return
		}
	}
}

// checkFormat makes sure that the store is the one that the file HOLDFAST speaks of.
func checkFormat(db pebble.Reader) error {
	value, closer, err := db.Get([]byte{kindFormat})
	if errors.Is(err, pebble.ErrNotFound) {
		return persistence.DecodeError("format", errors.New("it is missing"))
	}
	if err != nil {
		return engineError("read the format", err)
	}
	defer func() { _ = closer.Close() }()
	if len(value) != 1 || value[0] != format {
		return persistence.DecodeError("format", fmt.Errorf("it is %x, and %s says %d", value, sealName, format))
	}
	return nil
}

// Close waits for commits under way, moves everything into tables and releases the directory.
func (j *Journal) Close() error { return j.close() }

func (j *Journal) closeOnce() error {
	j.lane.Close()
	close(j.stop)
	j.owned.Wait()
	j.gate.close()
	if err := j.failed(); err != nil {
		// The store may be in any state. The process is about to end; opening it again repairs it.
		if !j.counts.panicked.Load() {
			_ = j.db.Close()
		}
		return errors.Join(err, j.lock.Close())
	}
	err := engineError("flush the journal", errors.Join(j.commits.batch.Close(), j.flush()))
	err = errors.Join(err, engineError("close the journal", j.db.Close()), j.failed())
	if err == nil {
		err = j.seal()
	}
	return errors.Join(err, j.lock.Close())
}

// seal seals the directory of a store that is closed.
func (j *Journal) seal() error {
	m, err := readManifest(j.cfg.FS, j.cfg.Dir)
	if err != nil {
		return err
	}
	return writeSeal(j.cfg.FS, j.cfg.Dir, seal{state: stateSealed, manifest: m})
}

// flush moves everything into tables. It gives up when a table can't be written, as the engine would not.
func (j *Journal) flush() error {
	select {
	case <-j.unwritten: //nolint:errcheck // it was of another try
	default:
	}
	flushed, err := j.db.AsyncFlush()
	if err != nil {
		return err //nolint:wrapcheck // the caller says of what
	}
	select {
	case <-flushed:
		return nil
	case err := <-j.unwritten:
		return err
	}
}

// fail notes why the store can't go on, and has the process ended.
func (j *Journal) fail(err error) {
	err = fmt.Errorf("journal in %s failed: %w", j.cfg.Dir, err)
	j.failure.CompareAndSwap(nil, &err)
	j.cfg.Fatal(j.failed())
}

// failed says why the store can't go on, if so.
func (j *Journal) failed() error {
	if p := j.failure.Load(); p != nil {
		return *p
	}
	return nil
}

// apply makes a batch durable. After an error nothing more is written.
func (j *Journal) apply(b *pebble.Batch) (err error) {
	f := &flight{landed: make(chan struct{})}
	j.flight.Store(f)
	defer func() {
		// The engine panics when it can't open a new log.
		if r := recover(); r != nil {
			j.counts.panicked.Store(true)
			j.fail(fmt.Errorf("panic while writing: %v", r))
			err = j.failed()
		}
		close(f.landed)
		j.flight.Store(nil)
	}()
	if err := j.failed(); err != nil {
		return err
	}
	j.counts.fsyncs.Add(1)
	if err := j.db.Apply(b, pebble.Sync); err != nil {
		j.fail(err)
	}
	return j.failed()
}

// settle waits until what could be read when it was called is durable.
func (j *Journal) settle(ctx context.Context) error {
	if f := j.flight.Load(); f != nil {
		select {
		case <-f.landed:
		case <-ctx.Done():
			return fmt.Errorf("wait for a commit under way: %w", context.Cause(ctx))
		}
	}
	return j.failed()
}

// enter begins a read; leave ends it.
func (j *Journal) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("read the journal: %w", context.Cause(ctx))
	}
	return j.gate.enter()
}

func (j *Journal) leave() { j.gate.leave() }

// watchFree asks for the free disk space until the journal is closed.
func (j *Journal) watchFree() {
	ticker := time.NewTicker(j.cfg.FreeInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-j.spent:
		case <-j.stop:
			return
		}
		j.checkFree()
	}
}

// checkFree compares the free disk space with the low-water mark. While it is not known, what was known holds.
func (j *Journal) checkFree() {
	free, err := j.cfg.Free()
	attrs := []slog.Attr{slog.String("dir", j.cfg.Dir), slog.Int64("low_water_bytes", j.cfg.LowWaterBytes)}
	if err != nil {
		if !errors.Is(err, vfs.ErrUnsupported) {
			j.cfg.Logger.LogAttrs(context.Background(), slog.LevelWarn, "journal: free disk space is not known",
				append(attrs, slog.Any("error", err))...)
		}
		return
	}
	j.counts.free.Store(free)
	full := free < uint64(j.cfg.LowWaterBytes) //nolint:gosec // positive
	if j.full.Swap(full) == full {
		return
	}
	attrs = append(attrs, slog.Uint64("free_bytes", free))
	if full {
		j.cfg.Logger.LogAttrs(context.Background(), slog.LevelWarn,
			"journal: disk is at its low-water mark: no new orders are accepted", attrs...)
	} else {
		j.cfg.Logger.LogAttrs(context.Background(), slog.LevelInfo, "journal: disk has room again: new orders are accepted", attrs...)
	}
}

// signal puts a token into a channel that has room for one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// gate counts who is inside, and lets nobody in once it is closed.
type gate struct {
	mu     sync.Mutex
	closed bool
	inside sync.WaitGroup
}

func (g *gate) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return persistence.ErrClosed
	}
	g.inside.Add(1)
	return nil
}

func (g *gate) leave() { g.inside.Done() }

// close returns when nobody is inside.
func (g *gate) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.inside.Wait()
}
