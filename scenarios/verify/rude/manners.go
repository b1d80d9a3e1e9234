package rude

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
)

// Answer is an answer as it should be: a status, such as 200 OK, its content, and lines of its header. It is the last one on its
// connection.
func Answer(status, content string, header ...string) string {
	return Open(status, append(header, fmt.Sprint("Content-Length: ", len(content)))...) + content
}

// Open is the beginning of an answer: what follows is its content.
func Open(status string, header ...string) string {
	return "HTTP/1.1 " + status + "\r\n" + strings.Join(append(header, "Connection: close"), "\r\n") + "\r\n\r\n"
}

// Says answers with texts, whatever they mean, and closes the connection.
func Says(texts ...string) Manner {
	return func(v *Visit) {
		if v.Next() {
			v.Say(texts...)
		}
	}
}

// SaysEarly does the same when it has read the head of a request, and not what follows.
func SaysEarly(texts ...string) Manner {
	return func(v *Visit) {
		if v.Head() && v.Say(texts...) {
			v.Rest(3)
		}
	}
}

// Resets says texts, and resets the connection when these have arrived.
func Resets(texts ...string) Manner {
	return func(v *Visit) {
		if v.Next() && v.Say(texts...) {
			if len(texts) > 0 {
				v.Rest(3)
			}
			v.Reset()
		}
	}
}

// ResetsUnread resets the connection when something has come, and reads none of it but the first byte: a client whose connection is reset
// before it has said anything might not even get it.
func ResetsUnread(v *Visit) {
	if _, err := v.Read(make([]byte, 1)); err == nil {
		v.Came()
		v.Reset()
	}
}

// Pours begins an answer, goes on with a text again and again, until that were so many bytes, and ends it.
func Pours(begin, text string, most int64, end string) Manner {
	return func(v *Visit) {
		if v.Next() && v.Say(begin) && v.Pour(text, most) {
			v.Say(end)
		}
	}
}

// Drips begins an answer, and goes on with a text again and again, slowly.
func Drips(begin, text string) Manner {
	return func(v *Visit) {
		if v.Next() && v.Say(begin) {
			v.Drip(text)
		}
	}
}

// Hangs says texts, and then nothing more.
func Hangs(texts ...string) Manner {
	return func(v *Visit) {
		if v.Next() && v.Say(texts...) {
			v.Wait()
		}
	}
}

// HangsUnread says nothing, and reads nothing that means something.
func HangsUnread(v *Visit) { v.Wait() }

// Turns answers the first request with the first text, the next one with the next, and all that come then with the last.
func Turns(texts ...string) Manner {
	return func(v *Visit) {
		if v.Next() {
			v.Say(texts[min(len(v.server.Requests()), len(texts))-1])
		}
	}
}

// Paths answers with the text for the path that is asked for, or else with the one for none.
func Paths(texts map[string]string) Manner {
	return func(v *Visit) {
		if !v.Next() {
			return
		}
		text, has := texts[v.Request.URL.Path]
		if !has {
			text = texts[""]
		}
		v.Say(text)
	}
}

// bombPart is how much one part of a bomb becomes.
const bombPart = 16 << 20

// Bomb is content that is small, and becomes so many parts of 16 MiB each when it is decompressed.
func Bomb(parts int) (string, error) {
	var part bytes.Buffer
	w, err := gzip.NewWriterLevel(&part, gzip.BestSpeed)
	if err == nil {
		_, err = w.Write(make([]byte, bombPart))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return "", fmt.Errorf("compress: %w", err)
	}
	return strings.Repeat(part.String(), parts), nil // one stream behind the other is one
}
