package pebble

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

const epochSize = 8

// loadEpochs reads the epochs of all partitions.
func loadEpochs(db pebble.Reader, epochs *[messages.Partitions]atomic.Uint64) error {
	for p := range epochs {
		value, closer, err := db.Get(appendEpochKey(nil, messages.Partition(p)))
		if errors.Is(err, pebble.ErrNotFound) {
			continue
		}
		if err != nil {
			return engineError("read the epochs", err)
		}
		if len(value) < epochSize {
			return persistence.DecodeError(fmt.Sprintf("epoch of partition %d", p), fmt.Errorf("it has %d bytes", len(value)))
		}
		epochs[p].Store(binary.BigEndian.Uint64(value))
		if err := closer.Close(); err != nil {
			return engineError("read the epochs", err)
		}
	}
	return nil
}

// Epoch returns a partition's epoch.
func (j *Journal) Epoch(ctx context.Context, p messages.Partition) (messages.Epoch, error) {
	if err := j.enter(ctx); err != nil {
		return 0, err
	}
	defer j.leave()
	if int(p) >= len(j.epochs) {
		return 0, fmt.Errorf("partition is %d: it must be below %d", p, len(j.epochs))
	}
	return messages.Epoch(j.epochs[p].Load()), j.failed()
}

// Claim makes node the owner of a partition. An error other than ErrFenced leaves open whether it is.
func (j *Journal) Claim(ctx context.Context, p messages.Partition, node messages.NodeID, seen messages.Epoch) (messages.Epoch, error) {
	if err := j.enter(ctx); err != nil {
		return 0, err
	}
	defer j.leave()
	if int(p) >= len(j.epochs) {
		return 0, fmt.Errorf("partition is %d: it must be below %d", p, len(j.epochs))
	}
	j.writing.Lock()
	defer j.writing.Unlock()
	if now := messages.Epoch(j.epochs[p].Load()); now != seen {
		return 0, fmt.Errorf("%w: partition %d has epoch %d, not %d", persistence.ErrFenced, p, now, seen)
	}
	value := binary.BigEndian.AppendUint64(nil, uint64(seen+1))
	if err := j.write(appendEpochKey(nil, p), append(value, node...)); err != nil {
		return 0, fmt.Errorf("claim partition %d: %w", p, err)
	}
	j.epochs[p].Store(uint64(seen + 1))
	return seen + 1, nil
}

// write makes one key durable, or its removal if value is nil; writing is held.
func (j *Journal) write(key, value []byte) error {
	b := j.db.NewBatch()
	if value == nil {
		_ = b.Delete(key, nil) // Always nil.
	} else {
		_ = b.Set(key, value, nil) // Always nil.
	}
	if err := j.apply(b); err != nil {
		return fmt.Errorf("%w: %w", persistence.ErrUnknown, err)
	}
	return engineError("write", b.Close())
}

// PutDefinition stores a definition for good. Two documents are the same if their hashes are.
func (j *Journal) PutDefinition(ctx context.Context, row *journalv1.DefinitionRow) (*journalv1.DefinitionRow, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	ref := messages.DefinitionRef{Namespace: row.GetNamespace(), Name: row.GetName(), Version: row.GetVersion()}
	for _, part := range []string{ref.Namespace, ref.Name, ref.Version} {
		if part == "" || strings.ContainsRune(part, 0) {
			return nil, fmt.Errorf("definition %q: namespace, name and version must be given, without zero bytes", ref)
		}
	}
	value, err := marshal.Marshal(row)
	if err != nil {
		return nil, fmt.Errorf("encode definition %s: %w", ref, err)
	}
	j.writing.Lock()
	defer j.writing.Unlock()
	key, stored := definitionKey(ref), new(journalv1.DefinitionRow)
	switch err := get(j.db, key, stored); {
	case err == nil && bytes.Equal(stored.GetHash(), row.GetHash()):
		return stored, nil
	case err == nil:
		return nil, fmt.Errorf("%w: another document is deployed as %s", persistence.ErrConflict, ref)
	case !errors.Is(err, persistence.ErrNotFound):
		return nil, fmt.Errorf("look for definition %s: %w", ref, err)
	}
	if err := j.write(key, value); err != nil {
		return nil, fmt.Errorf("store definition %s: %w", ref, err)
	}
	return proto.CloneOf(row), nil
}

