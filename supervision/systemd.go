package supervision

import (
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Systemd tells the service manager that started this process how it is, by the protocol of sd_notify. Without one, that
// is if NOTIFY_SOCKET is not set, it does nothing. It is safe for concurrent use.
type Systemd struct {
	dog  *Watchdog
	log  *slog.Logger
	stop chan struct{}
	done chan struct{} // closed when the goroutine has ended

	mu     sync.Mutex
	status string // as the owner said last
	stuck  string // as the service manager was told; empty: nothing was
	closed bool
}

// NewSystemd makes the link to the service manager. If that expects signs of life (WatchdogSec), they are sent at half of
// its time, as long as nothing is stuck. Close it.
func NewSystemd(dog *Watchdog, log *slog.Logger) *Systemd {
	s := &Systemd{dog: dog, log: log, stop: make(chan struct{}), done: make(chan struct{})}
	within, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("no signs of life are sent to the service manager", "error", err)
	}
	if within <= 0 {
		close(s.done)
		return s
	}
	go s.run(within / 2)
	return s
}

// Ready tells that the process has started, and what it is doing, for people.
func (s *Systemd) Ready(status string) { s.say(daemon.SdNotifyReady, status) }

// Stopping tells that the process is about to end. Signs of life go on until Close.
func (s *Systemd) Stopping() { s.say(daemon.SdNotifyStopping, "stopping") }

// Close ends the signs of life. It may be called more than once.
func (s *Systemd) Close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.stop)
	}
	s.mu.Unlock()
	<-s.done
}

func (s *Systemd) say(state, status string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
	s.notify(state + "\nSTATUS=" + status)
}

// run sends signs of life until it is closed.
func (s *Systemd) run(every time.Duration) {
	defer close(s.done)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		s.look()
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
	}
}

// look sends a sign of life, unless something is stuck: that it tells in its place.
func (s *Systemd) look() {
	names := make([]string, 0, 1)
	for _, stuck := range s.dog.Stuck(s.dog.now()) {
		names = append(names, stuck.Name)
	}
	stuck := strings.Join(names, ", ")
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case stuck != "":
		s.notify("STATUS=stuck: " + stuck)
	case s.stuck != "":
		s.notify(daemon.SdNotifyWatchdog + "\nSTATUS=" + s.status)
	default:
		s.notify(daemon.SdNotifyWatchdog)
	}
	s.stuck = stuck
}

func (s *Systemd) notify(state string) {
	if err := notify(state); err != nil {
		s.log.Warn("service manager can't be told", "error", err)
	}
}

// notifyWithin is how long the service manager has to take a message. One that is stopped takes none, and must not hold
// the process up.
const notifyWithin = 200 * time.Millisecond

// notify sends a message to the service manager, if there is one.
func notify(state string) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return err //nolint:wrapcheck // it says it all
	}
	defer conn.Close() //nolint:errcheck // what was written is on its way
	if err := conn.SetWriteDeadline(time.Now().Add(notifyWithin)); err != nil {
		return err //nolint:wrapcheck // it says it all
	}
	_, err = conn.Write([]byte(state))
	return err //nolint:wrapcheck // it says it all
}
