package supervision

import (
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	"google.golang.org/grpc/grpclog"
)

// Outlive has this process go on when those who read its output are gone. By default, the next line on its standard output
// or error would end it (SIGPIPE); now writing that line only fails. What libraries log of themselves goes to w, which
// should be a Relay before the standard error: they would be held up if that were blocked. It is for the main function of
// a process that runs until it is told to stop, before that does anything else. A command whose purpose is its output
// should end with its reader.
func Outlive(w io.Writer) {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // nobody needs to receive it
	log.SetOutput(w)
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, w))
}