// RetireDefinition notes that a definition is not for new orders any more, or with nil that it is again.
func (j *Journal) RetireDefinition(
	ctx context.Context, ref messages.DefinitionRef, r *journalv1.Retirement,
) (*journalv1.DefinitionRow, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	j.writing.Lock()
	defer j.writing.Unlock()
	key, row := definitionKey(ref), new(journalv1.DefinitionRow)
	if err := get(j.db, key, row); err != nil {
		return nil, fmt.Errorf("look for definition %s: %w", ref, err)
	}
	if (row.GetRetirement() == nil) == (r == nil) {
		return row, nil
	}
	row.Retirement = proto.CloneOf(r)
	value, err := marshal.Marshal(row)
	if err != nil {
		return nil, fmt.Errorf("encode definition %s: %w", ref, err)
	}
	if err := j.write(key, value); err != nil {
		return nil, fmt.Errorf("store definition %s: %w", ref, err)
	}
	return row, nil
}

// Definition returns one definition.
func (j *Journal) Definition(ctx context.Context, ref messages.DefinitionRef) (*journalv1.DefinitionRow, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	row := new(journalv1.DefinitionRow)
	if err := get(j.db, definitionKey(ref), row); err != nil {
		return nil, fmt.Errorf("read definition %s: %w", ref, err)
	}
	return row, j.settle(ctx)
}

// AllDefinitions returns all definitions.
func (j *Journal) AllDefinitions(ctx context.Context) iter.Seq2[*journalv1.DefinitionRow, error] {
	return all[journalv1.DefinitionRow](ctx, j, kindDefinition, "definition")
}

// all returns the rows of a kind.
func all[T any, M interface {
	*T
	proto.Message
}](ctx context.Context, j *Journal, kind byte, what string) iter.Seq2[M, error] {
	return func(yield func(M, error) bool) {
		if err := j.enter(ctx); err != nil {
			yield(nil, err)
			return
		}
		defer j.leave()
		err := j.scan(ctx, []byte{kind}, []byte{kind + 1}, func(key, value []byte) (bool, error) {
			row := M(new(T))
			if err := proto.Unmarshal(value, row); err != nil {
				return false, persistence.DecodeError(fmt.Sprintf("%s under key %q", what, key), err)
			}
			return yield(row, nil), nil
		})
		if err != nil {
			yield(nil, fmt.Errorf("read each %s: %w", what, err))
		}
	}
}

// PutLimit stores the limit of an activity, or removes it.
func (j *Journal) PutLimit(ctx context.Context, row *journalv1.LimitRow) error {
	if err := j.enter(ctx); err != nil {
		return err
	}
	defer j.leave()
	if row.GetActivity() == "" || row.GetRate() < 0 {
		return fmt.Errorf("limit of %q to %v a second: an activity, and no negative rate, are expected", row.GetActivity(), row.GetRate())
	}
	value, err := marshal.Marshal(row)
	if err != nil {
		return fmt.Errorf("encode the limit of %s: %w", row.GetActivity(), err)
	}
	key := append([]byte{kindLimit}, row.GetActivity()...)
	j.writing.Lock()
	defer j.writing.Unlock()
	if row.GetRate() == 0 && row.GetConcurrency() == 0 {
		value = nil
	}
	if err := j.write(key, value); err != nil {
		return fmt.Errorf("store the limit of %s: %w", row.GetActivity(), err)
	}
	return nil
}

// AllLimits returns all limits.
func (j *Journal) AllLimits(ctx context.Context) iter.Seq2[*journalv1.LimitRow, error] {
	return all[journalv1.LimitRow](ctx, j, kindLimit, "limit")
}
