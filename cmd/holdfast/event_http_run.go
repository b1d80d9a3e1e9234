package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/pflag"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/holdfast-run/holdfast/certificates"
	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/client/cloudevents"
	"github.com/holdfast-run/holdfast/connections"
	"github.com/holdfast-run/holdfast/supervision"
)

// checkEventHTTP fills in the defaults of the settings, and says everything that is wrong with them.
func (a *app) checkEventHTTP(c *eventHTTPConfig, flags *pflag.FlagSet) error {
	c.Headers = cmp.Or(c.Headers, 32<<10)
	c.RequestWithin = cmp.Or(c.RequestWithin, 30*time.Second)
	c.Connections = cmp.Or(c.Connections, 1000)
	c.Events.Within = a.callBound()
	c.Events.Anyway = a.client.token.Anyway
	c.Events.Tokens = a.client.secure.Certificate != "" && !c.Tokenless
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if a.client.token.Token != "" || a.client.token.File != "" {
		wrong("callers publish by their own tokens, and this process has none: take away --token, --token-file, %sTOKEN and %sTOKEN_FILE",
			envPrefix, envPrefix)
	}
	if c.Headers < leastEventHeaders {
		wrong("--max-headers is %s, and must be at least %s", textSize(int64(c.Headers)), textSize(leastEventHeaders))
	}
	for _, n := range []struct {
		flag  string
		value int
	}{{"max-connections", c.Connections}, {"max-address-connections", c.AddressConnections}} {
		if n.value < 0 {
			wrong("--%s is %d, and must not be negative", n.flag, n.value)
		}
	}
	// Who publishes is asked by the nodes.
	errs = append(errs, c.listener().check(true), byFlags(c.Events.Validate(), flags, &c.Events))
	return errors.Join(errs...)
}

// leastEventHeaders is what a long token and the attributes of an ordinary event need.
const leastEventHeaders = 16 << 10

// eventHTTP is the process that takes events by HTTP.
type eventHTTP struct {
	config   *eventHTTPConfig
	log      *slog.Logger
	registry *prometheus.Registry
	nodes    *nodesReady
	stopping atomic.Bool
	dog      *supervision.Watchdog
}

// runEventHTTP takes events until ctx ends.
func (a *app) runEventHTTP(ctx context.Context, c *eventHTTPConfig, log *slog.Logger) error {
	conn, err := a.dialBearing(nil, "server", client.Port, a.client.secure, a.client.servers...)
	if err != nil {
		return err
	}
	defer conn.close()
	p := &eventHTTP{
		config: c, log: log, registry: prometheus.NewRegistry(), dog: supervision.NewWatchdog(time.Now, log),
		nodes: &nodesReady{health: grpc_health_v1.NewHealthClient(conn.Conn())},
	}
	p.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	events, err := p.handler(conn.Events())
	if err != nil {
		return err
	}
	failed := make(chan error, 2) // one of each server
	stopHealth, err := p.serveHealth(ctx, failed)
	if err != nil {
		return err
	}
	defer stopHealth()
	return p.serve(ctx, events, failed)
}

// handler makes what takes the events, and counts them.
func (p *eventHTTP) handler(publisher cloudevents.Publisher) (http.Handler, error) {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "holdfast_event_requests_total", Help: "Requests by the status of their answer; 499: the client had gone.",
	}, []string{"status"})
	published := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "holdfast_events_published_total", Help: "Events that were published, those included that had been before.",
	})
	unheard := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "holdfast_events_unheard_total", Help: "Events that were published, and that no definition of their namespace listens for.",
	})
	seconds := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "holdfast_event_request_seconds", Help: "Time from the header of a request until its answer, of those whose events were published.",
		Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
	})
	p.registry.MustRegister(requests, published, unheard, seconds)
	told := &seldom{}
	c := p.config.Events
	c.Answered = func(a cloudevents.Answer) {
		requests.WithLabelValues(strconv.Itoa(a.Status)).Inc()
		published.Add(float64(a.Events))
		unheard.Add(float64(a.Unheard))
		if a.Status == http.StatusNoContent {
			seconds.Observe(a.Took.Seconds())
		}
	}
	c.Failed = func(err error) {
		if untold, yes := told.tells(); yes {
			p.log.Warn("events were not published", "error", err, "untold_before", untold)
		}
	}
	return cloudevents.New(publisher, c)
}

