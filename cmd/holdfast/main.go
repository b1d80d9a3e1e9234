package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	_ "time/tzdata" // schedules name time zones, also where the system has none

	"github.com/google/uuid"
	"golang.org/x/term"

	"github.com/holdfast-run/holdfast/supervision"
)

func main() { os.Exit(realMain()) }

// othersMask keeps from all but the owner what a process makes: journals hold customers' data.
const othersMask = 0o077

func realMain() int {
	syscall.Umask(othersMask)
	runtime.MemProfileRate = 0 // see sampleHeap
	uuid.EnableRandPool()      // ids are no secrets: the kernel is not asked for each one
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	return run(ctx, &app{
		stdin:    os.Stdin,
		stdout:   os.Stdout,
		stderr:   os.Stderr,
		environ:  os.Environ,
		terminal: terminalWidth,
		outlive:  supervision.Outlive,
	}, os.Args[1:])
}

// terminalWidth returns the columns of the terminal that w writes to; 0 if it is none.
func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		return 80
	}
	return width
}
