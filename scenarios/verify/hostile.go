package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/attack"
	"github.com/holdfast-run/holdfast/scenarios/stage"
	"github.com/holdfast-run/holdfast/scenarios/verify/players"
)

const (
	// hostileMemory is what the node may have.
	hostileMemory = 512 << 20
	// hostileInFlight is how many orders of others are under way.
	hostileInFlight = 64
	// confined is how much of a processor an attacker may have.
	confined = 0.25
	// hostileWarmUp is how long an attacker is at it before others are measured.
	hostileWarmUp = 300 * time.Millisecond
	// evilOrders wait for the adapter that attacks, with an input of evilBytes each.
	evilOrders = 100
	evilBytes  = 400 << 10
	// allAtOnce names the pair of turns in which all attacks go on at once.
	allAtOnce = "all_at_once"
)

// attacked is what is expected of an attack.
type attacked struct {
	name string
	// refused are reasons with one of which the node refuses what is done, or ends it. None: it may be done, and must not cost others much.
	refused []string
}

// hostileSettings has a node see soon who does not read and who is silent. What may take how much of the memory, it decides.
func hostileSettings(more ...string) []string {
	return append([]string{
		"--memory", fmt.Sprint(hostileMemory), "--heartbeat", "1s", "--slow-reader", "3s", "--request-within", "2s", "--profiles",
	}, more...)
}

const (
	// hostilePairs is how often each attack is compared with a process that burns as much of the processors, and hostileDoubts how often
	// it is at most, as long as others have less than hostileClear of their rate: single pairs differ by a tenth.
	hostilePairs, hostileDoubts = 5, 60
	hostileClear                = 0.95
	// hostileOne is how long others are measured beside one attack, and hostileAll beside all at once. Many short turns tell more than a few
	// long ones: what else the machine does changes within a minute. hostileLong is how long each attack goes on at last, without a
	// comparison: who does not read is seen only then.
	hostileOne, hostileAll, hostileLong = 3 * time.Second, 6 * time.Second, 10 * time.Second
	// hostileHistories is how many histories are read.
	hostileHistories = 100_000
)

// unconfined tells why nothing is attacked; empty: it is. What others have left beside an attack can't be told where much else goes on.
func unconfined(s *site) string {
	if s.ci() {
		return "skipped: scale ci"
	}
	if _, err := os.Stat(cpuGroups + "/cpu.cfs_quota_us"); err != nil {
		return fmt.Sprintf("skipped: no controller of processors: %v", err)
	}
	return ""
}

// hostile is a node that is attacked, while others have their orders run there.
type hostile struct {
	*site

	attacks []attacked
	stage   *stage.Stage
	node    *stage.Node
	conn    *client.Client
	group   cpuGroup
	reports string // the file of what attackers did
	// adapter is that of others, and leaves has it end.
	adapter *stage.Process
	leaves  context.CancelFunc
	// unwatch ends the watching of its life, and tells what came of that.
	unwatch func() (notLive int, slowest time.Duration)
	// baits are how many orders wait for the adapter that attacks.
	baits int

	// beside are the turns beside attackers, by attack, and burnt those beside processes that burn as much, with which they are paired.
	beside, burnt map[string][]turn
	share         map[string]float64 // of a processor that an attack took at last
	orders        []*order           // of others
	wrong         []error
}

// Nodes that are attacked. The second one has TLS.
const (
	plainNode   = "plain"
	securedNode = "tls"
)

