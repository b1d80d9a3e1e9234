package pgserver

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Pause has all processes of the server stand still: it answers nobody any more, and nobody who is connected to it is told anything, as
// when its host hangs. What comes meanwhile is done once it goes on. It is for Linux. Resume it, or Lose it.
func (s *Server) Pause() error {
	if err := s.pause(); err != nil {
		return errors.Join(err, s.Resume())
	}
	return nil
}

func (s *Server) pause() error {
	first := s.Process.Process.Pid
	s.paused = []int{first}
	if err := s.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	if err := await(first, "T"); err != nil { // it starts no others
		return err
	}
	s.paused = append(s.paused, children(first)...)
	if err := s.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for _, id := range s.paused {
		if err := await(id, "T", "Z", ""); err != nil {
			return err
		}
	}
	return nil
}

// Resume has a server go on that was paused.
func (s *Server) Resume() error {
	err := s.signal(syscall.SIGCONT)
	s.paused = nil
	return err
}

// Lose ends a server that was paused as the loss of its host would.
func (s *Server) Lose() error {
	err := s.signal(syscall.SIGKILL)
	_ = s.Process.Wait()
	for _, id := range s.paused[1:] { // the next one would not start beside them
		err = errors.Join(err, await(id, "Z", ""))
	}
	s.paused = nil
	return err
}

// signal sends a signal to the processes that stand still, but to those that have ended.
func (s *Server) signal(sig syscall.Signal) error {
	for _, id := range s.paused {
		if err := syscall.Kill(id, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("signal %v to the server: %w", sig, err)
		}
	}
	return nil
}

// statesWithin is how long a process may take until it is in the state that a signal brings it to.
const statesWithin = 30 * time.Second

// await waits until a process is in one of some states.
func await(id int, states ...string) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(statesWithin); ; <-tick.C {
		is, _ := state(id)
		if slices.Contains(states, is) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d of the server has the state %q, and not one of %q", id, is, states) //nolint:err113 // for people
		}
	}
}

// state is the state of a process and who its parent is: T for one that is stopped, Z or nothing for one that is no more.
func state(id int) (is string, parent int) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", id))
	if err != nil {
		return "", 0
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	parent, _ = strconv.Atoi(fields[1])
	return fields[0], parent
}

// children are the processes that a process has started.
func children(of int) (ids []int) {
	paths, _ := filepath.Glob("/proc/[0-9]*")
	for _, path := range paths {
		id, _ := strconv.Atoi(filepath.Base(path))
		if _, parent := state(id); parent == of {
			ids = append(ids, id)
		}
	}
	return ids
}
