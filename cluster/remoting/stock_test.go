package remoting

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
)

// stockEnv has the process be a node of protoactor's own, at the address that is in it, until its input ends.
const stockEnv = "HOLDFAST_TEST_STOCK_REMOTE"

func stock() {
	host, port, _ := net.SplitHostPort(os.Getenv(stockEnv))
	number, _ := strconv.Atoi(port)
	remote.NewRemote(actor.NewActorSystem(), remote.Configure(host, number)).Start()
	_, _ = fmt.Println("started") //nolint:forbidigo // for who has started this
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
}

// TestProtoactorPanicsAtWhatTheGuardRefuses shows why there is a guard.
func TestProtoactorPanicsAtWhatTheGuardRefuses(t *testing.T) {
	t.Parallel()
	at := freeAddress(t)
	self, err := os.Executable()
	must(t, err)
	child := exec.Command(self)
	child.Env = append(os.Environ(), stockEnv+"="+at)
	in, err := child.StdinPipe()
	must(t, err)
	defer func() { _ = in.Close() }()
	out, err := child.StdoutPipe()
	must(t, err)
	var told strings.Builder
	child.Stderr = &told
	must(t, child.Start())
	lines := bufio.NewScanner(out)
	for started := false; !started && lines.Scan(); {
		started = strings.Contains(lines.Text(), "started")
	}
	stream := dialRaw(t, at, nil)
	must(t, stream.Send(badIndex()))
	if err := child.Wait(); err == nil || !strings.Contains(told.String(), "index out of range") {
		t.Errorf("protoactor's own node ends with %v:\n%s", err, told.String())
	}
	s := newStation(t, "ours", plaintext)
	if err := sendRaw(t, s, rawHello(s), badIndex()); !strings.Contains(err.Error(), "frame names 1") {
		t.Errorf("the guard says %v", err)
	}
}
