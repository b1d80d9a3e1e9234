package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/postgres"
)

// desk is where a test accepts losses: what is known of what was confirmed, and how often others were told.
type desk struct {
	t      *testing.T
	losses *postgres.Losses
	mu     sync.Mutex
	known  map[messages.Incarnation]messages.Watermarks
	told   int
	fails  error
}

func newDesk(t *testing.T, config postgres.Config, known map[messages.Incarnation]messages.Watermarks) *desk {
	t.Helper()
	losses, err := postgres.NewLosses(config)
	if err != nil {
		t.Fatal(err)
	}
	return &desk{t: t, losses: losses, known: known}
}

func (d *desk) all() postgres.Confirmed {
	d.mu.Lock()
	defer d.mu.Unlock()
	return postgres.Confirmed{To: maps.Clone(d.known)}
}

func (d *desk) show() []*adminv1.JournalServer {
	d.t.Helper()
	shown, err := d.losses.Show(d.t.Context(), d.all())
	if err != nil {
		d.t.Fatal(err)
	}
	return shown
}

func (d *desk) accept(confirm string) (messages.Generation, error) {
	return d.losses.Accept(d.t.Context(), d.all(), confirm, func(_ context.Context, who messages.Incarnation, w messages.Watermarks) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.told++
		d.known[who] = w
		return d.fails
	})
}

// promoted is a journal whose standby was made the primary, and lacks an order.
type promoted struct {
	*pair

	config postgres.Config
	j      *postgres.Journal
	epochs [messages.Partitions]messages.Epoch
	id     messages.OrderID
	desk   *desk
	// fenced gets something when the journal is told that it was fenced.
	fenced chan struct{}
}

func newPromoted(t *testing.T) *promoted {
	t.Helper()
	p := &promoted{pair: newPair(t, false), fenced: make(chan struct{}, 1)}
	p.config = p.pair.config(t, p.primary, p.standby)
	config := p.config
	config.Fenced = func() {
		select {
		case p.fenced <- struct{}{}:
		default:
		}
	}
	p.j, p.epochs = opened(t, config)
	p.id = p.lacking(t, p.j, &p.epochs, databaseOf(config))
	p.desk = newDesk(t, p.config, map[messages.Incarnation]messages.Watermarks{p.j.Incarnation(): p.j.Watermarks()})
	return p
}

// A standby that lacks what was confirmed is shown with the lane and the batches, and is not changed by that. Once that loss is accepted, and
// no other, a generation begins: whoever had the journal before is fenced, and told; the next goes on, without what was lost; and the primary
// of before is refused, also by who knows of nothing else.
func TestLossIsAccepted(t *testing.T) {
	t.Parallel()
	p := newPromoted(t)
	name := databaseOf(p.config)
	was := ask(t, p.standby, name, writings)
	shown := p.desk.show()
	if len(shown) != 2 || shown[0].GetUnreachable() == "" || shown[0].GetConfirm() != "" {
		t.Fatalf("the servers are %v: the first one is lost", shown)
	}
	x := shown[1]
	batches := p.j.Watermarks().Shards[0].Batches
	if x.GetUnreachable() != "" || x.GetStandby() || x.GetTimeline() != 2 || x.GetGeneration() != 0 || x.GetConfirm() == "" ||
		!strings.HasSuffix(x.GetAddress(), fmt.Sprintf(":%d/%s", p.standby.Port, name)) || len(x.GetLost()) != 1 {
		t.Fatalf("the server that lacks something is %v", x)
	}
	if b := x.GetLost()[0]; b.GetIncarnation() != string(p.j.Incarnation()) || b.GetLane() != 1 || b.GetConfirmed() != batches[2] ||
		b.GetHas() >= batches[2] || b.GetHas() == 0 {
		t.Errorf("it lacks %v, want the last of lane 1 up to %d", b, batches[2])
	}
	if _, err := p.desk.accept("other"); !isRefused(err) || p.desk.told != 0 {
		t.Errorf("another loss: %v; others were told %d times", err, p.desk.told)
	}
	if now := ask(t, p.standby, name, writings); now != was {
		t.Errorf("the server was written to: %d, and was %d", now, was)
	}

	if g, err := p.desk.accept(x.GetConfirm()); err != nil || g != 1 {
		t.Fatalf("accepted: generation %d, %v", g, err)
	}
	<-p.fenced
	awaitThat(t, func() bool {
		err := accept(p.j, &p.epochs, inLane(1))
		if err == nil {
			t.Error("an incarnation of before commits something")
		}
		return errors.Is(err, persistence.ErrIncarnationFenced)
	})
	if g, err := p.desk.accept(x.GetConfirm()); err != nil || g != 1 || p.desk.told != 1 {
		t.Errorf("accepted again: generation %d, %v; others were told %d times", g, err, p.desk.told)
	}

	p.config.Watermarks = &heard{known: p.desk.all().To}
	next, epochs := opened(t, p.config)
	if _, err := next.Find(t.Context(), p.id); !errors.Is(err, persistence.ErrNotFound) {
		t.Errorf("what was lost: %v", err)
	}
	acceptAtLast(t, next, &epochs, p.id)
	for n, e := range epochs {
		if e.Generation() != 1 {
			t.Fatalf("partition %d is owned under epoch %d, of generation %d", n, e, e.Generation())
		}
	}
	p.wantRefused(t)
}

