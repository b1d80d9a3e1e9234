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

// write makes one key durable; writing is held.
func (j *Journal) write(key, value []byte) error {
	b := j.db.NewBatch()
	_ = b.Set(key, value, nil) // Always nil.
	if err := j.apply(b); err != nil {
		return fmt.Errorf("%w: %w", persistence.ErrUnknown, err)
	}
	signal(j.queue.wake) // The committer sets a mark behind it.
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
	key, stored := appendDefinitionKey(nil, ref), new(journalv1.DefinitionRow)
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

// Definition returns one definition.
func (j *Journal) Definition(ctx context.Context, ref messages.DefinitionRef) (*journalv1.DefinitionRow, error) {
	if err := j.enter(ctx); err != nil {
		return nil, err
	}
	defer j.leave()
	row := new(journalv1.DefinitionRow)
	if err := get(j.db, appendDefinitionKey(nil, ref), row); err != nil {
		return nil, fmt.Errorf("read definition %s: %w", ref, err)
	}
	return row, j.settle(ctx)
}

// AllDefinitions returns all definitions.
func (j *Journal) AllDefinitions(ctx context.Context) iter.Seq2[*journalv1.DefinitionRow, error] {
	return func(yield func(*journalv1.DefinitionRow, error) bool) {
		if err := j.enter(ctx); err != nil {
			yield(nil, err)
			return
		}
		defer j.leave()
		err := j.scan(ctx, []byte{kindDefinition}, []byte{kindDefinition + 1}, func(key, value []byte) (bool, error) {
			row := new(journalv1.DefinitionRow)
			if err := proto.Unmarshal(value, row); err != nil {
				return false, persistence.DecodeError(fmt.Sprintf("definition under key %q", key), err)
			}
			return yield(row, nil), nil
		})
		if err != nil {
			yield(nil, fmt.Errorf("read the definitions: %w", err))
		}
	}
}
