package actors

import (
	"context"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/holdfast-run/holdfast/actors/dispatch"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// Metrics are what the engine counts. They are registered where they are made.
type Metrics struct {
	accepted prometheus.Counter
	open     prometheus.Gauge
	ended    map[orderv1.Status]prometheus.Counter
	resident prometheus.Gauge
	timers   prometheus.Gauge
	rejected *prometheus.CounterVec
	turned   prometheus.Counter
	unsent   prometheus.Gauge
	slow     prometheus.Counter
	// suspended are the open orders that an operator has suspended. fallout counts those that have faulted, once there is a
	// journal that knows.
	suspended atomic.Int64
	fallout   atomic.Pointer[persistence.Finder]
	refused   *prometheus.CounterVec

	commitSeconds prometheus.Histogram
	commitBatch   prometheus.Histogram
	commitBytes   prometheus.Counter
	commitFailed  prometheus.Counter

	mu     sync.Mutex
	queues map[string]*queueGauges

	queueDepth, queueInFlight, queueAge, queueOverflow, queueResults *prometheus.Desc
	queueAway, queueSuspects, queueRedelivered, queueQuarantined     *prometheus.Desc

	keys                           [messages.Partitions]keyGauges
	keysWaiting, keysHeld, keysAge *prometheus.Desc

	ordersFaulted, ordersInDoubt, ordersSuspended *prometheus.Desc
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		accepted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "holdfast_orders_accepted_total", Help: "Orders accepted since the process started.",
		}),
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "holdfast_orders_running", Help: "Orders accepted and not ended.",
		}),
		resident: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "holdfast_orders_resident", Help: "Orders in memory.",
		}),
		timers: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "holdfast_timers", Help: "Times in memory at which orders are to go on: the next ones.",
		}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_submissions_rejected_total", Help: "Submissions refused, by reason.",
		}, []string{"reason"}),
		turned: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "holdfast_connections_refused_total", Help: "Connections to the public address that were closed at once: too many.",
		}),
		unsent: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "holdfast_unsent_bytes", Help: "Answers that were read for clients and are not sent yet.",
		}),
		slow: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "holdfast_slow_readers_total", Help: "Connections closed because their clients did not read, and others waited for room.",
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_adapter_claims_refused_total",
			Help: "What adapters said of tasks or activities that they were not sent or do not offer, by what it was.",
		}, []string{"what"}),
		commitSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "holdfast_commit_seconds", Help: "Time from the beginning of a group commit until it is durable.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16),
		}),
		commitBatch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "holdfast_commit_batch", Help: "Commits that share one write to the disk.", Buckets: prometheus.ExponentialBuckets(1, 2, 14),
		}),
		commitBytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "holdfast_commit_bytes_total", Help: "Bytes committed.",
		}),
		commitFailed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "holdfast_commits_failed_total", Help: "Commits refused: conflicts, fences, taken ids, full disk.",
		}),
		ended:  map[orderv1.Status]prometheus.Counter{},
		queues: map[string]*queueGauges{},
	}
	m.describeQueues()
	m.keysWaiting = prometheus.NewDesc("holdfast_key_orders_waiting", "Orders that wait for another one of their order key.", nil, nil)
	m.keysHeld = prometheus.NewDesc("holdfast_keys_held", "Order keys that a faulted order holds.", nil, nil)
	m.keysAge = prometheus.NewDesc("holdfast_key_age_seconds",
		"How long the order has waited that has waited longest for its order key.", nil, nil)
	m.ordersFaulted = prometheus.NewDesc("holdfast_orders_faulted", "Orders that have faulted and wait for an operator.", nil, nil)
	m.ordersInDoubt = prometheus.NewDesc("holdfast_orders_in_doubt",
		"Orders that have faulted, and of which nobody knows whether an attempt was executed.", nil, nil)
	m.ordersSuspended = prometheus.NewDesc("holdfast_orders_suspended", "Orders that an operator has suspended.", nil, nil)
	ended := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "holdfast_orders_ended_total", Help: "Ends of orders since the process started, by status.",
	}, []string{"status"})
	for _, s := range [...]orderv1.Status{
		orderv1.Status_STATUS_COMPLETED, orderv1.Status_STATUS_FAULTED, orderv1.Status_STATUS_CANCELLED,
	} {
		m.ended[s] = ended.WithLabelValues(strings.ToLower(strings.TrimPrefix(s.String(), "STATUS_")))
	}
	reg.MustRegister(m.accepted, m.open, m.resident, m.timers, m.rejected, m.turned, m.unsent, m.slow, m.refused, m.commitSeconds,
		m.commitBatch, m.commitBytes, m.commitFailed, ended, m)
	return m
}