// attackedNode starts a node, its adapter and what is needed to attack it, and calls a function with it.
func attackedNode(
	ctx context.Context, s *site, name string, attacks []attacked, settings []string, do func(ctx context.Context, h *hostile) error,
) (f figures, err error) {
	dir := filepath.Join(s.dir, name)
	if err := os.Mkdir(dir, 0o750); err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	ctx, st := stage.New(ctx, dir)
	defer st.Stop()
	h := &hostile{
		site: s, attacks: attacks, stage: st, reports: filepath.Join(dir, "reports.jsonl"),
		beside: map[string][]turn{}, burnt: map[string][]turn{}, share: map[string]float64{},
	}
	if h.group, err = newCPUGroup(fmt.Sprintf("holdfast-verify-%d-attacker", os.Getpid())); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.group.remove()) }()
	if err := h.startNode(ctx, name == securedNode, settings); err != nil {
		return nil, err
	}
	if err := h.node.Ready(ctx); err != nil {
		return nil, err
	}
	serving, leaves := context.WithCancel(ctx)
	defer leaves()
	h.leaves = leaves
	h.adapter, err = st.Start(serving, stage.Spec{
		Name: players.Echoer, Path: s.self, Args: []string{players.Echoer, "-name", "good", "-server", h.node.Server},
		Env: []string{"GOMAXPROCS=1", adapters.CAEnv + "=" + h.node.CA},
	})
	if err != nil {
		return nil, err
	}
	if h.conn, err = prepared(ctx, h.node, "hostile", "evil"); err != nil {
		return nil, err
	}
	defer h.conn.Close() //nolint:errcheck // it fails only if it was closed before
	h.unwatch = watchLife(ctx, h.node, func(why error) { s.sayf("%s: it is not live: %v", s.row, why) })
	err = do(ctx, h)
	notLive, slowest := h.unwatch()
	if err != nil {
		return nil, why(ctx, err)
	}
	f = figures{"not_live": notLive, "slowest_livez_ms": milliseconds(slowest), "restarts": h.node.Starts() - 1}
	return f, errors.Join(h.told(ctx, f), h.node.Live(ctx))
}

func (h *hostile) startNode(ctx context.Context, secured bool, settings []string) (err error) {
	if !secured {
		h.node, err = h.stage.StartNode(ctx, h.holdfast, true, settings...)
		return err
	}
	authority, err := stage.NewAuthority(filepath.Dir(h.reports))
	if err == nil {
		h.node, err = h.stage.StartSecureNode(ctx, authority, h.holdfast, true, settings...)
	}
	return err
}

// watchLife asks the node again and again whether it makes progress. The function that it returns ends that, and tells how often it did
// not, or did not answer, and how long the slowest answer took; say is told why, each time.
func watchLife(ctx context.Context, node *stage.Node, say func(why error)) (ended func() (notLive int, slowest time.Duration)) {
	ctx, stop := context.WithCancel(ctx)
	notLive, slowest := 0, time.Duration(0)
	var asking sync.WaitGroup
	asking.Go(func() {
		for stage.Pause(ctx, 100*time.Millisecond) == nil {
			began := time.Now()
			if err := node.Live(ctx); err != nil && ctx.Err() == nil {
				notLive++
				say(err)
			}
			slowest = max(slowest, time.Since(began))
		}
	})
	return func() (int, time.Duration) {
		stop()
		asking.Wait()
		return notLive, slowest
	}
}

// compareAttacks measures others beside each attack, and beside all at once.
func (h *hostile) compareAttacks(ctx context.Context) error {
	var names []string
	for _, a := range h.attacks {
		names = append(names, a.name)
	}
	if _, _, err := h.turn(ctx, attack.Burn, confined, hostileOne); err != nil { // what comes first is no measure
		return err
	}
	all := strings.Join(names, ",")
	compared := append(slices.Clone(names), allAtOnce)
	for n := range hostileDoubts {
		for _, name := range compared {
			if n >= hostilePairs && h.rateBeside(name) >= hostileClear {
				continue
			}
			attacks, d := name, hostileOne
			if name == allAtOnce {
				attacks, d = all, hostileAll
			}
			if err := h.pair(ctx, name, attacks, d, n%2 == 1); err != nil {
				return err
			}
		}
	}
	for _, name := range names {
		if _, _, err := h.turn(ctx, name, confined, hostileLong); err != nil {
			return fmt.Errorf("beside %s for longer: %w", name, err)
		}
	}
	return nil
}

// pair measures others beside attacks, and for as long beside a process that burns as much of the processors.
func (h *hostile) pair(ctx context.Context, name, attacks string, d time.Duration, burntFirst bool) error {
	measure := func(burning bool) error {
		of, attacks, share := h.beside, attacks, confined
		if burning {
			of, attacks, share = h.burnt, attack.Burn, h.share[name]
		}
		t, used, err := h.turn(ctx, attacks, share, d)
		if err == nil && burning && t.rate == 0 {
			err = fmt.Errorf("no order of others ended within %v", d)
		}
		if err != nil {
			return fmt.Errorf("beside %s: %w", attacks, err)
		}
		if !burning {
			h.share[name] = used
		}
		of[name] = append(of[name], t)
		return nil
	}
	if err := measure(burntFirst); err != nil {
		return err
	}
	return measure(!burntFirst)
}

