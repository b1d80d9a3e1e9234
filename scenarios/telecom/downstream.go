package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	// maxBody bounds a request, in bytes.
	maxBody = 1 << 20
	// maxAtOnce bounds the requests under way in one downstream; more of them wait for their turn.
	maxAtOnce = 4096

	headerKey   = "Idempotency-Key"
	headerOrder = "X-Order-Id"
)

// problemJSON is how a downstream says what is wrong, after RFC 9457.
type problemJSON struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// downstream is a stand-in for a system of the operator: POST /{operation} with an idempotency key.
type downstream struct {
	name       string
	operations map[string]operation
	log        *downlog
	control    *control
	turns      chan struct{} // maxAtOnce
	failed     chan error    // holds one: the log can't be written any more
	closing    chan struct{}
}

func newDownstream(name string, log *downlog, b behaviour) *downstream {
	return &downstream{
		name: name, operations: systems[name], log: log, control: &control{now: b},
		turns: make(chan struct{}, maxAtOnce), failed: make(chan error, 1), closing: make(chan struct{}),
	}
}

// serve answers requests until ctx ends or the log fails.
func (d *downstream) serve(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /control", d.getControl)
	mux.HandleFunc("PUT /control", d.putControl)
	mux.HandleFunc("POST /{operation}", d.request)
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	var err error
	select {
	case <-ctx.Done():
	case err = <-d.failed:
	case err = <-served:
		return fmt.Errorf("downstream %s: serve: %w", d.name, err)
	}
	close(d.closing)
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if s.Shutdown(bound) != nil {
		_ = s.Close()
	}
	if closed := <-served; err == nil && !errors.Is(closed, http.ErrServerClosed) {
		err = closed
	}
	return err
}

func (d *downstream) getControl(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, d.control.current())
}

func (d *downstream) putControl(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		err = d.control.change(body)
	}
	if err != nil {
		reply(w, http.StatusBadRequest, problemJSON{"Bad control", http.StatusBadRequest, err.Error()})
		return
	}
	d.getControl(w, r)
}

// request carries a request out. A request that was received is carried out to its end, even if whoever asked has gone:
// that is what other systems do, and what makes a lost answer hard.
func (d *downstream) request(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("operation")
	run, known := d.operations[name]
	e := entry{Key: r.Header.Get(headerKey), Order: r.Header.Get(headerOrder), Activity: d.name + "." + name}
	if !known {
		reply(w, http.StatusNotFound, problemJSON{"Unknown operation", http.StatusNotFound, d.name + " does not offer " + name})
		return
	}
	if e.Key == "" {
		reply(w, http.StatusBadRequest, problemJSON{"No key", http.StatusBadRequest, "send the header " + headerKey})
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		reply(w, http.StatusBadRequest, problemJSON{"Bad request", http.StatusBadRequest, err.Error()})
		return
	}
	d.turns <- struct{}{}
	defer func() { <-d.turns }()
	answer, invalid := run(e.Key, body)
	f := d.control.fateOf(texts(body), time.Now())
	d.work(f.before)
	e.At = time.Now()
	switch {
	case f.unavailable:
		d.refuse(w, e, problemJSON{"Unavailable", http.StatusServiceUnavailable, d.name + " is out of order; nothing changed"})
		return
	case invalid != nil:
		d.refuse(w, e, problemJSON{"Invalid arguments", http.StatusUnprocessableEntity, invalid.Error()})
		return
	case f.refused != "":
		d.refuse(w, e, problemJSON{"Refused", http.StatusUnprocessableEntity, fmt.Sprintf("%s refuses %s", d.name, f.refused)})
		return
	}
	if _, err := d.log.apply(e); err != nil {
		d.fail(err)
	}
	d.work(f.after)
	if f.lost {
		panic(http.ErrAbortHandler) // net/http's way to close the connection without an answer
	}
	reply(w, http.StatusOK, answer)
}

// work takes the time that the real system would need. A downstream that is told to stop drops what it is at.
func (d *downstream) work(takes time.Duration) {
	t := time.NewTimer(takes)
	defer t.Stop()
	select {
	case <-t.C:
	case <-d.closing:
		panic(http.ErrAbortHandler)
	}
}

func (d *downstream) refuse(w http.ResponseWriter, e entry, p problemJSON) {
	if err := d.log.refuse(e); err != nil {
		d.fail(err)
	}
	reply(w, p.Status, p)
}

// fail ends the process, and the request without an answer: nobody knows what is in the log.
func (d *downstream) fail(err error) {
	select {
	case d.failed <- fmt.Errorf("downstream %s: write log: %w", d.name, err):
	default:
	}
	panic(http.ErrAbortHandler)
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) //nolint:errchkjson // whoever asked may have gone
}

// texts returns the text arguments of a request.
func texts(body []byte) (found []string) {
	var args map[string]any
	if json.Unmarshal(body, &args) != nil {
		return nil
	}
	for _, v := range args {
		if s, ok := v.(string); ok {
			found = append(found, s)
		}
	}
	return found
}

// listenLoopback listens on a local address only: a downstream has no access control.
func listenLoopback(ctx context.Context, addr string) (net.Listener, error) {
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	if !a.IP.IsLoopback() {
		return nil, errors.New("--listen: expected a loopback address, such as 127.0.0.1:0")
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	return l, nil
}
