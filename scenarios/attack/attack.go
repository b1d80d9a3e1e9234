package attack

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/client"
)

// Attacker is what makes a program an attacker.
const Attacker = "attacker"

// Report is what came of an attack.
type Report struct {
	Attack string `json:"attack"`
	// Did is how often: connections, streams, messages, whatever the attack is about.
	Did int64 `json:"did"`
	// Refused counts by reason what the node refused, and what it ended.
	Refused map[string]int64 `json:"refused"`
}

// Exit statuses.
const (
	ended  = 0
	failed = 1
	usage  = 2
)

// attacks are all, by name. Each goes on until its context ends.
var attacks = map[string]func(context.Context, *assault){ //nolint:gochecknoglobals // a table
	Burn: burn,
	Lies: lies, Hoard: hoard, Answers: answers, Names: names, Keys: keys, Reconnects: reconnects, Silent: silent, Partial: partial,
	Parts:       parts,
	Expressions: expressions, Metadata: metadata, Streams: streams, Slow: slow, Resets: resets, Continuations: continuations, Floods: floods,
	HalfOpen: halfOpen, Idle: idle, Connects: connects, Unread: unread, Definitions: definitions, Costly: costly, Lists: lists,
	Handshakes: handshakes, HalfHandshakes: halfHandshakes,
}

// Run attacks until ctx ends, if the first of the arguments says so, and returns the exit status.
func Run(ctx context.Context, args []string, stderr io.Writer) (exit int, is bool) {
	if len(args) == 0 || args[0] != Attacker {
		return 0, false
	}
	var names, report string
	var seed uint64
	t := assault{}
	f := flag.NewFlagSet(Attacker, flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&names, "attack", "", "attacks, with commas between")
	f.StringVar(&t.server, "server", "", "address of the node's API")
	f.StringVar(&t.admin, "admin", "", "address of its administration")
	f.StringVar(&report, "report", "", "file for the reports")
	f.Uint64Var(&seed, "seed", 0, "decides what chance decides")
	if f.Parse(args[1:]) != nil {
		return usage, true // the flag package has printed it
	}
	chosen := strings.Split(names, ",")
	for _, name := range chosen {
		if attacks[name] == nil {
			_, _ = fmt.Fprintf(stderr, "there is no attack %q\n", name)
			return usage, true
		}
	}
	if err := run(ctx, chosen, &t, seed, report); err != nil {
		_, _ = fmt.Fprintf(stderr, "%s: %v\n", Attacker, err)
		return failed, true
	}
	return ended, true
}

// leastWindow is the smallest window that gRPC takes.
const leastWindow = 64 << 10

func run(ctx context.Context, names []string, target *assault, seed uint64, report string) (err error) {
	file, err := os.OpenFile(report, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	var all sync.WaitGroup
	var made []*assault
	for i, name := range names {
		conn, err := client.New(client.Config{
			Addresses: []string{target.server}, Unrouted: true, Patience: -1,
			// Whoever does not read is not to take much before the node has to wait.
			DialOptions: []grpc.DialOption{grpc.WithInitialWindowSize(leastWindow), grpc.WithInitialConnWindowSize(leastWindow)},
		})
		if err != nil {
			return fmt.Errorf("connect to %s: %w", target.server, err)
		}
		defer conn.Close() //nolint:errcheck // it fails only if it was closed before
		a := &assault{
			server: target.server, admin: target.admin, name: name, conn: conn, refused: map[string]int64{},
			chance: rand.New(rand.NewPCG(seed, uint64(i))),
		}
		made = append(made, a)
		all.Go(func() { attacks[name](ctx, a) })
	}
	all.Wait()
	lines := json.NewEncoder(file)
	for _, a := range made {
		if err := lines.Encode(Report{Attack: a.name, Did: a.did.Load(), Refused: a.refused}); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	}
	return nil
}

// assault is an attack on a node.
type assault struct {
	server, admin, name string

	conn   *client.Client // to the API
	chance *rand.Rand     // for the goroutine of the attack
	did    atomic.Int64

	mu      sync.Mutex
	refused map[string]int64
}

// listeners are the addresses at which the node speaks HTTP/2.
func (a *assault) listeners() []string { return []string{a.server, a.admin} }

// refuse counts a refusal.
func (a *assault) refuse(reason string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refused[reason]++
}

// failed counts the refusal that an error is; one that comes of the end of the attack does not count.
func (a *assault) failed(ctx context.Context, err error) {
	if err == nil || errors.Is(err, io.EOF) || ctx.Err() != nil {
		return
	}
	reason := client.Reason(err)
	if reason == "" {
		reason = status.Code(err).String()
	}
	a.refuse(reason)
}

// turnEvery is the beat of what is done so often in a second.
const turnEvery = 10 * time.Millisecond

// often does something so often in a second, as far as it takes no longer, until ctx ends.
func often(ctx context.Context, inSecond int, do func()) {
	turns := time.NewTicker(turnEvery)
	defer turns.Stop()
	for {
		for range inSecond * int(turnEvery/time.Millisecond) / 1000 {
			if ctx.Err() != nil {
				return
			}
			do()
		}
		select {
		case <-turns.C:
		case <-ctx.Done():
			return
		}
	}
}

// atOnce does something in so many goroutines, again and again until ctx ends.
func atOnce(ctx context.Context, n int, do func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			for ctx.Err() == nil {
				do(i)
				rest(ctx, turnEvery)
			}
		})
	}
	all.Wait()
}

// rest waits, or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// Burn is no attack: it takes processors' time and nothing else, to compare with.
const Burn = "burn"

func burn(ctx context.Context, a *assault) {
	for ctx.Err() == nil {
		sum := uint64(0)
		for range 100_000 {
			sum += a.chance.Uint64()
		}
		a.did.Add(int64(sum&1) + 1)
	}
}

// ReadReports reads what attackers have written, and sums it up by attack.
func ReadReports(file string) (map[string]*Report, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	sums := map[string]*Report{}
	for lines := json.NewDecoder(f); ; {
		var r Report
		if err := lines.Decode(&r); errors.Is(err, io.EOF) {
			return sums, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		sum := sums[r.Attack]
		if sum == nil {
			sum = &Report{Attack: r.Attack, Refused: map[string]int64{}}
			sums[r.Attack] = sum
		}
		sum.Did += r.Did
		for reason, n := range r.Refused {
			sum.Refused[reason] += n
		}
	}
}

// Refusals is how often the node refused, or ended, what an attack did, for one of the reasons.
func (r *Report) Refusals(reasons ...string) int64 {
	if r == nil {
		return 0
	}
	sum := int64(0)
	for reason, n := range r.Refused {
		if slices.Contains(reasons, reason) {
			sum += n
		}
	}
	return sum
}
