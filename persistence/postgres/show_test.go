package postgres_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/persistence/postgres"
)

// What is shown of a shard names the primary that is used and the standby that it waits for, and no password. Without a server it says
// why, and what is known all the same.
func TestShardsAreShown(t *testing.T) {
	t.Parallel()
	p := newPair(t, true)
	config := p.config(t, p.standby, p.primary)
	config.Shards[0] += " password=secret"
	j, err := postgres.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	shards := j.ShowShards(t.Context())
	if len(shards) != 1 {
		t.Fatalf("there are %v", shards)
	}
	s := shards[0]
	if s.GetUnreachable() != "" || s.GetServer() != fmt.Sprintf("127.0.0.1:%d", p.primary.Port) || s.GetSynchronousStandbyNames() != "standby" ||
		s.GetPartitions() != 256 || len(s.GetLanes()) != 2 || s.GetJournalBytes() == 0 || s.GetDatabaseBytes() < s.GetJournalBytes() {
		t.Errorf("with a server: %v", s)
	}
	if len(s.GetStandbys()) != 1 || s.GetStandbys()[0].GetName() != "standby" || s.GetStandbys()[0].GetSyncState() != "sync" {
		t.Errorf("the standbys are %v", s.GetStandbys())
	}
	want := fmt.Sprintf("127.0.0.1:%d,127.0.0.1:%d/", p.standby.Port, p.primary.Port)
	if strings.Contains(s.String(), "secret") || !strings.HasPrefix(s.GetAddress(), want) {
		t.Errorf("the address is %q, want %s…", s.GetAddress(), want)
	}
	p.primary.Kill()
	s = j.ShowShards(t.Context())[0]
	if s.GetUnreachable() == "" || strings.Contains(s.String(), "secret") || s.GetPartitions() != 256 || s.GetServer() != "" {
		t.Errorf("without a server: %v", s)
	}
}
