package postgres_test

import (
	"os"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence/postgres"
)

// A sweep of the intake of all partitions is one query in each shard that has any of them.
func TestSweep(t *testing.T) {
	t.Parallel()
	s := ownServer(t, "log_statement=all")
	config := postgres.Config{Logger: discard(), AnswerWithin: unhurried}
	for range 2 {
		config.Shards = append(config.Shards, s.Address(database(t, s)))
	}
	j, _ := opened(t, config)
	var all, even []messages.Partition
	for p := range messages.Partition(messages.Partitions) {
		if all = append(all, p); p%2 == 0 {
			even = append(even, p)
		}
	}
	before := 0
	for _, sweep := range []struct {
		of   []messages.Partition
		want int
	}{{all, 2}, {even, 1}, {nil, 0}} {
		if _, err := j.Intake(t.Context(), sweep.of, messages.Handle{}, 1000); err != nil {
			t.Fatal(err)
		}
		log, err := os.ReadFile(s.Log) // the server writes what it does before it answers
		if err != nil {
			t.Fatal(err)
		}
		count := strings.Count(string(log), "WHERE intake AND")
		if count-before != sweep.want {
			t.Errorf("the intake of %d partitions is %d queries, want %d", len(sweep.of), count-before, sweep.want)
		}
		before = count
	}
}