// serve serves those who publish, until ctx ends or something fails; then it lets requests end that are under way.
func (p *eventHTTP) serve(ctx context.Context, events http.Handler, failed chan error) error {
	systemd := supervision.NewSystemd(p.dog, p.log)
	defer systemd.Close()
	listener, err := connections.Listen(ctx, p.config.Listen)
	if err != nil {
		return fmt.Errorf("listen for events: %w", err)
	}
	at := listener.Addr().String()
	listener, stopLooking, err := p.bounded(ctx, listener)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer stopLooking()
	server := &http.Server{
		Handler: events, MaxHeaderBytes: p.config.Headers, ReadHeaderTimeout: min(5*time.Second, p.config.RequestWithin),
		ReadTimeout: p.config.RequestWithin, IdleTimeout: time.Minute,
		WriteTimeout: p.config.RequestWithin + p.config.Events.Within + answerWithin,
		ErrorLog:     errorLog(p.log, "events"),
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("serve events: %w", err)
		}
	}()
	systemd.Ready("events at " + at)
	p.log.Info("events are taken", "listen", at, "path", cloudevents.Path+"NAMESPACE", "health", p.config.Health)
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	p.stopping.Store(true)
	systemd.Stopping()
	p.log.Info("no more events are taken")
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.config.DrainTimeout)
	defer cancel()
	if server.Shutdown(within) != nil {
		p.log.Warn("requests were ended that were under way: their clients have to send them again", "setting", "--drain-timeout")
		_ = server.Close() // what it says is of listeners, and they are closed
	}
	<-served
	return err
}

// answerWithin is how long a client may take to read the answer to its request.
const answerWithin = 10 * time.Second

// bounded has the connections of a listener bounded and, if they are to be, secured. The function that it returns ends the looking for new
// certificates.
func (p *eventHTTP) bounded(ctx context.Context, l net.Listener) (net.Listener, func(), error) {
	const word = "events"
	refused := newRefusedConnections(word, refusedMetric(p.registry), p.log)
	bounds := connections.New(connections.Config{
		Most: p.config.Connections, ByAddress: p.config.AddressConnections, Opening: p.config.Connections, WriteWithin: answerWithin,
		Ended: refused.ended,
	})
	bounded := bounds.Listener(l)
	warnOfListener(p.log, p.config.listener())
	if p.config.TLS.Certificate == "" {
		return bounds.Metered(bounded), func() {}, nil
	}
	s := newTLSMetrics(p.registry).secured(word, p.config.listener(), p.log)
	s.protocols = []string{"http/1.1"}
	if err := s.open(); err != nil {
		return l, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var looking sync.WaitGroup
	looking.Go(func() {
		every := time.NewTicker(certificates.Poll)
		defer every.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-every.C:
				s.reload()
			}
		}
	})
	return bounds.Metered(s.Secured(s.Listener(bounded))), func() {
		cancel()
		looking.Wait()
	}, nil
}

// serveHealth serves the pages that tell how the process is, if there is an address for them, until the function is called that it returns.
func (p *eventHTTP) serveHealth(ctx context.Context, failed chan<- error) (func(), error) {
	if p.config.Health == "" {
		return func() {}, nil
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", p.config.Health)
	if err != nil {
		return nil, fmt.Errorf("listen for questions about health: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/livez", p.dog.Handler())
	mux.HandleFunc("/readyz", p.readyz)
	mux.Handle("/metrics", promhttp.HandlerFor(p.registry, promhttp.HandlerOpts{}))
	server := &http.Server{
		Handler: supervision.CheckHost(l.Addr(), p.config.Health, mux), MaxHeaderBytes: leastEventHeaders,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
		ErrorLog: errorLog(p.log, "health"),
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("serve questions about health: %w", err)
		}
	}()
	return func() {
		_ = server.Close() // requests under way see the connection end
		<-served
	}, nil
}

var errDraining = errors.New("no more events are taken: the process stops")

// readyz answers 200 as long as events can be published here.
func (p *eventHTTP) readyz(w http.ResponseWriter, r *http.Request) {
	err := errDraining
	if !p.stopping.Load() {
		err = p.nodes.check(r.Context())
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

// nodesReady tells whether a node answers that takes events. It asks once a second at most, however often it is asked.
type nodesReady struct {
	health grpc_health_v1.HealthClient

	mu    sync.Mutex // held while a node is asked
	asked time.Time
	err   error
}

// askWithin is how long a node may take to say whether it is ready.
const askWithin = 2 * time.Second

var errNotServing = errors.New("the node is not ready")

func (r *nodesReady) check(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.asked) < time.Second {
		return r.err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askWithin)
	defer cancel()
	answer, err := r.health.Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	switch {
	case err != nil:
		st, _ := client.StatusOf(err)
		r.err = errors.New("no node answers: " + client.StatusText(st))
	case answer.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING:
		r.err = errNotServing
	default:
		r.err = nil
	}
	r.asked = time.Now()
	return r.err
}
