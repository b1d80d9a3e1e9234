package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
	"github.com/holdfast-run/holdfast/scenarios/verify/players"
)

// frailInFlight is how many orders are under way.
const frailInFlight = 150

// frails are the adapters of the row: one finds out what a dead process did, one keeps a ledger and can't find out, and one has two
// processes that do both.
var frails = []struct {
	name   string
	copies int
	finds  bool
	keeps  bool
}{{"finds", 1, true, false}, {"keeps", 1, false, true}, {"twins", 2, true, true}}

// adapterKills is how often an adapter is killed, and how many orders there are at least, of two activities each.
func adapterKills(s *site) (kills, orders int) {
	if s.ci() {
		return 15, 300
	}
	return 200, 2500
}

// adapterKillRow is the row under way.
type adapterKillRow struct {
	s        *site
	node     *stage.Node
	adapters []*stage.Process
	logs     []string // of the adapters, by name
	killed   map[int]time.Time
	client   *fleet
	desk     *desk
}

// adapterKill kills adapters at random moments, again and again, while their activities also time out, panic and end without an
// output that can be reported; and judges by what they wrote down whether all was done once, and undone where it should be.
func adapterKill(ctx context.Context, s *site) (figures, error) {
	ctx, st := stage.New(ctx, s.dir)
	defer st.Stop()
	r := &adapterKillRow{s: s, killed: map[int]time.Time{}}
	if err := r.start(ctx, st); err != nil {
		return nil, why(ctx, err)
	}
	conn, err := r.node.Dial()
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // it fails only if it was closed before
	admin, err := r.node.DialAdmin()
	if err != nil {
		return nil, err
	}
	defer admin.Close() //nolint:errcheck // as above
	if err := r.deploy(ctx, conn); err != nil {
		return nil, why(ctx, err)
	}
	r.desk = newDesk(admin)
	f := figures{}
	if err := r.sail(ctx, conn, f); err != nil {
		return f, why(ctx, err)
	}
	if err := r.ledgers(ctx, f); err != nil {
		return f, err
	}
	if err := r.account(ctx, conn, f); err != nil {
		return f, err
	}
	return f, r.node.Live(ctx)
}

// start starts a node and the adapters.
func (r *adapterKillRow) start(ctx context.Context, st *stage.Stage) error {
	var err error
	if r.node, err = st.StartNode(ctx, r.s.holdfast, false); err != nil {
		return err
	}
	if err := r.node.Ready(ctx); err != nil {
		return err
	}
	for _, a := range frails {
		log := fmt.Sprintf("%s/%s.jsonl", r.s.dir, a.name)
		r.logs = append(r.logs, log)
		for n := range a.copies {
			args := []string{players.Frail, "-server", r.node.Server, "-name", a.name, "-log", log, fmt.Sprint("-recover=", a.finds)}
			if a.keeps {
				args = append(args, "-ledger", r.folder(a.name, n))
			}
			p, err := st.Start(ctx, stage.Spec{Name: fmt.Sprint(a.name, "-", n), Path: r.s.self, Args: args, Restart: true})
			if err != nil {
				return err
			}
			r.adapters = append(r.adapters, p)
		}
	}
	return nil
}

func (r *adapterKillRow) folder(name string, n int) string {
	return fmt.Sprintf("%s/ledger-%s-%d", r.s.dir, name, n)
}

func (r *adapterKillRow) deploy(ctx context.Context, conn *client.Client) error {
	document, err := definitions.ReadFile("definitions/frail.yaml")
	if err != nil {
		return fmt.Errorf("read definition: %w", err)
	}
	for _, a := range frails {
		if err := deployDocument(ctx, conn, bytes.ReplaceAll(document, []byte("ADAPTER"), []byte(a.name))); err != nil {
			return fmt.Errorf("deploy %s: %w", a.name, err)
		}
	}
	return nil
}

// howOf says how the second activity of an order ends: one in ten each badly.
func howOf(n int) string {
	switch (n / len(frails)) % 10 {
	case 2:
		return players.FrailLate
	case 5:
		return players.FrailPanics
	case 8:
		return players.FrailUnreported
	}
	return players.FrailWell
}

// sail has orders submitted, and adapters killed, until all have ended.
func (r *adapterKillRow) sail(ctx context.Context, conn *client.Client, f figures) error {
	r.client = newFleet(func(n int) *orderv1.WorkOrder {
		return &orderv1.WorkOrder{
			Definition: fmt.Sprintf("verify/%s:1.0.0", frails[n%len(frails)].name),
			Input:      fmt.Appendf(nil, `{"n": %d, "how": %q}`, n, howOf(n)),
		}
	})
	// What faults is retried, and its end comes later.
	r.client.want = []orderv1.Status{orderv1.Status_STATUS_COMPLETED, orderv1.Status_STATUS_FAULTED}
	var others sync.WaitGroup
	aside, stop := context.WithCancel(ctx)
	defer others.Wait()
	defer stop()
	others.Go(func() { r.desk.run(aside) })
	kills, orders := adapterKills(r.s)
	err := r.client.during(ctx, conn, frailInFlight, func(sailing context.Context) error {
		if err := r.massacre(sailing, kills); err != nil {
			return err
		}
		return r.client.await(sailing, func(c counts) bool { return c.submitted >= orders })
	})
	if err != nil {
		return err
	}
	if f["left_open"], err = r.desk.settle(ctx); err != nil {
		return err
	}
	stop()
	others.Wait()
	wrong := slices.Concat(r.client.wrong, r.desk.wrong)
	for _, w := range wrong {
		r.s.sayf("adapter_kill: %v", w)
	}
	f["wrong_answers"], f["retried"], f["kills"] = len(wrong), r.desk.retried, len(r.killed)
	return nil
}

