package supervision_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-run/holdfast/supervision"
)

// childMode is the variable that makes the test binary a child in place of running tests.
const childMode = "SUPERVISION_TEST_CHILD"

func TestMain(m *testing.M) {
	if mode := os.Getenv(childMode); mode != "" {
		child(mode)
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// child does what a test asks for.
func child(mode string) {
	forever := time.After(time.Hour) // with a timer, so that the runtime sees no deadlock
	switch mode {
	case "exit":
		os.Exit(3)
	case "cut off":
		say("cut o")
	case "obedient":
		term := make(chan os.Signal, 1)
		signal.Notify(term, syscall.SIGTERM)
		say("ready\n")
		<-term
		say("bye\n")
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		say("ready\n")
		<-forever
	case "talkative": // tells when it could write all of its log
		_, _ = os.Stderr.Write(bytes.Repeat([]byte("a line of the log\n"), 1<<17))
		hold()
		<-forever
	case "holder": // the fifo ends when it dies
		hold()
		<-forever
	case "parent": // leaves a process behind when it exits
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childMode+"=holder")
		must(cmd.Start())
		<-forever
	case "supervisor":
		p := supervision.NewProcess(supervision.Spec{
			Name: "grandchild", Path: os.Args[0], Env: []string{childMode + "=holder"},
		})
		must(p.Run(neverEnds()))
	}
}

func say(text string) { _, _ = os.Stdout.WriteString(text) }

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