// describeQueues makes the descriptions of what is told by activity.
func (m *Metrics) describeQueues() {
	by := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help+", by activity.", []string{"activity"}, nil)
	}
	m.queueDepth = by("holdfast_queue_depth", "Tasks that wait for an adapter")
	m.queueInFlight = by("holdfast_queue_in_flight", "Tasks that adapters have")
	m.queueAge = by("holdfast_queue_age_seconds", "How long the oldest waiting task has waited")
	m.queueOverflow = by("holdfast_queue_overflow", "Tasks for which there was no room in memory, and which have no result yet")
	m.queueResults = by("holdfast_results_total", "Results of adapters that are durable, since the process started")
	m.queueAway = by("holdfast_queue_away", "Tasks in flight whose adapter is away")
	m.queueSuspects = by("holdfast_queue_suspects", "Tasks that were under way when an adapter died, and are executed alone")
	m.queueRedelivered = by("holdfast_redeliveries_total",
		"Tasks handed over again because their adapter was gone, since the process started")
	m.queueQuarantined = by("holdfast_quarantined_total",
		"Tasks set apart because adapters died of them, since the process started")
}

// Rejected counts a refused submission.
func (m *Metrics) Rejected(reason string) { m.rejected.WithLabelValues(reason).Inc() }

// ConnectionRefused counts a connection that was one too many.
func (m *Metrics) ConnectionRefused() { m.turned.Inc() }

// Unsent notes that so many more bytes of answers are not sent yet.
func (m *Metrics) Unsent(bytes int64) { m.unsent.Add(float64(bytes)) }

// SlowReader counts a connection that was closed because its client did not read.
func (m *Metrics) SlowReader() { m.slow.Inc() }

// Synced implements persistence.Observer.
func (m *Metrics) Synced(b persistence.Batch) {
	m.commitSeconds.Observe(b.Took.Seconds())
	m.commitBatch.Observe(float64(b.Commits))
	m.commitBytes.Add(float64(b.Bytes))
	m.commitFailed.Add(float64(b.Failed))
}

// committed counts what a commit did to an order: row is nil if it changed nothing that counts, before if there was none.
func (m *Metrics) committed(before, row *journalv1.OrderRow) {
	if before == nil {
		m.accepted.Inc()
		m.open.Inc()
	}
	if row == nil {
		return
	}
	wasOpen, isOpen := before.GetEndedAt() == 0, row.GetEndedAt() == 0
	switch {
	case wasOpen && !isOpen:
		m.open.Dec()
	case !wasOpen && isOpen:
		m.open.Inc()
	}
	if c := m.ended[orderv1.Status(row.GetStatus())]; !isOpen && c != nil {
		c.Inc()
	}
}

// queueGauges are what one dispatcher shows of itself.
type queueGauges struct {
	waiting, inFlight, ageMillis, adapters atomic.Int64
	// stored are the tasks on disk, by priority, those included that got a place since.
	stored [dispatch.Priorities]atomic.Int64
	// results counts what adapters have answered; pace is how many a second came lately, counted the number when it was
	// looked at last.
	results, counted atomic.Int64
	// away and suspects are tasks in trouble; awayUntil is when another adapter is asked for the first of the former, in
	// nanoseconds since 1970.
	away, awayUntil, suspects, redelivered, quarantined atomic.Int64
	pace                                                atomic.Uint64 // a float64
}

func (g *queueGauges) set(waiting, inFlight, adapters int) {
	g.waiting.Store(int64(waiting))
	g.inFlight.Store(int64(inFlight))
	g.adapters.Store(int64(adapters))
}

// trouble is called each second.
func (g *queueGauges) trouble(q *dispatch.Queue) {
	away, until := q.Away()
	g.away.Store(int64(away))
	g.awayUntil.Store(nano(until))
	g.suspects.Store(int64(q.Suspects()))
}

// overflow returns the number of tasks on disk.
func (g *queueGauges) overflow() (sum int64) {
	for p := range g.stored {
		sum += g.stored[p].Load()
	}
	return sum
}

// smoothing is the share of the last second in the rate of results: what was ten seconds ago counts a third.
const smoothing = 0.1

// second is called each second. While adapters are away the rate stays as it was: they will be as fast again.
func (g *queueGauges) second() {
	results := g.results.Load()
	if n := results - g.counted.Swap(results); n > 0 || g.adapters.Load() > 0 {
		g.pace.Store(math.Float64bits(g.rate()*(1-smoothing) + float64(n)*smoothing))
	}
}