// turn measures others beside a process that attacks, which may have a share of a processor, and tells the share that it took.
func (h *hostile) turn(ctx context.Context, attacks string, share float64, d time.Duration) (t turn, used float64, err error) {
	if err := atMostOpen(ctx, h.node, h.baits); err != nil { // what the attacker before has left is not to count
		return turn{}, 0, err
	}
	err = h.attack(ctx, attacks, share, func(attacker *stage.Process) error {
		began := time.Now()
		others := h.others()
		begin, end := began.Add(hostileWarmUp), began.Add(hostileWarmUp+d)
		enough := time.AfterFunc(time.Until(end), others.finish)
		defer enough.Stop()
		attackers, ofNode, err := cpuOf(attacker, h.node.Process)
		if err == nil {
			err = others.run(ctx, h.conn, hostileInFlight)
		}
		attackersNow, ofNodeNow, usageErr := cpuOf(attacker, h.node.Process)
		if err := errors.Join(err, usageErr); err != nil {
			return err
		}
		used = (attackersNow - attackers).Seconds() / time.Since(began).Seconds()
		t = turnOf(others.orders, begin, end)
		t.cpu = (ofNodeNow - ofNode).Seconds() * 1000 / float64(len(others.orders))
		h.note(others)
		return nil
	})
	return t, used, err
}

// others is a client of others.
func (h *hostile) others() *fleet {
	before := len(h.orders)
	return newFleet(func(n int) *orderv1.WorkOrder {
		return &orderv1.WorkOrder{Definition: "verify/hostile:1.0.0", Input: fmt.Appendf(nil, `{"n":%d}`, before+n)}
	})
}

// note keeps what a client of others has seen.
func (h *hostile) note(others *fleet) {
	h.orders, h.wrong = append(h.orders, others.orders...), append(h.wrong, others.wrong...)
}

// attack does something while a process attacks, which may have a share of a processor.
func (h *hostile) attack(ctx context.Context, attacks string, share float64, do func(attacker *stage.Process) error) error {
	attacking, stop := context.WithCancel(ctx)
	defer stop()
	p, err := h.stage.Start(attacking, stage.Spec{
		Name: attack.Attacker, Path: h.self, Env: []string{"GOMAXPROCS=1"}, Args: []string{
			attack.Attacker, "-attack", attacks, "-server", h.node.Server, "-admin", h.node.Admin, "-report", h.reports,
			"-seed", fmt.Sprint(h.seed + uint64(len(h.orders))),
		},
	})
	if err == nil {
		err = p.AwaitStart(ctx, 0)
	}
	const least = 1000 // microseconds of a tenth of a second, as the system has it
	if err == nil {
		err = h.group.confine(p.PID(), max(least, int(share*100_000)))
	}
	if err == nil {
		err = do(p)
	}
	if err != nil {
		return err
	}
	stop()
	_, err = p.AwaitEnd(ctx, 1)
	return err
}

// told tells what was measured, how attacks were refused, and what is wrong in the histories of others.
func (h *hostile) told(ctx context.Context, f figures) error {
	if len(h.beside) > 0 {
		h.ratios(f)
	}
	reports, err := attack.ReadReports(h.reports)
	if err != nil {
		return err
	}
	for _, a := range h.attacks {
		r := reports[a.name]
		if r == nil {
			return fmt.Errorf("nobody has reported about %s", a.name)
		}
		f[a.name+"_done"] = r.Did
		if len(a.refused) > 0 {
			f[a.name+"_refused"] = r.Refusals(a.refused...)
		}
		h.sayf("%s: %s: %d times, refused %v", h.row, a.name, r.Did, r.Refused)
	}
	u, err := h.node.Usage()
	if err != nil {
		return err
	}
	f["node_peak_rss_bytes"], f["node_memory_share"] = u.PeakRSS, round(float64(u.PeakRSS)/hostileMemory, 2)
	for _, wrong := range h.wrong {
		h.sayf("%s: %v", h.row, wrong)
	}
	f["wrong_answers"], f["orders"] = len(h.wrong), len(h.orders)
	return h.histories(ctx, f)
}

