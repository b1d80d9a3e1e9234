package remoting

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/nodev1"
	"github.com/holdfast-run/holdfast/messages/remotingv1"
)

// echoEnv has the process be a node, at the address that is in it, that answers each ask, until its input ends.
const echoEnv = "HOLDFAST_TEST_ECHO"

// echo answers.
type echo struct{ *Remoting }

func (e *echo) Deliver(_ Node, m *nodev1.Envelope) {
	e.Answer(m.GetAsker(), &nodev1.Answer{Ask: m.GetAsk()})
}
func (*echo) Receive(*nodev1.Answer)                 {}
func (*echo) Lost(Node)                              {}
func (*echo) Found(messages.Incarnation)             {}
func (*echo) Holds(Node, *remotingv1.Holdings)       {}
func (*echo) Instructed(*remotingv1.Instruction)     {}
func (*echo) Evidence() (dated time.Time, seen bool) { return time.Time{}, false }
func (*echo) Watermarks() []*remotingv1.Watermarks   { return nil }

func runEcho() {
	fatal := func(err error) {
		if err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	l, err := net.Listen("tcp", os.Getenv(echoEnv))
	fatal(err)
	self := Node{l.Addr().String(), messages.NewIncarnation("echo")}
	e := &echo{}
	e.Remoting, err = New(Config{Self: self, Cluster: "test", Plaintext: true}, Deps{
		Witness: e, Metrics: NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler),
	})
	fatal(err)
	e.receiver.Store(&receiver{e})
	fatal(e.Start(l))
	_, _ = fmt.Fprintln(os.Stdout, self)
	_, _ = io.Copy(io.Discard, os.Stdin)
	e.Stop()
}

// startEcho starts such a process.
func startEcho(t *testing.T, address string) (Node, *exec.Cmd) {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	child := exec.Command(self)
	child.Env, child.Stderr = append(os.Environ(), echoEnv+"="+address), os.Stderr
	in, err := child.StdinPipe()
	must(t, err)
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	t.Cleanup(func() {
		_ = in.Close()
		_ = child.Process.Kill()
		_ = child.Wait()
	})
	line := bufio.NewScanner(out)
	if !line.Scan() {
		t.Fatal("the node did not start")
	}
	n, err := ParseNode(line.Text())
	must(t, err)
	return n, child
}

func TestPeerThatIsStoppedOrKilledIsLostAndComesBack(t *testing.T) {
	t.Parallel()
	one := newStation(t, "one", func(c *Config) {
		plaintext(c)
		c.Silence, c.ConnectWithin = time.Second, time.Second
	})
	var number uint64
	answered := func(n Node) {
		t.Helper()
		for over := time.After(patience); ; {
			number++
			one.ask(n, number)
			select {
			case a := <-one.answers:
				if a.GetFailure() == nil {
					return
				}
			case <-one.lost: // it may have got lost: it is said again
			case <-over:
				t.Fatal("no ask is answered")
			}
		}
	}
	lost := func(n Node) {
		t.Helper()
		for next(t, one.lost) != n || one.Up(n) {
			continue
		}
	}
	echo, process := startEcho(t, freeAddress(t))
	must(t, one.Peers(echo))
	answered(echo)
	// One that is stopped is found out by its silence; it goes on as the same.
	must(t, process.Process.Signal(syscall.SIGSTOP))
	if n := next(t, one.lost); n != echo {
		t.Errorf("%v is lost", n)
	}
	must(t, process.Process.Signal(syscall.SIGCONT))
	answered(echo)
	// One that is killed comes back as another one.
	must(t, process.Process.Kill())
	lost(echo)
	again, _ := startEcho(t, echo.Address)
	must(t, one.Peers(again))
	answered(again)
	if p := one.Status(); len(p) != 1 || p[0].Node != again {
		t.Errorf("peers are %+v", p)
	}
}
