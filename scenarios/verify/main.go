package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-run/holdfast/persistence/postgres/pgserver"
	"github.com/holdfast-run/holdfast/scenarios/attack"
	"github.com/holdfast-run/holdfast/scenarios/stage"
	"github.com/holdfast-run/holdfast/scenarios/verify/players"
)

// Exit statuses.
const (
	exitPass  = 0
	exitMiss  = 1
	exitUsage = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// Scales.
const (
	full = "full"
	ci   = "ci"
)

// site is what a row works with.
type site struct {
	// holdfast and telecom are the binaries under test, self is this one.
	holdfast, telecom, self string
	// against is another build of holdfast, to compare with; empty: none.
	against string
	// root is the project's folder, yardstick that of the yardstick, kit that of the language's conformance test kit.
	root, yardstick, kit string
	// examples is the folder of the language's examples.
	examples string
	// postgres is the folder with the programs of PostgreSQL; empty: it is not installed.
	postgres string
	// consul is its program, which make builds apart, as it takes minutes; empty: it is not there.
	consul string
	// wrongClock is a holdfast whose clock can be wrong, for rows that need it.
	wrongClock *wrongClock
	// noNetwork says why there are no hosts of rows' own; empty: there are.
	noNetwork string
	// clusters has the cluster that rows share.
	clusters *clusters
	// row is the name of the row, dir its own folder.
	row, dir string
	// env is added to the environment of holdfast.
	env   []string
	scale string
	seed  uint64
	log   io.Writer
}

func (s *site) ci() bool { return s.scale == ci }

// chance returns the source of what chance decides.
func (s *site) chance() *rand.Rand { return rand.New(rand.NewPCG(s.seed, 0)) }

func (s *site) sayf(format string, args ...any) { _, _ = fmt.Fprintf(s.log, format+"\n", args...) }

// row is something to verify.
type row struct {
	name string
	// longest bounds the time that it takes at full scale; at the scale ci it is ciLongest.
	longest time.Duration
	measure func(ctx context.Context, s *site) (figures, error)
	bars    func(s *site) bars
}

// ciLongest bounds a row at the scale ci. A row is made to take a minute at most; a busy machine may take longer.
const ciLongest = 3 * time.Minute

var rows = []row{
	{"demo", 5 * time.Minute, demo, demoBars},
	{"w3", 6 * time.Minute, w3, w3Bars},
	{"w3_long", 15 * time.Minute, w3Long, w3LongBars},
	{"latency", 5 * time.Minute, latency, latencyBars},
	{"pg_w3", 6 * time.Minute, pgW3, pgW3Bars},
	{"pg_latency", 5 * time.Minute, pgLatency, pgLatencyBars},
	{"pg_long", 15 * time.Minute, pgLong, pgLongBars},
	{"paired", 45 * time.Minute, paired, pairedBars},
	{"accept", 5 * time.Minute, accept, acceptBars},
	{"timers", 5 * time.Minute, timers, timersBars},
	{"kill", 15 * time.Minute, kill, killBars},
	{"saga", 15 * time.Minute, saga, sagaBars},
	{"adapter_kill", 10 * time.Minute, adapterKill, adapterKillBars},
	{"poison", 5 * time.Minute, poisoned, poisonBars},
	{"liar", 5 * time.Minute, lied, liarBars},
	{"restart", 3 * time.Minute, restart, restartBars},
	{"backlog", 15 * time.Minute, backlog, backlogBars},
	{"bulkhead", 10 * time.Minute, bulkhead, bulkheadBars},
	{"big", 15 * time.Minute, big, bigBars},
	{"million", 15 * time.Minute, million, millionBars},
	{"disk_full", 10 * time.Minute, diskFull, diskFullBars},
	{"first_seconds", 15 * time.Minute, firstSeconds, firstSecondsBars},
	{"verify_killed", 30 * time.Minute, verifyKilled, verifyKilledBars},
	{"corruption", 30 * time.Minute, corruption, corruptionBars},
	{"keys", 10 * time.Minute, keys, keysBars},
	{"keys_million", 15 * time.Minute, keysMillion, keysMillionBars},
	{"stuck", 5 * time.Minute, stuck, stuckBars},
	{"panics", 5 * time.Minute, panics, panicsBars},
	{"unavailable", 5 * time.Minute, unavailable, unavailableBars},
	{"handover", 30 * time.Minute, handover, handoverBars},
	{"model", 40 * time.Minute, model, modelBars},
	{"admin", 5 * time.Minute, administration, administrationBars},
	{"audit", 15 * time.Minute, audited, auditedBars},
	{"roles", 5 * time.Minute, rolesRow, rolesBars},
	{"kill_node", 15 * time.Minute, killNode, killNodeBars},
	{"pause", 15 * time.Minute, pauseNode, pauseNodeBars},
	{"consul_cut", 20 * time.Minute, consulCut, consulCutBars},
	{"lagging", 5 * time.Minute, lagging, laggingBars},
	{"restored", 5 * time.Minute, restored, restoredBars},
	{"db_cut", 15 * time.Minute, databaseCut, databaseCutBars},
	{"db_alone", 10 * time.Minute, databaseAlone, databaseAloneBars},
	{"node_cut", 10 * time.Minute, nodeCut, nodeCutBars},
	{"node_alone", 10 * time.Minute, nodeAlone, nodeAloneBars},
	{"agent_alone", 10 * time.Minute, agentAlone, agentAloneBars},
	{"host_lost", 10 * time.Minute, hostLost, hostLostBars},
	{"rolling", 10 * time.Minute, rolling, rollingBars},
	{"upgrade", 10 * time.Minute, upgrade, upgradeBars},
	{"skew", 15 * time.Minute, skew, skewBars},
	{"limits_cluster", 15 * time.Minute, limitsCluster, limitsClusterBars},
	{"keys_cluster", 15 * time.Minute, keysCluster, keysClusterBars},
	{"saga_cluster", 20 * time.Minute, sagaCluster, sagaClusterBars},
	{"late_result", 15 * time.Minute, lateResult, lateResultBars},
	{"three", 5 * time.Minute, three, threeBars},
	{"scale", 10 * time.Minute, scale, scaleBars},
	{"million_cluster", 15 * time.Minute, millionCluster, millionClusterBars},
	{"hostile_adapter", 40 * time.Minute, hostileAdapter, hostileAdapterBars},
	{"hostile_client", 60 * time.Minute, hostileClient, hostileClientBars},
	{"noisy", 10 * time.Minute, noisy, noisyBars},
	{"rest", 15 * time.Minute, rest, restBars},
	{"kit", 15 * time.Minute, conformance, conformanceBars},
	{"examples", 5 * time.Minute, examples, examplesBars},
	{"constructs", 15 * time.Minute, eachConstruct, constructsBars},
	{"events", 15 * time.Minute, events, eventsBars},
	{"schedule", 10 * time.Minute, schedules, schedulesBars},
	{"bad_input", 30 * time.Minute, badInput, badInputBars},
	{"http", 5 * time.Minute, rudeServers, rudeBars},
	{"hostile_definition", 15 * time.Minute, hostileDefinitions, hostileDefinitionBars},
	{"branches", 20 * time.Minute, branches, branchesBars},
	{"linear", 15 * time.Minute, linear, linearBars},
}

func rowNames() string {
	var names []string
	for _, r := range rows {
		names = append(names, r.name)
	}
	return strings.Join(names, ", ")
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if status, played := players.Run(ctx, args, stderr); played {
		return status
	}
	if status, attacked := attack.Run(ctx, args, stderr); attacked {
		return status
	}
	s := site{log: stderr, clusters: &clusters{}}
	var name, parent string
	f := flag.NewFlagSet("verify", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&name, "row", "", "what to verify, with commas between: "+rowNames()+"; empty: all")
	f.StringVar(&s.scale, "scale", full, "full, or ci: a minute at most for each row")
	f.Uint64Var(&s.seed, "seed", 0, "decides what chance decides; 0: another one each time")
	f.StringVar(&s.holdfast, "holdfast", "bin/holdfast", "the holdfast binary")
	f.StringVar(&s.telecom, "telecom", "bin/telecom", "the telecom binary")
	f.StringVar(&s.against, "against", "", "the holdfast binary of another build; without it, the row paired compares nothing")
	f.StringVar(&s.root, "root", ".", "the project's folder")
	f.StringVar(&s.yardstick, "yardstick", "../shared/yardstick", "folder of the yardstick's source; without it, its ratio is not verified")
	f.StringVar(&s.kit, "kit", "../shared/conformance/ctk", "folder of the language's conformance test kit; without it, that is not run")
	f.StringVar(&s.examples, "examples", "../shared/conformance/examples", "folder of the language's examples; without it, they are not run")
	f.StringVar(&parent, "dir", ".holdfast", "folder for data and logs, on a disk")
	if err := f.Parse(args); err != nil {
		return exitUsage // the flag package has printed it
	}
	chosen, err := s.prepare(name, f.Args())
	if err != nil {
		s.sayf("verify: %v", err)
		return exitUsage
	}
	if s.noNetwork = stage.NoNetwork(ctx); s.noNetwork != "" {
		s.sayf("verify: there are no hosts that can be cut off: %s; what needs them is skipped", s.noNetwork)
	}
	if s.wrongClock, err = newWrongClock(ctx, s.root, parent); err != nil {
		s.sayf("verify: %v", err)
		return exitUsage
	}
	if s.ci() && slices.ContainsFunc(chosen, func(r row) bool { return needsWrongClock(&s, r.name) }) {
		s.wrongClock.begin()
	}
	var failed []report
	defer func() {
		if err := errors.Join(s.clusters.end(len(failed) == 0), s.wrongClock.remove()); err != nil {
			s.sayf("verify: %v", err)
		}
	}()
	for _, r := range chosen {
		if ctx.Err() != nil {
			s.sayf("verify: interrupted")
			return exitMiss
		}
		rep := s.run(ctx, r, parent)
		if !rep.Pass {
			failed = append(failed, rep)
		}
		if err := json.NewEncoder(stdout).Encode(rep); err != nil {
			s.sayf("verify: print %s: %v", r.name, err)
			return exitMiss
		}
	}
	for _, rep := range failed { // again at the end, where it is looked for
		s.sayf("verify: %s failed: %s", rep.Row, rep.why())
	}
	if len(failed) > 0 {
		return exitMiss
	}
	return exitPass
}

// prepare checks what was given, and chooses the rows.
func (s *site) prepare(name string, rest []string) ([]row, error) {
	if len(rest) > 0 {
		return nil, fmt.Errorf("unexpected argument %q: only flags are taken", rest[0])
	}
	if s.scale != full && s.scale != ci {
		return nil, fmt.Errorf("-scale is %q: full or ci is expected", s.scale)
	}
	var err error
	if s.self, err = os.Executable(); err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	if s.postgres, err = pgserver.Programs(); err != nil {
		s.sayf("verify: %v; what needs it is skipped", err)
	}
	if s.consul, err = exec.LookPath(os.Getenv("HOLDFAST_TEST_CONSUL")); err != nil {
		s.sayf("verify: HOLDFAST_TEST_CONSUL names no Consul, which make tools builds: %v; what needs it is skipped", err)
	}
	binaries := []*string{&s.holdfast, &s.telecom}
	if s.against != "" {
		binaries = append(binaries, &s.against)
	}
	for _, path := range append([]*string{&s.root, &s.yardstick, &s.kit, &s.examples}, binaries...) {
		if *path, err = filepath.Abs(*path); err != nil {
			return nil, fmt.Errorf("find %s: %w", *path, err)
		}
	}
	for _, binary := range binaries {
		if _, err := os.Stat(*binary); err != nil {
			return nil, fmt.Errorf("%w: build it with make build, or name it with -holdfast, -telecom or -against", err)
		}
	}
	for s.seed == 0 {
		s.seed = uint64(rand.Uint32())
	}
	if name == "" {
		return rows, nil
	}
	var chosen []row
	for wanted := range strings.SplitSeq(name, ",") {
		i := slices.IndexFunc(rows, func(r row) bool { return r.name == wanted })
		if i < 0 {
			return nil, fmt.Errorf("there is no row %q: there are %s", wanted, rowNames())
		}
		chosen = append(chosen, rows[i])
	}
	return chosen, nil
}

// run verifies one row, in a folder of its own.
func (s *site) run(ctx context.Context, r row, parent string) report {
	rep := report{Row: r.name, Seed: s.seed, Bar: r.bars(s)}
	s.row = r.name
	syscall.Sync() // or what rows before have written might be on its way to the disk, and delay this one
	began := time.Now()
	err := os.MkdirAll(parent, 0o750)
	if err == nil {
		s.dir, err = os.MkdirTemp(parent, "verify-"+r.name+"-")
	}
	if err == nil {
		s.dir, err = filepath.Abs(s.dir)
	}
	if err == nil && needsWrongClock(s, r.name) {
		_, err = s.wrongClock.binary() // before the row, as it is no part of that
	}
	if err == nil {
		longest := r.longest
		if s.ci() {
			longest = ciLongest
		}
		bounded, cancel := context.WithTimeoutCause(ctx, longest, fmt.Errorf("%s took longer than %v", r.name, longest))
		rep.Measured, err = r.measure(bounded, s)
		cancel()
	}
	rep.Seconds = round(time.Since(began).Seconds(), 1)
	rep.judge(err)
	if used := s.clusters.current; used != nil && !rep.Pass {
		s.sayf("%s: logs of the cluster are in %s", r.name, used.dir)
	}
	if err := s.clusters.give(s, rep.Pass); err != nil {
		s.sayf("%s: end the cluster: %v", r.name, err)
	}
	if !rep.Pass {
		s.sayf("%s: data and logs are in %s", r.name, s.dir)
		return rep
	}
	if err := os.RemoveAll(s.dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.sayf("%s: %v", r.name, err)
	}
	return rep
}