// rateBeside is what others have of their rate beside an attack, in all its pairs together: that differs less than single ratios do.
func (h *hostile) rateBeside(name string) float64 {
	beside, burnt := 0.0, 0.0
	for i, b := range h.burnt[name] {
		beside, burnt = beside+h.beside[name][i].rate, burnt+b.rate
	}
	return beside / burnt
}

// ratios tells what others have of their rate beside each attack, and the least of that; and the medians of the ratios within all pairs.
func (h *hostile) ratios(f figures) {
	var rates, p99s []float64
	least := 0.0
	for _, name := range slices.Sorted(maps.Keys(h.beside)) {
		a, b := h.beside[name], h.burnt[name]
		rate := h.rateBeside(name)
		f[name+"_rate_ratio"] = round(rate, 3)
		f[name+"_cpu_share"] = round(max(h.share[name], 0.001), 3)
		f[name+"_node_cpu_ratio"] = round(median(len(a), func(i int) float64 { return a[i].cpu / b[i].cpu }), 3)
		if name != allAtOnce && (least == 0 || rate < least) {
			least = rate
		}
		for i := range a {
			rates, p99s = append(rates, a[i].rate/b[i].rate), append(p99s, a[i].p99/b[i].p99)
			h.sayf("%s: %s: %.0f/s, p99 %.1f ms beside it, %.0f/s and %.1f ms beside what burns %.3f of a processor", h.row, name, a[i].rate,
				a[i].p99, b[i].rate, b[i].p99, h.share[name])
		}
	}
	f["rate_ratio"] = round(median(len(rates), func(i int) float64 { return rates[i] }), 3)
	f["p99_ratio"] = round(median(len(p99s), func(i int) float64 { return p99s[i] }), 3)
	if least > 0 {
		f["least_rate_ratio"] = round(least, 3)
	}
}

// undisturbed is what happens in an order of others.
var undisturbed = "order.accepted order.started " + strings.Repeat("task.started attempt.scheduled attempt.succeeded task.completed ", 3) +
	"order.completed"

// histories counts what is wrong in the histories of others, of the last ones if there are very many.
func (h *hostile) histories(ctx context.Context, f figures) error {
	inputs := map[messages.OrderID]string{}
	completed := 0
	for _, o := range h.orders {
		inputs[o.id] = string(o.request.GetInput())
		if o.end == orderv1.Status_STATUS_COMPLETED {
			completed++
		}
	}
	changed := 0
	judged := h.orders[max(0, len(h.orders)-hostileHistories):]
	untold, err := readHistories(ctx, h.conn, idsOf(judged), func(id messages.OrderID, events []*orderv1.HistoryEvent) error {
		var types []string
		lies := 0
		for _, e := range events {
			types = append(types, eventtype.Name(e.GetEventType()))
			if e.GetEventType() == eventtype.AttemptSucceeded && string(e.GetData()) != inputs[id] {
				lies++
			}
		}
		if is := strings.Join(types, " "); is != undisturbed || lies > 0 {
			if changed++; changed <= maxWrong {
				h.sayf("%s: the history of %s is %s, with %d wrong outputs", h.row, id, is, lies)
			}
		}
		return nil
	})
	f["not_completed"], f["histories"], f["changed"], f["without_history"] = len(h.orders)-completed, len(judged), changed, untold
	return err
}

// comparedBars are those of a node where others are compared beside each attack.
func comparedBars(s *site, attacks []attacked) bars {
	b := hostileBars(s, attacks)
	b["least_rate_ratio"], b[allAtOnce+"_rate_ratio"] = s.atRate(0.9), s.atRate(0.9)
	return b
}

// hostileBars are those of a node that is attacked.
func hostileBars(s *site, attacks []attacked) bars {
	b := bars{
		"rate_ratio": s.atRate(0.9), "node_memory_share": atMost(1.25), "histories": atLeast(1000),
	}.none("not_live", "restarts", "changed", "without_history", "not_completed", "wrong_answers")
	for _, a := range attacks {
		b[a.name+"_done"] = atLeast(1)
		if len(a.refused) > 0 {
			b[a.name+"_refused"] = atLeast(1)
		}
	}
	return b
}
