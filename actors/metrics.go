package actors

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// Metrics are what the engine counts. They are registered where they are made.
type Metrics struct {
	accepted prometheus.Counter
	ended    map[orderv1.Status]prometheus.Counter
	rejected *prometheus.CounterVec
	late     prometheus.Counter
	unsent   prometheus.Gauge
	slow     prometheus.Counter
	refused  *prometheus.CounterVec

	slotEvents, firings, skips *prometheus.CounterVec
	firingLate                 prometheus.Histogram

	// engine is the one that is observed; nil until there is one.
	engine atomic.Pointer[Engine]

	commitSeconds prometheus.Histogram
	commitBatch   prometheus.Histogram
	commitBytes   prometheus.Counter
	commitFailed  prometheus.Counter

	queueDepth, queueInFlight, queueAge, queueOverflow, queueResults *prometheus.Desc
	queueAway, queueSuspects, queueRedelivered, queueQuarantined     *prometheus.Desc

	heavySeconds, heavyWaits, heavyWaited, heavyWaiting, heavyRunning, crowded *prometheus.Desc

	adapterBytes, activities                      *prometheus.Desc
	keysWaiting, keysHeld, keysAge                *prometheus.Desc
	ordersRunning, ordersResident, timers         *prometheus.Desc
	ordersFaulted, ordersInDoubt, ordersSuspended *prometheus.Desc
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		accepted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "holdfast_orders_accepted_total", Help: "Orders accepted since the process started.",
		}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_submissions_rejected_total", Help: "Submissions refused, by reason.",
		}, []string{"reason"}),
		late: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "holdfast_requests_late_total", Help: "Calls that ended because their requests did not come in time.",
		}),
		unsent: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "holdfast_unsent_bytes", Help: "Answers that were read for clients and are not sent yet.",
		}),
		slow: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "holdfast_slow_readers_total", Help: "Connections closed because their clients did not read, and others waited for room.",
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_adapter_claims_refused_total",
			Help: "What adapters said that was refused, as they were not sent the task or do not offer the activity, by what it was.",
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
		ended: map[orderv1.Status]prometheus.Counter{},
	}
	m.describeQueues()
	m.describeHeavy()
	m.ordersRunning = prometheus.NewDesc("holdfast_orders_running", "Orders accepted and not ended.", nil, nil)
	m.ordersResident = prometheus.NewDesc("holdfast_orders_resident", "Orders in memory.", nil, nil)
	m.timers = prometheus.NewDesc("holdfast_timers", "Times in memory at which orders are to go on: the next ones.", nil, nil)
	m.adapterBytes = prometheus.NewDesc("holdfast_adapter_bytes",
		"What adapters have: their tasks, and what they offer and list. Of at most --adapter-memory.", nil, nil)
	m.activities = prometheus.NewDesc("holdfast_activities", "Activities that are known.", nil, nil)
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
	m.countInstances(reg)
	reg.MustRegister(m.accepted, m.rejected, m.late, m.unsent, m.slow, m.refused, m.commitSeconds,
		m.commitBatch, m.commitBytes, m.commitFailed, ended, m)
	return m
}

// describeQueues makes the descriptions of the metrics by activity.
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
		"Tasks sent again because their adapter was gone, since the process started")
	m.queueQuarantined = by("holdfast_quarantined_total",
		"Tasks set apart because adapters died of them, since the process started")
}

// describeHeavy makes the descriptions of the metrics by kind of heavy work.
func (m *Metrics) describeHeavy() {
	by := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help+", by kind.", []string{"kind"}, nil)
	}
	m.heavySeconds = by("holdfast_heavy_seconds_total", "Processor time of heavy work")
	m.heavyWaits = by("holdfast_heavy_waits_total", "Times that heavy work waited for its turn")
	m.heavyWaited = by("holdfast_heavy_wait_seconds_total", "How long heavy work has waited, all together")
	m.heavyWaiting = by("holdfast_heavy_waiting", "Pieces of heavy work that wait")
	m.heavyRunning = by("holdfast_heavy_running", "Pieces of heavy work under way")
	m.crowded = prometheus.NewDesc("holdfast_crowded",
		"1 while other work waits for a processor, and so heavy work gets only its share.", nil, nil)
}

