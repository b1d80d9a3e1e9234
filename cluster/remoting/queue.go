package remoting

// queue holds what waits to be sent to one peer. Its owner sees to it that it is used by one at a time.
type queue struct {
	mostLetters int
	mostBytes   int64
	letters     []letter
	bytes       int64
	// urgent holds the lease's questions and answers; they go first.
	urgent []letter
}

// mostUrgent is how many of the lease's questions and answers may wait for one peer.
const mostUrgent = 64

// add takes a letter; false if there is no room.
func (q *queue) add(l letter) bool {
	if l.kind == question || l.kind == evidence {
		if len(q.urgent) >= mostUrgent {
			return false
		}
		q.urgent = append(q.urgent, l)
		return true
	}
	size := int64(len(l.raw))
	if len(q.letters) >= q.mostLetters || q.bytes+size > q.mostBytes {
		return false
	}
	q.letters = append(q.letters, l)
	q.bytes += size
	return true
}

// mostInFrame is how many messages one frame may have.
const mostInFrame = 4096

// take appends to a batch what fits into a frame of so many bytes; one letter does, however long it is.
func (q *queue) take(batch []letter, most int) []letter {
	batch = append(batch, q.urgent...)
	q.urgent = q.urgent[:0]
	size, n := 0, 0
	for n < len(q.letters) && len(batch) < mostInFrame {
		size += len(q.letters[n].raw)
		if size > most && len(batch) > 0 {
			break
		}
		q.bytes -= int64(len(q.letters[n].raw))
		batch = append(batch, q.letters[n])
		n++
	}
	if left := copy(q.letters, q.letters[n:]); n > 0 {
		clear(q.letters[left:])
		q.letters = q.letters[:left]
	}
	return batch
}

func (q *queue) len() int { return len(q.letters) + len(q.urgent) }
