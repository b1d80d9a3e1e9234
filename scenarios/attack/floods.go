package attack

import (
	"errors"

	"golang.org/x/net/http2"

	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// CallMethod is a method that takes one message, for calls that are begun and not made.
const CallMethod = orderv1.OrderService_List_FullMethodName

// FrameFloods are the ways to send frames that carry nothing, without end: each function sends one more.
func FrameFloods() map[string]func(f *Frames) error {
	return map[string]func(f *Frames) error{
		"resets": func(f *Frames) error {
			id, err := f.Call(CallMethod, http2.FlagHeadersEndHeaders)
			return errors.Join(err, f.WriteRSTStream(id, http2.ErrCodeCancel))
		},
		"pings":          func(f *Frames) error { return f.WritePing(false, [8]byte{1}) },
		"answers":        func(f *Frames) error { return f.WritePing(true, [8]byte{1}) },
		"settings":       func(f *Frames) error { return f.WriteSettings() },
		"window updates": func(f *Frames) error { return f.WriteWindowUpdate(0, 1) },
		"priorities":     func(f *Frames) error { return f.WritePriority(1, http2.PriorityParam{StreamDep: 3}) },
		"unknown frames": func(f *Frames) error { return f.WriteRawFrame(0x55, 0, 0, []byte("x")) },
		"empty data": func(f *Frames) error {
			if !f.Begun() {
				if _, err := f.Call(CallMethod, http2.FlagHeadersEndHeaders); err != nil {
					return err
				}
			}
			return f.WriteData(1, false, nil)
		},
		"continuations": func(f *Frames) error {
			if !f.Begun() {
				if _, err := f.Call(CallMethod, 0); err != nil {
					return err
				}
			}
			return f.WriteContinuation(1, false, nil)
		},
	}
}
