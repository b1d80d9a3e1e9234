package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/jsonscan"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// chunkLines is the most lines that are read at once; chunkBytes about the most bytes, unless one line has more.
const (
	chunkLines = 200
	chunkBytes = 1 << 20
)

// fileLine is a line of a file with orders: an order, or why it is none.
type fileLine struct {
	number int
	offset int64 // of its end
	order  *orderv1.WorkOrder
	err    error
}

var (
	// errLines says that no more lines can be read.
	errLines = errors.New("read orders")
	// errTooLong says that a line is too long to be an order.
	errTooLong = errors.New("the line has more than " + textSize(maxInput))
)

// openLines opens a file with orders, - being the standard input, and tells its size; 0: that is not known.
func (a *app) openLines(ctx context.Context, name string) (io.ReadCloser, int64, error) {
	if name == "-" {
		return io.NopCloser(a.stdin), 0, nil
	}
	f, err := interruptible(ctx, func() (*os.File, error) { return os.Open(name) }) // a pipe opens once somebody writes to it
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errLines, err)
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return f, 0, nil //nolint:nilerr // the size is of use for the progress alone
	}
	return f, info.Size(), nil
}

// lineReader reads orders, a line each, of a bounded length.
type lineReader struct {
	in     *bufio.Reader
	base   *orderv1.WorkOrder // what a line does not say
	number int
	offset int64
}

// next returns the next line without its end. One that is too long is passed over.
func (r *lineReader) next() (line []byte, err error) {
	r.number++
	for {
		part, err := r.in.ReadSlice('\n')
		r.offset += int64(len(part))
		line = append(line, part[:min(len(part), max(0, maxInput+2-len(line)))]...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && (!errors.Is(err, io.EOF) || len(line) == 0):
			return nil, err //nolint:wrapcheck // the caller knows what is read
		case len(line) > maxInput+1:
			return nil, errTooLong
		default:
			return bytes.TrimSpace(line), nil
		}
	}
}

// readLines reads orders in chunks until the file or ctx ends; ended is closed then.
func readLines(ctx context.Context, in io.Reader, base *orderv1.WorkOrder) (chunks <-chan []fileLine, ended <-chan struct{}) {
	out, done := make(chan []fileLine), make(chan struct{})
	go func() {
		defer close(done)
		defer close(out)
		r := &lineReader{in: bufio.NewReaderSize(in, 64<<10), base: base}
		for more := true; more; {
			var chunk []fileLine
			chunk, more = r.chunk()
			select {
			case out <- chunk:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, done
}

// chunk reads as many orders as there are without waiting, but at least one. It returns false after the last.
func (r *lineReader) chunk() (chunk []fileLine, more bool) {
	for size := 0; len(chunk) == 0 || len(chunk) < chunkLines && size < chunkBytes && r.in.Buffered() > 0; {
		text, err := r.next()
		l := fileLine{number: r.number, offset: r.offset}
		switch {
		case errors.Is(err, io.EOF):
			return chunk, false
		case errors.Is(err, errTooLong):
			l.err = err
		case err != nil:
			l.err = fmt.Errorf("%w: line %d: %w", errLines, r.number, err)
			return append(chunk, l), false
		case len(text) == 0:
			continue
		default:
			l.order, l.err = parseOrder(text, r.base)
		}
		size += len(text)
		chunk = append(chunk, l)
	}
	return chunk, true
}

// parseOrder reads an order, a JSON object; what it does not say is as in base. It must have an id, by which an order that is submitted
// again is known.
func parseOrder(text []byte, base *orderv1.WorkOrder) (*orderv1.WorkOrder, error) {
	o := proto.CloneOf(base)
	if syntax, bad := errors.AsType[*json.SyntaxError](json.Unmarshal(text, new(json.RawMessage))); bad {
		return o, fmt.Errorf("is not one JSON value: column %d: %w", syntax.Offset, syntax)
	}
	if !utf8.Valid(text) {
		return o, errors.New("is not valid UTF-8")
	}
	if err := jsonscan.CheckNames(text); err != nil {
		return o, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return o, errors.New("is no JSON object")
	}
	for d.More() {
		var value json.RawMessage
		key, err := d.Token()
		if err == nil {
			err = d.Decode(&value)
		}
		if err != nil {
			return o, fmt.Errorf("is no JSON object: %w", err)
		}
		name, _ := key.(string) // a key is one
		if err := setField(o, name, value); err != nil {
			return o, err
		}
	}
	switch err := messages.OrderID(o.GetId()).Validate(); {
	case o.GetId() == "":
		return o, errors.New("has no id: it is by the id that an order is known when it is submitted again")
	case err != nil:
		return o, fmt.Errorf("id %q %w", o.GetId(), err)
	case o.GetDefinition() == "":
		return o, errors.New("has no definition, and --definition is not given")
	}
	return o, nil
}

// setField sets what a line says of an order.
func setField(o *orderv1.WorkOrder, name string, value json.RawMessage) (err error) {
	read := func(into any, what string) {
		if json.Unmarshal(value, into) != nil {
			err = fmt.Errorf("%s is no %s: %s", name, what, shorten(string(value), 40))
		}
	}
	switch name {
	case "id":
		read(&o.Id, "text")
	case "definition":
		read(&o.Definition, "text")
	case "input":
		o.Input = value
	case "order_key":
		read(&o.OrderKey, "text")
	case "priority":
		read(&o.Priority, "whole number")
	case "labels":
		o.Labels = nil
		read(&o.Labels, "object of texts")
	case "deadline":
		var text string
		if read(&text, "text"); err == nil {
			o.Deadline, o.DeadlineAfter, err = parseWhen(name, text)
		}
	default:
		return fmt.Errorf("says %s, which no order has: id, definition, input, order_key, priority, labels, deadline", name)
	}
	return err
}
