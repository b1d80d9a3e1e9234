package cloudevents

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

// firstBytes is how much memory a body has at first; it gets twice as much whenever that is full. So a client holds no more of it than
// twice what it has sent, whatever it says that it will send.
const firstBytes = 4 << 10

// read reads the body of a request. The hold is to be released when the body is not needed any more; it may be nil.
func (h *handler) read(w http.ResponseWriter, r *http.Request) ([]byte, *hold, *problem) {
	if r.ContentLength > h.config.MaxBody {
		return nil, nil, h.tooLong()
	}
	control := http.NewResponseController(w)
	held := h.room.enter(func() {
		_ = control.SetReadDeadline(time.Unix(1, 0)) // where that can't be, the client has until its time is over
	})
	limited := http.MaxBytesReader(w, r.Body, h.config.MaxBody)
	var body []byte
	for {
		if len(body) == cap(body) {
			more := max(firstBytes, len(body))
			if r.ContentLength >= 0 { // one more byte, so that the end is seen
				more = min(more, int(r.ContentLength)+1-len(body))
			}
			if !held.take(int64(more)) {
				return nil, held, tooSlow()
			}
			body = append(make([]byte, 0, len(body)+more), body...)
		}
		n, err := limited.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch _, tooLong := errors.AsType[*http.MaxBytesError](err); {
		case err == nil:
		case errors.Is(err, io.EOF) && held.done():
			return body, held, nil
		case tooLong:
			return nil, held, h.tooLong()
		case !held.done():
			return nil, held, tooSlow()
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, held, problemf(http.StatusRequestTimeout, "the body did not come in time").closing()
		default:
			return nil, held, problemf(http.StatusBadRequest, "the body can't be read: %v", err).closing()
		}
	}
}

func (h *handler) tooLong() *problem {
	const text = "the body has more than %d bytes: send fewer events at once, or less data"
	return problemf(http.StatusRequestEntityTooLarge, text, h.config.MaxBody).closing()
}

// tooSlow is the answer to a request that had to give way.
func tooSlow() *problem {
	const text = "there is no room for the body, which has taken longest to come"
	return problemf(http.StatusServiceUnavailable, text).retry(time.Second).closing()
}