// massacre kills adapters.
func (r *adapterKillRow) massacre(ctx context.Context, kills int) error {
	chance := r.s.chance()
	for len(r.killed) < kills {
		if err := between(ctx, chance, 100*time.Millisecond, 500*time.Millisecond); err != nil {
			return err
		}
		victim := r.adapters[chance.IntN(len(r.adapters))]
		pid := victim.PID()
		if pid == 0 {
			continue
		}
		at, err := victim.Kill(ctx)
		if err != nil {
			return err
		}
		r.killed[pid] = at
	}
	return nil
}

// ledgers has a second process use a folder, and one that is damaged.
func (r *adapterKillRow) ledgers(ctx context.Context, f figures) error {
	run := func(folder string) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		said, err := exec.CommandContext(ctx, r.s.self, players.Frail, "-server", r.node.Server, "-name", "keeps",
			"-log", r.s.dir+"/refused.jsonl", "-ledger", folder).CombinedOutput()
		if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
			return "", fmt.Errorf("run an adapter on %s: %w", folder, err)
		}
		return string(said), nil
	}
	own := r.folder("keeps", 0)
	said, err := run(own)
	if err != nil {
		return err
	}
	f["locked"], f["refused"] = 0, 0
	if strings.Contains(said, "used by another process") {
		f["locked"] = 1
	} else {
		r.s.sayf("adapter_kill: a second process on a folder says %s", said)
	}
	log, err := os.ReadFile(filepath.Join(own, "ledger.log"))
	if err != nil {
		return err
	}
	log[len(log)/2] ^= 1
	damaged := r.s.dir + "/damaged"
	err = os.Mkdir(damaged, 0o700)
	if err == nil {
		err = os.WriteFile(damaged+"/ledger.log", log, 0o600) //nolint:gosec // in the row's own folder
	}
	if err != nil {
		return fmt.Errorf("make a damaged ledger: %w", err)
	}
	if said, err = run(damaged); err != nil {
		return err
	}
	if strings.Contains(said, "is damaged at byte") && strings.Contains(said, damaged) {
		f["refused"] = 1
	} else {
		r.s.sayf("adapter_kill: a process on a damaged folder says %s", said)
	}
	return nil
}

// account reads histories and logs, and judges.
func (r *adapterKillRow) account(ctx context.Context, conn *client.Client, f figures) error {
	c := r.client.counts()
	f["orders"], f["lost"], f["activities"] = c.submitted, c.lost(), 2*c.submitted
	seen := frailSeen{killed: r.killed, hows: map[messages.OrderID]string{}, told: map[messages.OrderID][]*orderv1.HistoryEvent{}}
	for _, o := range r.client.orders {
		seen.hows[o.id] = howOf(o.n)
	}
	var mu sync.Mutex
	var err error
	f["without_history"], err = readHistories(ctx, conn, idsOf(r.client.orders),
		func(id messages.OrderID, events []*orderv1.HistoryEvent) error {
			mu.Lock()
			defer mu.Unlock()
			seen.told[id] = events
			return nil
		})
	if err != nil {
		return err
	}
	for _, log := range r.logs {
		lines, err := players.ReadLines[players.FrailLine](log)
		if err != nil {
			return err
		}
		seen.lines = append(seen.lines, lines...)
	}
	verdict := seen.judge()
	for _, wrong := range seen.wrong[:min(len(seen.wrong), maxWrong)] {
		r.s.sayf("adapter_kill: %s", wrong)
	}
	maps.Copy(f, verdict)
	return nil
}

func adapterKillBars(s *site) bars {
	kills, orders := adapterKills(s)
	return bars{
		"kills": atLeast(float64(kills)), "hits": atLeast(float64(kills) / 2), "activities": atLeast(float64(2 * orders)),
		"locked": atLeast(1), "refused": atLeast(1),
		// If little was undone, found out or in doubt, the row shows nothing.
		"undone": atLeast(float64(orders) / 10), "in_doubt": atLeast(float64(orders) / 10), "recovered": atLeast(float64(kills) / 10),
	}.none(append(slices.Clone(frailWrongs), "left_open", "lost", "wrong_answers", "without_history")...)
}
