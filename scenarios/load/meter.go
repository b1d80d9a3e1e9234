package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/scenarios/stage"
)

const (
	// intervalLength is the length of one interval of the series.
	intervalLength = 10 * time.Second
	// checkEvery is how often it is checked that the run goes on.
	checkEvery = time.Second
)

// meter watches a run from the side.
type meter struct {
	*bench

	tally  *tally
	cancel context.CancelCauseFunc // ends the run
	series []Interval

	mu    sync.Mutex
	start *reading // at the beginning of the measured time
}

// reading is what the processes have used up to now.
type reading struct {
	fsyncs int64
	uses   []stage.Usage // of node, or all nodes together, adapter, client
}

// nodesUsage is what all nodes have used together. PeakRSS is the sum of their peaks.
func (m *meter) nodesUsage() (sum stage.Usage, err error) {
	for _, n := range m.nodes {
		u, err := n.Usage()
		if err != nil {
			return sum, err
		}
		sum.CPU, sum.RSS, sum.PeakRSS = sum.CPU+u.CPU, sum.RSS+u.RSS, sum.PeakRSS+u.PeakRSS
	}
	return sum, nil
}

func (m *meter) read(ctx context.Context) (*reading, error) {
	r := &reading{}
	for _, n := range m.nodes {
		shown, err := n.Metrics(ctx)
		if err != nil {
			return nil, err
		}
		fsyncs, err := shown.Value("holdfast_commit_batch_count")
		if err != nil {
			return nil, err
		}
		r.fsyncs += int64(fsyncs)
	}
	for _, usage := range []func() (stage.Usage, error){m.nodesUsage, m.adapter.Usage, stage.OwnUsage} {
		u, err := usage()
		if err != nil {
			return nil, fmt.Errorf("measure processes: %w", err)
		}
		r.uses = append(r.uses, u)
	}
	return r, nil
}

// run takes the first reading, then the series, until ctx ends. A run that is stuck it ends.
func (m *meter) run(ctx context.Context) {
	begin := time.NewTimer(time.Until(m.tally.begin))
	defer begin.Stop()
	check := time.NewTicker(checkEvery)
	defer check.Stop()
	interval := &time.Ticker{}
	var before int64
	for {
		select {
		case <-ctx.Done():
			return
		case <-begin.C:
			interval = time.NewTicker(intervalLength)
			defer interval.Stop()
			r, err := m.read(ctx)
			if err != nil {
				m.cancel(err)
				return
			}
			m.mu.Lock()
			m.start = r
			m.mu.Unlock()
		case now := <-check.C:
			if err := m.tally.stuck(now); err != nil {
				m.cancel(err)
				return
			}
		case now := <-interval.C:
			if now.After(m.tally.end.Add(intervalLength / 2)) {
				continue // what is under way ends; nothing is counted any more
			}
			orders := m.tally.counts().orders
			u, err := m.nodesUsage()
			if err != nil {
				m.cancel(err)
				return
			}
			m.series = append(m.series, Interval{
				AtS: round(now.Sub(m.tally.begin).Seconds(), 1), NodeRSSBytes: u.RSS,
				RatePerS: round(float64(orders-before)/intervalLength.Seconds(), 0),
			})
			m.Progress(m.series[len(m.series)-1])
			before = orders
		}
	}
}

// finish takes the last reading and puts what was used into the result.
func (m *meter) finish(ctx context.Context) error {
	end, err := m.read(ctx)
	if err != nil {
		return err
	}
	m.mu.Lock()
	start := m.start
	m.mu.Unlock()
	if start == nil {
		return errors.New("the run was over before measuring began")
	}
	m.result.Fsyncs = end.fsyncs - start.fsyncs
	for i, name := range []string{"node", "adapter", "client"} {
		m.result.Processes = append(m.result.Processes, ProcessUse{
			Name: name, CPUS: round((end.uses[i].CPU - start.uses[i].CPU).Seconds(), 2), PeakRSSBytes: end.uses[i].PeakRSS,
		})
	}
	return nil
}