// rate returns how many results a second came lately.
func (g *queueGauges) rate() float64 { return math.Float64frombits(g.pace.Load()) }

func (g *queueGauges) oldest(at, now time.Time) {
	if at.IsZero() {
		g.ageMillis.Store(0)
		return
	}
	g.ageMillis.Store(now.Sub(at).Milliseconds())
}

func (m *Metrics) queue(activity string) *queueGauges {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.queues[activity]
	if g == nil {
		g = &queueGauges{}
		m.queues[activity] = g
	}
	return g
}

// keyGauges are what one partition shows of its order keys.
type keyGauges struct {
	waiting, held, ageMillis atomic.Int64
}

func (g *keyGauges) set(k *keyQueues, now time.Time) {
	g.waiting.Store(int64(k.waiting))
	g.held.Store(int64(k.held))
	age := int64(0)
	if since := k.oldest(); !since.IsZero() {
		age = now.Sub(since).Milliseconds()
	}
	g.ageMillis.Store(age)
}

func (m *Metrics) keysOf(p messages.Partition) *keyGauges { return &m.keys[p] }

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.queueDepth
	ch <- m.queueInFlight
	ch <- m.queueAge
	ch <- m.queueOverflow
	ch <- m.queueResults
	ch <- m.queueAway
	ch <- m.queueSuspects
	ch <- m.queueRedelivered
	ch <- m.queueQuarantined
	ch <- m.keysWaiting
	ch <- m.keysHeld
	ch <- m.keysAge
	ch <- m.ordersFaulted
	ch <- m.ordersInDoubt
	ch <- m.ordersSuspended
}

// held is the number of order keys that faulted orders hold.
func (m *Metrics) held() (sum int64) {
	for i := range m.keys {
		sum += m.keys[i].held.Load()
	}
	return sum
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	var waiting, held, age int64
	for i := range m.keys {
		g := &m.keys[i]
		waiting, held, age = waiting+g.waiting.Load(), held+g.held.Load(), max(age, g.ageMillis.Load())
	}
	ch <- prometheus.MustNewConstMetric(m.keysWaiting, prometheus.GaugeValue, float64(waiting))
	ch <- prometheus.MustNewConstMetric(m.keysHeld, prometheus.GaugeValue, float64(held))
	ch <- prometheus.MustNewConstMetric(m.keysAge, prometheus.GaugeValue, float64(age)/1000)
	if journal := m.fallout.Load(); journal != nil {
		if n, err := (*journal).Fallout(context.Background()); err == nil { // it is closed, and the process about to end
			ch <- prometheus.MustNewConstMetric(m.ordersFaulted, prometheus.GaugeValue, float64(n.Faulted))
			ch <- prometheus.MustNewConstMetric(m.ordersInDoubt, prometheus.GaugeValue, float64(n.InDoubt))
		}
	}
	ch <- prometheus.MustNewConstMetric(m.ordersSuspended, prometheus.GaugeValue, float64(m.suspended.Load()))
	m.mu.Lock()
	defer m.mu.Unlock()
	for activity, g := range m.queues {
		ch <- prometheus.MustNewConstMetric(m.queueDepth, prometheus.GaugeValue, float64(g.waiting.Load()), activity)
		ch <- prometheus.MustNewConstMetric(m.queueInFlight, prometheus.GaugeValue, float64(g.inFlight.Load()), activity)
		ch <- prometheus.MustNewConstMetric(m.queueAge, prometheus.GaugeValue, float64(g.ageMillis.Load())/1000, activity)
		ch <- prometheus.MustNewConstMetric(m.queueOverflow, prometheus.GaugeValue, float64(g.overflow()), activity)
		ch <- prometheus.MustNewConstMetric(m.queueResults, prometheus.CounterValue, float64(g.results.Load()), activity)
		ch <- prometheus.MustNewConstMetric(m.queueAway, prometheus.GaugeValue, float64(g.away.Load()), activity)
		ch <- prometheus.MustNewConstMetric(m.queueSuspects, prometheus.GaugeValue, float64(g.suspects.Load()), activity)
		ch <- prometheus.MustNewConstMetric(m.queueRedelivered, prometheus.CounterValue, float64(g.redelivered.Load()), activity)
		ch <- prometheus.MustNewConstMetric(m.queueQuarantined, prometheus.CounterValue, float64(g.quarantined.Load()), activity)
	}
}

// value reads a gauge.
func value(g prometheus.Gauge) int64 {
	var m dto.Metric
	if err := g.Write(&m); err != nil {
		return 0 // a gauge does not fail
	}
	return int64(m.GetGauge().GetValue())
}
