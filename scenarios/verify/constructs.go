package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/scenarios/constructs"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

const (
	// plainAtOnce is how many cases are run at a time on a node that nobody kills, dyingAtOnce on one that is killed.
	plainAtOnce, dyingAtOnce = 8, 4
	// dyingSample is how many cases are run on a node that is killed, at the scale ci.
	dyingSample = 5
	// constructCases is how many cases there are at least.
	constructCases = 80
	// stubDrains is how long the stub may take to end.
	stubDrains = time.Second
)

// eachConstruct runs a case for each construct of the language, on a node; and on one that is killed behind each of its commits, so that
// each order is made of its history at each version of it.
func eachConstruct(ctx context.Context, s *site) (figures, error) {
	all := constructs.Cases()
	dying := slices.DeleteFunc(slices.Clone(all), func(c constructs.Case) bool { return c.Plain })
	if s.ci() { // a schedule is one of many commits
		dying = slices.DeleteFunc(dying, func(c constructs.Case) bool { return c.Comes != constructs.Submitted })
		s.chance().Shuffle(len(dying), func(i, j int) { dying[i], dying[j] = dying[j], dying[i] })
		dying = dying[:dyingSample]
	}
	f := figures{"cases": len(all), "killed_cases": len(dying), "wrong": 0}
	var faults string
	var unbuilt error
	var building sync.WaitGroup
	building.Go(func() { faults, unbuilt = buildFaults(ctx, s) }) // it takes as long as the cases
	_, err := runConstructs(ctx, s, f, "plain", all, s.holdfast, nil, plainAtOnce)
	building.Wait()
	if err := errors.Join(err, unbuilt); err != nil {
		return f, err
	}
	f["kills"], err = runConstructs(ctx, s, f, "killed", dying, faults, []string{"HOLDFAST_DIE_AFTER=1"}, dyingAtOnce)
	return f, err
}

// runConstructs runs cases on a node of their own, some at a time, and counts those that are wrong. It tells how often the node was killed.
func runConstructs(
	ctx context.Context, s *site, f figures, way string, cases []constructs.Case, binary string, env []string, atOnce int,
) (kills int, err error) {
	w, node, end, err := constructsWorld(ctx, s, filepath.Join(s.dir, way), cases, binary, env)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	var mu sync.Mutex
	var running sync.WaitGroup
	free := make(chan struct{}, atOnce)
	for _, c := range cases {
		free <- struct{}{}
		running.Go(func() {
			defer func() { <-free }()
			within, cancel := context.WithTimeoutCause(ctx, constructs.Longest, errors.New("it takes too long"))
			defer cancel()
			err := w.Run(within, c, c.Name)
			if err == nil || ctx.Err() != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			wrong, _ := f["wrong"].(int)
			failures, _ := f["failures"].([]string)
			f["wrong"], f["failures"] = wrong+1, append(failures, way+": "+c.Name+": "+err.Error())
			s.sayf("constructs: %s: %s: %v", way, c.Name, err)
		})
	}
	running.Wait()
	kills = node.Starts() - 1
	end()
	s.sayf("constructs: %s: %d cases, %d kills, %.1f s", way, len(cases), kills, time.Since(began).Seconds())
	return kills, context.Cause(ctx)
}

// constructsWorld begins a node, the adapters, and all that these lead to, in a folder.
func constructsWorld(
	ctx context.Context, s *site, dir string, cases []constructs.Case, binary string, env []string,
) (*constructs.World, *stage.Node, func(), error) {
	secrets := filepath.Join(dir, "secrets")
	if err := os.MkdirAll(secrets, 0o750); err != nil {
		return nil, nil, nil, fmt.Errorf("make a folder: %w", err)
	}
	if err := constructs.Secrets(secrets, cases); err != nil {
		return nil, nil, nil, err
	}
	log := &constructs.Log{}
	ctx, st := stage.New(ctx, dir)
	w, node, end, err := worldOf{
		log: log, secrets: secrets, binary: binary, env: env,
		hosts: hostsOf{secure: constructs.Hosts, handler: constructs.Shop(log), called: []string{constructs.GreeterHost}},
	}.begin(ctx, s, st, dir)
	if err != nil {
		st.Stop()
		return nil, nil, nil, err
	}
	stubbed, over := context.WithCancel(ctx)
	var stubs sync.WaitGroup
	stubs.Go(func() { // it ends with its context alone
		_ = constructs.Stub(log).Run(stubbed, adapters.Config{
			Servers: []string{node.Server}, Log: slog.New(slog.DiscardHandler), DrainTimeout: stubDrains,
		})
	})
	return w, node, func() {
		over()
		stubs.Wait()
		st.Stop()
		end()
	}, nil
}

func constructsBars(s *site) bars {
	killed := constructCases - 5
	if s.ci() {
		killed = dyingSample
	}
	return bars{
		"cases": atLeast(constructCases), "killed_cases": atLeast(float64(killed)), "kills": atLeast(float64(killed)),
	}.none("wrong")
}
