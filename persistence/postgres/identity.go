package postgres

import (
	"errors"
	"sync"

	"github.com/google/uuid"
)

// identity is which journal the databases are shards of, as those tell that answer. A journal is made when all of them answer, and none
// has a shard: else one that is away might have another journal. What was begun so is completed, whoever comes first. But one that is
// empty after all were made has lost what it had, and is refused.
type identity struct {
	mu sync.Mutex
	// name is that of the journal; zero: no database has told it yet.
	name uuid.UUID
	// whole: all shards were made.
	whole bool
	// answered: all databases have answered.
	answered bool
}

// is notes the name that a database tells, and whether it knows that all shards were made.
func (i *identity) is(name uuid.UUID, whole bool) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.name == uuid.Nil {
		i.name = name
	}
	if i.name != name {
		return unfitf("the database has a shard of the journal %s, and another one is that of %s", name, i.name)
	}
	i.whole = i.whole || whole
	return nil
}

// ofNew is the name for a shard that is to be made.
func (i *identity) ofNew(shard int) (uuid.UUID, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.whole:
		return uuid.Nil, unfitf("the database is empty, and had a shard of the journal %s, as the others tell: "+
			"give the right one, or restore the journal", i.name)
	case i.name != uuid.Nil:
		return i.name, nil
	case i.answered && shard == 0:
		return uuid.New(), nil
	}
	return uuid.Nil, errNew
}

// errNew is why nothing is made yet.
var errNew = errors.New("the database has no journal yet: one is made when all its databases answer")

// isWhole tells whether a database has told that all shards were made.
func (i *identity) isWhole() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.whole
}

// text is the name, as others are told it; empty: none is known.
func (i *identity) text() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.name == uuid.Nil {
		return ""
	}
	return i.name.String()
}

// answer notes whether all databases have answered.
func (i *identity) answer(all bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answered = all
}
