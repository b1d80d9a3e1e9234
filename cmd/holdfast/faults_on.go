//go:build faults

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/holdfast-run/holdfast/actors"
	"github.com/holdfast-run/holdfast/actors/access"
	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/flaky"
	"github.com/holdfast-run/holdfast/persistence/pebble"
)

// faults are what goes wrong in a binary that is built with the tag faults, as the administration is told:
//
//	POST /faults?point=order&name=A-1&do=panic&times=3
//
// The points are order, partition, dispatcher, journal and fsync; without a name it is whichever comes first. The name of an
// fsync is what the name of its file ends with: .log holds up commits. What a fault does is panic or hang. GET tells how often
// each fault has happened.
//
//	POST /faults/journal?is=away
//
// The journal is away, silent or up from then on: see persistence/flaky.
//
// With the variable HOLDFAST_DIE_AFTER=N in its environment, the process is killed when N commits are durable, before anybody hears of the
// last one.
type faults struct {
	mu    sync.Mutex
	armed []*fault
}

type fault struct {
	Point    string `json:"point"`
	Name     string `json:"name"`
	Do       string `json:"do"`
	Times    int    `json:"times"`
	Happened int    `json:"happened"`
}

// injected are the faults of this process.
var injected faults

func (f *faults) hit(point, name string) {
	f.mu.Lock()
	for _, a := range f.armed {
		if a.Point != point || a.Name != "" && a.Name != name || a.Happened == a.Times {
			continue
		}
		a.Happened++
		f.mu.Unlock()
		if a.Do == "panic" {
			panic(fmt.Sprintf("injected into %s %s", point, name))
		}
		select {}
	}
	f.mu.Unlock()
}

func faultsEndpoint(pages map[string]http.Handler) {
	mux := http.NewServeMux()
	pages[access.Faults], pages[access.FaultsBelow] = mux, mux
	actors.Inject = injected.hit
	mux.HandleFunc("POST /faults", func(w http.ResponseWriter, r *http.Request) {
		a := &fault{Point: r.FormValue("point"), Name: r.FormValue("name"), Do: r.FormValue("do")}
		var err error
		if a.Times, err = strconv.Atoi(r.FormValue("times")); err != nil || a.Do != "panic" && a.Do != "hang" {
			http.Error(w, "times must be a number, and do panic or hang", http.StatusBadRequest)
			return
		}
		injected.mu.Lock()
		defer injected.mu.Unlock()
		injected.armed = append(injected.armed, a)
	})
	mux.HandleFunc("POST /faults/journal", setJournal)
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) {
		injected.mu.Lock()
		defer injected.mu.Unlock()
		_ = json.NewEncoder(w).Encode(injected.armed)
	})
}

// journalStates are how the journal may be, by what it is called.
var journalStates = map[string]flaky.State{"up": flaky.Up, "away": flaky.Away, "silent": flaky.Silent}

// flakyJournal stands before the journal of this process, once that is open.
var flakyJournal atomic.Pointer[flaky.Journal]

func setJournal(w http.ResponseWriter, r *http.Request) {
	state, known := journalStates[r.FormValue("is")]
	j := flakyJournal.Load()
	if !known || j == nil {
		http.Error(w, "the journal can be away, silent or up, once it is open", http.StatusBadRequest)
		return
	}
	j.Set(state)
	_, _ = fmt.Fprintln(w, j.Unanswered())
}

func seenJournal(j persistence.Journal) persistence.Journal {
	if n, err := strconv.ParseInt(os.Getenv("HOLDFAST_DIE_AFTER"), 10, 64); err == nil && n > 0 {
		d := &dyingJournal{Journal: j}
		d.left.Store(n)
		j = d
	}
	f := flaky.Wrap(j)
	flakyJournal.Store(f)
	return f
}

// dyingJournal is a journal that kills the process when so many commits are durable.
type dyingJournal struct {
	persistence.Journal

	left atomic.Int64
}

// Commit implements persistence.Committer.
func (d *dyingJournal) Commit(c *persistence.Commit) {
	done := c.Done
	c.Done = func(err error) {
		if err == nil && d.left.Add(-1) <= 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // it does not return to anybody
			select {}
		}
		done(err)
	}
	d.Journal.Commit(c)
}

func faultyJournal(c *pebble.Config) {
	turn := c.Turn
	c.Turn = func() {
		turn()
		injected.hit("journal", "")
	}
	c.FS = errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo {
			injected.hit("fsync", path.Ext(op.Path))
		}
		return nil
	}))
}