// wantRefused has the primary of before come back: it is refused by who knows what was told before the loss was accepted, and that alone,
// and its own loss can't be accepted beside the server that is used.
func (p *promoted) wantRefused(t *testing.T) {
	t.Helper()
	if err := p.startPrimary(); err != nil {
		t.Fatal(err)
	}
	alone := p.config
	alone.Shards = []string{p.primary.Address(databaseOf(p.config))}
	_, err := postgres.Open(t.Context(), alone)
	if !errors.Is(err, persistence.ErrUnavailable) || !strings.Contains(err.Error(), "generation 1 has begun since") {
		t.Errorf("the primary of before: %v", err)
	}
	if x := p.desk.show()[0]; len(x.GetLost()) != 1 || x.GetConfirm() != "" || !strings.Contains(x.GetUnacceptable(), "has everything") {
		t.Errorf("the primary of before is %v", x)
	}
	p.standby.Stop()
	if x := p.desk.show()[0]; x.GetConfirm() == "" || x.GetLost()[0].GetGeneration() != 1 {
		t.Errorf("the primary of before, as the only one, is %v", x)
	}
}

func isRefused(err error) bool {
	refused, ok := errors.AsType[*postgres.LossError](err)
	return ok && refused.Reason() == "NO_SUCH_LOSS" && refused.Field() == "confirm"
}

// Who has begun since the standby heard last is not known there: it is fenced like all others.
func TestLossOfWhoIsNotKnown(t *testing.T) {
	t.Parallel()
	p := newPromoted(t)
	if err := p.startPrimary(); err != nil {
		t.Fatal(err)
	}
	config := p.config
	fenced := make(chan struct{}, 1)
	config.Fenced = func() {
		select {
		case fenced <- struct{}{}:
		default:
		}
	}
	config.Watermarks = &heard{known: p.desk.all().To}
	late, err := postgres.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close() //nolint:errcheck // a test
	p.primary.Stop()
	if g, err := p.desk.accept(p.desk.show()[1].GetConfirm()); err != nil || g != 1 {
		t.Fatalf("accepted: generation %d, %v", g, err)
	}
	<-fenced
}

// What is left is a primary of before, and the one that was used since is lost: who has used that is fenced by the loss that is accepted,
// though the server has an earlier timeline.
func TestLossAtThePrimaryOfBefore(t *testing.T) {
	t.Parallel()
	p := newPair(t, false)
	config := p.config(t, p.primary, p.standby)
	fenced := make(chan struct{}, 1)
	config.Fenced = func() {
		select {
		case fenced <- struct{}{}:
		default:
		}
	}
	j, epochs := opened(t, config)
	p.catchUp(t)
	p.primary.Stop()
	p.promote(t)
	acceptAtLast(t, j, &epochs, inLane(0))
	acceptAtLast(t, j, &epochs, inLane(1))
	p.standby.Stop()
	if err := p.startPrimary(); err != nil {
		t.Fatal(err)
	}
	d := newDesk(t, config, map[messages.Incarnation]messages.Watermarks{j.Incarnation(): j.Watermarks()})
	x := d.show()[0]
	if x.GetTimeline() != 1 || x.GetConfirm() == "" {
		t.Fatalf("the primary of before is %v", x)
	}
	if g, err := d.accept(x.GetConfirm()); err != nil || g != 1 {
		t.Fatalf("accepted: generation %d, %v", g, err)
	}
	awaitThat(t, func() bool { return errors.Is(accept(j, &epochs, inLane(0)), persistence.ErrIncarnationFenced) })
	<-fenced
}