// collectHeavy tells what was done of heavy work.
func (m *Metrics) collectHeavy(p *runtime.Pace, ch chan<- prometheus.Metric) {
	all, crowded := p.Done()
	for kind, done := range all {
		tell := func(d *prometheus.Desc, t prometheus.ValueType, v float64) {
			ch <- prometheus.MustNewConstMetric(d, t, v, runtime.Heavy(kind).String())
		}
		tell(m.heavySeconds, prometheus.CounterValue, done.Used.Seconds())
		tell(m.heavyWaits, prometheus.CounterValue, float64(done.Waits))
		tell(m.heavyWaited, prometheus.CounterValue, done.Waited.Seconds())
		tell(m.heavyWaiting, prometheus.GaugeValue, float64(done.Waiting))
		tell(m.heavyRunning, prometheus.GaugeValue, float64(done.Running))
	}
	is := 0.0
	if crowded {
		is = 1
	}
	ch <- prometheus.MustNewConstMetric(m.crowded, prometheus.GaugeValue, is)
}

// outcomes are what becomes of an event at a slot, where a listener says so.
var outcomes = map[journalv1.Verdict]string{ //nolint:gochecknoglobals // constants
	journalv1.Verdict_VERDICT_TAKEN: "taken", journalv1.Verdict_VERDICT_DECLINED: "declined", journalv1.Verdict_VERDICT_OVER: "declined",
}

// reasons are why a schedule passes something over.
var reasons = map[journalv1.Skip]string{ //nolint:gochecknoglobals // constants
	journalv1.Skip_SKIP_MISSED: "missed", journalv1.Skip_SKIP_OVERLAP: "overlap", journalv1.Skip_SKIP_UNFIT: "unfit",
}

// countInstances makes the metrics of slots and schedules. Counters with known labels are there from the beginning.
func (m *Metrics) countInstances(reg prometheus.Registerer) {
	m.slotEvents = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "holdfast_slot_events_total",
		Help: "Events at correlation slots of this node since the process started, by what became of them: published (at each slot), " +
			"taken, declined (by a listener), expired (kept long enough, and taken by none).",
	}, []string{"outcome"})
	m.firings = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "holdfast_schedule_firings_total",
		Help: "Firings of schedules of this node since the process started, by what they were for: a time, events, or as somebody asked.",
	}, []string{"cause"})
	m.skips = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "holdfast_schedule_skips_total",
		Help: "Times that schedules of this node passed over one due time or more, or collected events, since the process started, by why.",
	}, []string{"reason"})
	m.firingLate = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "holdfast_schedule_late_seconds", Help: "How long after its due time a schedule has fired.",
		Buckets: prometheus.ExponentialBuckets(0.01, 4, 10),
	})
	for _, outcome := range [...]string{"published", "taken", "declined", "expired"} {
		m.slotEvents.WithLabelValues(outcome)
	}
	for _, cause := range [...]string{"time", "events", "asked"} {
		m.firings.WithLabelValues(cause)
	}
	for _, reason := range reasons {
		m.skips.WithLabelValues(reason)
	}
	reg.MustRegister(m.slotEvents, m.firings, m.skips, m.firingLate)
}

