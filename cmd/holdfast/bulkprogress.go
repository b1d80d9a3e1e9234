package main

import (
	"fmt"
	"io"
	"time"
)

// bulkProgress shows how far a file of orders is: on a terminal in one line that changes, else in a line now and then.
type bulkProgress struct {
	out    io.Writer
	width  int // of the terminal; 0: there is none
	quiet  bool
	size   int64 // of the file; 0: it is not known
	offset int64 // of what was read
	began  time.Time
	shown  time.Time
}

// tellEvery is how often the progress is told where there is no terminal.
const tellEvery = 10 * time.Second

// newBulkProgress begins to show the progress on the standard error.
func (a *app) newBulkProgress(size int64, quiet bool) *bulkProgress {
	now := time.Now()
	return &bulkProgress{out: a.stderr, width: a.terminal(a.stderr), quiet: quiet, size: size, began: now, shown: now}
}

// draw shows what has come of the lines.
func (p *bulkProgress) draw(n bulkJSON) {
	now := time.Now()
	if p.quiet || p.width == 0 && now.Sub(p.shown) < tellEvery {
		return
	}
	p.shown = now
	took := now.Sub(p.began).Seconds()
	text := fmt.Sprintf("%.0f s  %d accepted, %d accepted before, %d refused  %.0f/s", took, n.Accepted, n.Repeated, n.Refused,
		float64(n.answered())/took)
	if p.size > 0 {
		text += fmt.Sprintf("  %d %%", 100*p.offset/p.size)
	}
	p.line(text)
}

// line writes a line, on a terminal in place of the one before.
func (p *bulkProgress) line(text string) {
	if p.width == 0 {
		fmt.Fprintln(p.out, text)
		return
	}
	fmt.Fprint(p.out, "\r\x1b[K"+shorten(text, max(p.width-1, 10)))
}

// pause removes the line, so that something else may be written.
func (p *bulkProgress) pause() {
	if p.width > 0 && !p.quiet {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

// say tells something beside.
func (p *bulkProgress) say(text string) {
	p.pause()
	fmt.Fprintln(p.out, text)
}

// end shows nothing any more.
func (p *bulkProgress) end() { p.pause() }