// Who accepts a loss is interrupted when others know of it, and nothing has begun: no server is used then, the same word is shown, and it
// begins just what was told of. Several who do so at once are one.
func TestLossIsAcceptedAfterAll(t *testing.T) {
	t.Parallel()
	p := newPromoted(t)
	word := p.desk.show()[1].GetConfirm()
	p.desk.fails = errors.New("interrupted")
	if _, err := p.desk.accept(word); !errors.Is(err, p.desk.fails) || !errors.Is(err, persistence.ErrUnavailable) || p.desk.told != 1 {
		t.Fatalf("interrupted: %v; others were told %d times", err, p.desk.told)
	}
	if n := ask(t, p.standby, databaseOf(p.config), `SELECT generation FROM holdfast.meta`); n != 0 {
		t.Errorf("generation %d has begun", n)
	}
	p.config.Watermarks = &heard{known: p.desk.all().To}
	if _, err := postgres.Open(t.Context(), p.config); !errors.Is(err, persistence.ErrUnavailable) {
		t.Errorf("a server where the generation has not begun: %v", err)
	}
	if x := p.desk.show()[1]; x.GetConfirm() != word || len(x.GetLost()) != 2 {
		t.Errorf("the server is %v, and its word was %s", x, word)
	}
	p.desk.fails = nil
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if g, err := p.desk.accept(word); err != nil || g != 1 {
				t.Errorf("accepted: generation %d, %v", g, err)
			}
		})
	}
	all.Wait()
	next, epochs := opened(t, p.config)
	acceptAtLast(t, next, &epochs, p.id)
}

// Many accept the same loss at once, again and again: each is told of the generation that begins, also who looks at the server at the moment
// in which it does.
func TestLossIsAcceptedByMany(t *testing.T) {
	t.Parallel()
	config := configured(t, sharedServer(t), sharedServer(t).Address)
	j, _ := opened(t, config)
	d := newDesk(t, config, map[messages.Incarnation]messages.Watermarks{})
	for n := range messages.Generation(15) {
		d.known[messages.Incarnation(fmt.Sprint("node/", n))] = messages.Watermarks{
			Journal: j.Watermarks().Journal, Shards: []messages.ShardWatermarks{{Generation: n, Batches: []int64{0, 1}}},
		}
		word := d.show()[0].GetConfirm()
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if g, err := d.accept(word); err != nil || g != n+1 {
					t.Errorf("accepted: generation %d, %v; want %d", g, err, n+1)
				}
			})
		}
		all.Wait()
	}
}

// Who accepts a loss does not go on, as a host does that is lost, when nobody may write any more: the server ends that by itself, and
// nothing has begun.
func TestLossIsNotAcceptedForever(t *testing.T) {
	t.Parallel()
	config := configured(t, sharedServer(t), sharedServer(t).Address)
	j, _ := opened(t, config)
	config.AnswerWithin = time.Second
	d := newDesk(t, config, map[messages.Incarnation]messages.Watermarks{
		"node/0": {Journal: j.Watermarks().Journal, Shards: []messages.ShardWatermarks{{Batches: []int64{0, 1}}}},
	})
	other, err := pgx.Connect(t.Context(), config.Shards[0])
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.Background()) //nolint:errcheck // a test
	const writes = `UPDATE holdfast.lanes SET batch = batch WHERE lane = -1`
	if _, err := other.Exec(t.Context(), `SET lock_timeout = '100ms'`); err != nil {
		t.Fatal(err)
	}
	_, err = d.losses.Accept(t.Context(), d.all(), d.show()[0].GetConfirm(),
		func(context.Context, messages.Incarnation, messages.Watermarks) error {
			if _, err := other.Exec(t.Context(), writes); err == nil {
				t.Error("somebody writes meanwhile")
			}
			awaitThat(t, func() bool { _, err := other.Exec(t.Context(), writes); return err == nil })
			return nil
		})
	if !errors.Is(err, persistence.ErrUnavailable) {
		t.Errorf("accepted by who did not go on in time: %v", err)
	}
	if n := ask(t, sharedServer(t), databaseOf(config), `SELECT generation FROM holdfast.meta`); n != 0 {
		t.Errorf("generation %d has begun", n)
	}
}