// happened counts what has happened to slots and schedules.
func (m *Metrics) happened(events []*journalv1.Event) {
	for _, ev := range events {
		switch e := ev.GetKind().(type) {
		case *journalv1.Event_EventPublished:
			m.slotEvents.WithLabelValues("published").Inc()
		case *journalv1.Event_EventSettled:
			m.slotEvents.WithLabelValues(outcomes[e.EventSettled.GetVerdict()]).Inc()
		case *journalv1.Event_EventsExpired:
			m.slotEvents.WithLabelValues("expired").Add(float64(len(e.EventsExpired.GetSequences())))
		case *journalv1.Event_ScheduleFired:
			m.fired(time.Unix(0, ev.GetAt()), e.ScheduleFired)
		case *journalv1.Event_ScheduleSkipped:
			m.skips.WithLabelValues(reasons[e.ScheduleSkipped.GetWhy()]).Inc()
		}
	}
}

func (m *Metrics) fired(at time.Time, e *journalv1.ScheduleFired) {
	cause := "asked"
	switch {
	case e.GetCollection() != 0:
		cause = "events"
	case e.GetDue() != 0:
		cause = "time"
		m.firingLate.Observe(at.Sub(time.Unix(0, e.GetDue())).Seconds())
	}
	m.firings.WithLabelValues(cause).Inc()
}

// Rejected counts a refused submission.
func (m *Metrics) Rejected(reason string) { m.rejected.WithLabelValues(reason).Inc() }

// RequestLate counts a call that ended because its request did not come in time.
func (m *Metrics) RequestLate() { m.late.Inc() }

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

// Committed implements partition.Observer.
func (m *Metrics) Committed(before, row *journalv1.OrderRow) {
	if before == nil {
		m.accepted.Inc()
	}
	if c := m.ended[orderv1.Status(row.GetStatus())]; row.GetEndedAt() != 0 && c != nil {
		c.Inc()
	}
}

// claimRefused counts that what an adapter said was refused.
func (m *Metrics) claimRefused(what string) { m.refused.WithLabelValues(what).Inc() }

// observe has the metrics observe an engine.
func (m *Metrics) observe(e *Engine) { m.engine.Store(e) }

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		m.queueDepth, m.queueInFlight, m.queueAge, m.queueOverflow, m.queueResults, m.queueAway, m.queueSuspects, m.queueRedelivered,
		m.queueQuarantined, m.adapterBytes, m.activities, m.keysWaiting, m.keysHeld, m.keysAge, m.ordersRunning,
		m.ordersResident, m.timers, m.ordersFaulted,
		m.ordersInDoubt, m.ordersSuspended, m.heavySeconds, m.heavyWaits, m.heavyWaited, m.heavyWaiting, m.heavyRunning, m.crowded,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	e := m.engine.Load()
	if e == nil {
		return
	}
	m.collectHeavy(e.pace, ch)
	s := e.ownership.Status()
	gauge(m.ordersRunning, float64(s.Open))
	gauge(m.ordersResident, float64(s.Resident))
	gauge(m.timers, float64(s.Timers))
	gauge(m.ordersSuspended, float64(s.Suspended))
	gauge(m.keysWaiting, float64(s.KeysWaiting))
	gauge(m.keysHeld, float64(s.KeysHeld))
	gauge(m.keysAge, s.KeysAge.Seconds())
	n := e.countFallout(context.Background())
	gauge(m.ordersFaulted, float64(n.Faulted))
	gauge(m.ordersInDoubt, float64(n.InDoubt))
	gauge(m.adapterBytes, float64(e.activities.AdapterBytes()))
	gauge(m.activities, float64(e.activities.Known()))
	for _, a := range e.activities.Shown() {
		gauge(m.queueDepth, float64(a.Waiting), a.Name)
		gauge(m.queueInFlight, float64(a.InFlight), a.Name)
		gauge(m.queueAge, a.Age.Seconds(), a.Name)
		gauge(m.queueOverflow, float64(a.Overflow), a.Name)
		counter(m.queueResults, a.Results, a.Name)
		gauge(m.queueAway, float64(a.Away), a.Name)
		gauge(m.queueSuspects, float64(a.Suspects), a.Name)
		counter(m.queueRedelivered, a.Redelivered, a.Name)
		counter(m.queueQuarantined, a.Quarantined, a.Name)
	}
}
