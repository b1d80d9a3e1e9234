package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/persistence"
)

// Each session, of a lane or one that reads, has the settings by which the server finds out that its node is gone, and the name by which
// whoever takes over finds it.
func TestSessions(t *testing.T) {
	t.Parallel()
	s := sharedServer(t)
	config := configured(t, s, s.Address)
	config.Lanes, config.AnswerWithin = 2, 59500*time.Millisecond
	j, epochs := opened(t, config)
	conn, err := pgx.Connect(t.Context(), config.Shards[0])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // a test
	_, id, _ := strings.Cut(string(j.Incarnation()), "/")
	want := map[string]string{
		"application_name": "holdfast " + id, "client_connection_check_interval": "59500",
		"tcp_user_timeout": "59500", "tcp_keepalives_idle": "1", "tcp_keepalives_interval": "1", "tcp_keepalives_count": "3",
	}
	// Each session writes to the lanes before it is used, and tells then what it has.
	for _, sql := range []string{
		`CREATE TABLE told (pid int, name text, setting text)`,
		`CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			INSERT INTO public.told SELECT pg_backend_pid(), name, setting FROM pg_settings; RETURN NULL; END $$`,
		`CREATE TRIGGER tell AFTER UPDATE ON holdfast.lanes FOR EACH STATEMENT EXECUTE FUNCTION tell()`,
		endedFor + sessions,
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	for lane := range messages.Partition(2) {
		acceptAtLast(t, j, &epochs, inLane(lane))
	}
	if err := until(t, func() error { _, err := j.Find(t.Context(), messages.NewOrderID()); return err }); !errors.Is(err, persistence.ErrNotFound) {
		t.Error(err)
	}
	awaitThat(t, func() bool { // another one that reads may be in the making
		return ask(t, s, databaseOf(config), `SELECT count(*)`+sessions+` AND pid NOT IN (SELECT pid FROM told)`) == 0
	})
	found, err := conn.Query(t.Context(), `SELECT DISTINCT a.pid, t.name, t.setting`+
		strings.Replace(sessions, ` WHERE`, ` a JOIN told t USING (pid) WHERE`, 1))
	if err != nil {
		t.Fatal(err)
	}
	have := map[int]map[string]string{}
	var pid int
	var name, setting string
	if _, err := pgx.ForEachRow(found, []any{&pid, &name, &setting}, func() error {
		if have[pid] == nil {
			have[pid] = map[string]string{}
		}
		if _, ok := want[name]; ok {
			have[pid][name] = setting
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(have) < config.Lanes+1 || len(have) > config.Lanes+config.Readers {
		t.Errorf("%d sessions", len(have))
	}
	for pid, settings := range have {
		if !maps.Equal(settings, want) {
			t.Errorf("session %d has %v, want %v", pid, settings, want)
		}
	}
}

// The network swallows what is sent on connections that there are. Who commits or reads is told in time; others are made.
func TestConnectionSwallowed(t *testing.T) {
	t.Parallel()
	const within = time.Second
	for what, test := range map[string]struct {
		act  func(persistence.Journal, *[messages.Partitions]messages.Epoch) error
		want error
	}{
		"commit": {func(j persistence.Journal, epochs *[messages.Partitions]messages.Epoch) error {
			return accept(j, epochs, messages.NewOrderID())
		}, persistence.ErrUnknown},
		"read": {func(j persistence.Journal, _ *[messages.Partitions]messages.Epoch) error {
			_, err := j.Owners(context.Background())
			return err
		}, persistence.ErrUnavailable},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			p, j, epochs := proxied(t, within)
			if err := untilKnown(t, func() error { return test.act(j, &epochs) }); err != nil {
				t.Fatal(err)
			}
			p.hold(true, true, false)
			began := time.Now()
			if err := test.act(j, &epochs); !errors.Is(err, test.want) {
				t.Errorf("without an answer: %v, want %v", err, test.want)
			}
			if took := time.Since(began); took < within || took > patience {
				t.Errorf("it was given up after %v, and should be after %v", took, within)
			}
			if err := untilKnown(t, func() error { return test.act(j, &epochs) }); err != nil {
				t.Error(err)
			}
		})
	}
}

// The first two of three servers take connections and say nothing, as hosts do that hang: the third is found before the time for a
// connection is over.
func TestServerSilent(t *testing.T) {
	t.Parallel()
	s := sharedServer(t)
	hosts, ports := "127.0.0.1", fmt.Sprint(s.Port)
	for range 2 {
		silent, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()                      //nolint:errcheck // a test
		port := silent.Addr().(*net.TCPAddr).Port //nolint:errcheck // it is one
		hosts, ports = "127.0.0.1,"+hosts, fmt.Sprint(port, ",", ports)
	}
	config := configured(t, s, func(database string) string {
		return fmt.Sprintf("host=%s port=%s user=postgres dbname=%s sslmode=disable", hosts, ports, database)
	})
	config.AnswerWithin = time.Second
	j, epochs := opened(t, config)
	if ended := ask(t, s, databaseOf(config), `SELECT count(pg_terminate_backend(pid))`+sessions); ended == 0 {
		t.Fatal("the journal has no session")
	}
	acceptAny(t, j, &epochs)
	if err := until(t, func() error { _, err := j.Owners(t.Context()); return err }); err != nil {
		t.Error(err)
	}
}