// Whoever accepts the losses of two servers at once has none of them used, and is shown why. The one that is accepted then is used, under a
// later generation.
func TestLossesOfTwoServers(t *testing.T) {
	t.Parallel()
	p := newPromoted(t)
	word := p.desk.show()[1].GetConfirm()
	const other = "accepted-loss/another-server"
	of := messages.Watermarks{Journal: p.j.Watermarks().Journal, Shards: []messages.ShardWatermarks{{Generation: 1, Batches: []int64{1}}}}
	if g, err := p.desk.accept(word); err != nil || g != 1 {
		t.Fatalf("accepted: generation %d, %v", g, err)
	}
	p.desk.known[other] = of // it was told at the same time
	p.config.Watermarks = &heard{known: p.desk.all().To}
	_, err := postgres.Open(t.Context(), p.config)
	if want := "lane -1 of " + other; !errors.Is(err, persistence.ErrUnavailable) || !strings.Contains(err.Error(), want) {
		t.Errorf("two were accepted: %v, want %s", err, want)
	}
	x := p.desk.show()[1]
	if len(x.GetLost()) != 1 || x.GetLost()[0].GetIncarnation() != other || x.GetConfirm() == word || x.GetConfirm() == "" {
		t.Fatalf("the server is %v", x)
	}
	if g, err := p.desk.accept(x.GetConfirm()); err != nil || g != 2 {
		t.Fatalf("accepted again: generation %d, %v", g, err)
	}
	p.config.Watermarks = &heard{known: p.desk.all().To}
	next, epochs := opened(t, p.config)
	acceptAtLast(t, next, &epochs, p.id)
}

// What can't be gone on with is not accepted: a server of another journal, one without any, and one that only follows another.
func TestLossIsUnacceptable(t *testing.T) {
	t.Parallel()
	p := newPair(t, false)
	config := p.config(t, p.primary, p.standby)
	empty := newDesk(t, config, nil)
	for _, x := range empty.show() {
		if x.GetConfirm() != "" || !strings.Contains(x.GetUnacceptable(), "no journal") {
			t.Errorf("without a journal the server is %v", x)
		}
	}
	j, _ := opened(t, config)
	d := newDesk(t, config, map[messages.Incarnation]messages.Watermarks{
		"node/0": {Journal: j.Watermarks().Journal, Shards: []messages.ShardWatermarks{{Batches: []int64{0, 1}}}},
	})
	p.catchUp(t)
	shown := d.show()
	if shown[0].GetConfirm() == "" || shown[0].GetStandby() || shown[0].GetTimeline() != 1 {
		t.Errorf("the primary is %v", shown[0])
	}
	if x := shown[1]; !x.GetStandby() || x.GetConfirm() != "" || len(x.GetLost()) != 1 || x.GetTimeline() != 1 ||
		!strings.Contains(x.GetUnacceptable(), "make it the primary") {
		t.Errorf("the standby is %v", x)
	}
	d.known["node/0"] = messages.Watermarks{Journal: "another", Shards: d.known["node/0"].Shards}
	if x := d.show()[0]; x.GetConfirm() != "" || !strings.Contains(x.GetUnacceptable(), "committed to the journal another") {
		t.Errorf("of another journal the server is %v", x)
	}
	two := config
	two.Shards = append(two.Shards, two.Shards[0])
	d = newDesk(t, two, map[messages.Incarnation]messages.Watermarks{
		"node/0": {Shards: []messages.ShardWatermarks{{Batches: []int64{0, 1}}, {}}},
	})
	if x := d.show()[0]; x.GetConfirm() != "" || !strings.Contains(x.GetUnacceptable(), "shard 0 of 1") {
		t.Errorf("as a shard of two the server is %v", x)
	}
}
