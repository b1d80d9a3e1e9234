package main

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/scenarios/verify/rude"
)

// Methods and forms of output that cases are tried with.
var (
	allMethods = []string{"get", "head", "put", "delete", "options", "post", "patch"}
	fewMethods = []string{"get", "head", "put", "post"}
	allOutputs = []string{"content", "raw", "response"}
	oneOutput  = []string{"content"}
)

const (
	// huge is what a server sends that sends too much, if somebody takes it, slab how much at once.
	huge = 1 << 30
	slab = 64 << 10
	// longHeader is the length of a header that is far too long.
	longHeader = 10 << 20
)

// always wants the same, whatever the request.
func always(w wanted) func(ask) wanted { return func(ask) wanted { return w } }

// inContent wants something of all requests whose answers have content; others are done.
func inContent(want func(ask) wanted) func(ask) wanted {
	return func(a ask) wanted {
		if a.method == "head" {
			return wanted{end: askDone}
		}
		return want(a)
	}
}

// unread wants that of answers whose content is read as something else than what it is. It is done where nobody reads it.
func unread(a ask) wanted {
	if a.output == "raw" {
		return wanted{end: askDone}
	}
	return wanted{end: askLost, status: http.StatusInternalServerError}
}

// brokenOff wants what comes of contents of successes that break off.
func brokenOff(a ask) wanted {
	if a.repeatable() {
		return wanted{end: askDoubted, status: http.StatusServiceUnavailable}
	}
	return wanted{end: askLost, status: http.StatusInternalServerError}
}

// What is wanted often.
var (
	unanswered = always(wanted{end: askDoubted, status: http.StatusServiceUnavailable})
	tooLate    = always(wanted{end: askDoubted, status: http.StatusRequestTimeout})
	tooLong    = inContent(always(wanted{end: askLost, status: http.StatusInternalServerError}))
	isAnswered = always(wanted{end: askDone})
)

// plainTo is the address that most cases are asked at.
const plainTo = "http://%s/"

// caseOf makes a case that is asked with all methods.
func caseOf(name string, m rude.Manner, want func(ask) wanted) *rudeCase {
	return &rudeCase{name: name, manner: m, to: plainTo, methods: allMethods, outputs: oneOutput, want: want}
}

// by has a case asked with some methods.
func (c *rudeCase) by(methods ...string) *rudeCase { c.methods = methods; return c }

// everyOutput has a case asked for each form of output.
func (c *rudeCase) everyOutput() *rudeCase { c.outputs = allOutputs; return c }

// following has a case asked with redirects followed.
func (c *rudeCase) following() *rudeCase { c.redirect = true; return c }

// secured has a case asked with TLS.
func (c *rudeCase) secured() *rudeCase { c.to = "https://%s/"; return c }

// slowCases are servers that take longer than a request may.
func slowCases() []*rudeCase {
	ok := rude.Open("200 OK", "Content-Length: 1000")
	return []*rudeCase{
		caseOf("silence", rude.Hangs(), tooLate),
		caseOf("half a status line", rude.Hangs("HTTP/1.1 20"), tooLate),
		caseOf("a slow header", rude.Drips("HTTP/1.1 200 OK\r\n", "X-Slow: 1\r\n"), tooLate),
		caseOf("a slow content", rude.Drips(ok, "x"), inContent(brokenOff)),
		caseOf("slow chunks", rude.Drips(rude.Open("200 OK", "Transfer-Encoding: chunked"), "1\r\nx\r\n"), inContent(brokenOff)),
		caseOf("a content that ends before it is whole, and no end", rude.Hangs(ok, "abc"), inContent(brokenOff)),
		caseOf("a slow refusal", rude.Hangs(rude.Open("404 Not Found", "Content-Length: 1000"), "abc"),
			always(wanted{end: askRefused, status: http.StatusNotFound})).by(fewMethods...),
		caseOf("a slow failure", rude.Hangs(rude.Open("500 Error", "Content-Length: 1000"), "abc"),
			always(wanted{end: askDoubted, status: http.StatusInternalServerError})).by(fewMethods...),
		caseOf("a handshake that nobody answers", rude.HangsUnread,
			always(wanted{end: askFailed, status: http.StatusRequestTimeout, requests: noRequests})).by(fewMethods...).secured(),
	}
}

// resetCases are connections that end when they should not.
func resetCases() []*rudeCase {
	ok := rude.Open("200 OK", "Content-Length: 1000")
	chunked := rude.Open("200 OK", "Transfer-Encoding: chunked")
	return []*rudeCase{
		caseOf("reset before the request is read", rude.ResetsUnread, unanswered),
		caseOf("reset after the request", rude.Resets(), unanswered),
		caseOf("reset in the header", rude.Resets("HTTP/1.1 200 OK\r\nX-Half: "), unanswered),
		caseOf("reset in the content", rude.Resets(ok, "abc"), inContent(brokenOff)).everyOutput(),
		caseOf("reset in a chunk", rude.Resets(chunked, "ff\r\nabc"), inContent(brokenOff)),
		caseOf("reset after the answer", rude.Resets(rude.Answer("200 OK", "abc", "Content-Type: text/plain")), isAnswered),
		caseOf("closed without an answer", rude.Says(), unanswered),
		caseOf("closed in the header", rude.Says("HTTP/1.1 200 OK\r\nX-Half: "), unanswered),
		caseOf("reset in a failure", rude.Resets(rude.Open("500 Error", "Content-Length: 1000"), "abc"),
			always(wanted{end: askDoubted, status: http.StatusInternalServerError})),
		caseOf("refused before it is read", rude.SaysEarly(rude.Answer("413 Too Large", "no")),
			always(wanted{end: askRefused, status: http.StatusRequestEntityTooLarge})),
		caseOf("reset in a handshake", rude.ResetsUnread,
			always(wanted{end: askFailed, status: http.StatusServiceUnavailable, requests: anyRequests})).by(fewMethods...).secured(),
	}
}

// hugeCases are answers that are far too large.
func hugeCases() ([]*rudeCase, error) {
	x := strings.Repeat("x", slab)
	chunk := fmt.Sprintf("%x\r\n%s\r\n", slab, x)
	announced, chunked := fmt.Sprint("Content-Length: ", huge), "Transfer-Encoding: chunked"
	bomb, err := rude.Bomb(huge / (16 << 20))
	if err != nil {
		return nil, err
	}
	of := func(name, begin, text string, want func(ask) wanted) *rudeCase {
		return caseOf(name, rude.Pours(begin, text, huge, ""), want)
	}
	all := []*rudeCase{
		of("a GiB that is announced", rude.Open("200 OK", announced, "Content-Type: text/plain"), x, tooLong).everyOutput(),
		of("chunks without an end", rude.Open("200 OK", chunked, "Content-Type: application/json"), chunk, tooLong).everyOutput(),
		of("content without a length or an end", rude.Open("200 OK"), x, tooLong),
		of("a GiB of a refusal", rude.Open("404 Not Found", announced), x, always(wanted{end: askRefused, status: http.StatusNotFound})),
		of("chunks of a failure", rude.Open("500 Error", chunked), chunk,
			always(wanted{end: askDoubted, status: http.StatusInternalServerError})),
		of("a header without an end", "HTTP/1.1 200 OK\r\nX-Long: ", x, unanswered),
		of("headers without an end", "HTTP/1.1 200 OK\r\n", "X-More: and more\r\n", unanswered),
		of("a status line without an end", "HTTP/1.1 200 ", x, unanswered),
		of("early hints without an end", "", "HTTP/1.1 103 Early Hints\r\n\r\n", unanswered),
		caseOf("a header of 10 MiB", rude.Says(rude.Answer("200 OK", "abc", "X-Long: "+strings.Repeat("x", longHeader))), unanswered),
		caseOf("trailers of 10 MiB", rude.Says(rude.Open("200 OK", chunked), "0\r\nX-Long: "+strings.Repeat("x", longHeader)+"\r\n\r\n"),
			inContent(brokenOff)),
		caseOf("an extension of a chunk of 10 MiB",
			rude.Says(rude.Open("200 OK", chunked), "1;"+strings.Repeat("x", longHeader)+"\r\nx\r\n0\r\n\r\n"), inContent(brokenOff)),
		caseOf("very many small chunks", rude.Says(rude.Open("200 OK", chunked), strings.Repeat("1\r\nx\r\n", 1<<20+1), "0\r\n\r\n"), tooLong),
		caseOf("a GiB that is compressed", rude.Says(rude.Answer("200 OK", bomb, "Content-Encoding: gzip")), tooLong).everyOutput(),
		caseOf("a result that is too long in base64", rude.Says(rude.Answer("200 OK", strings.Repeat("\x00", 900_000),
			"Content-Type: application/octet-stream")), tooLong).everyOutput(),
		caseOf("a hundred thousand times 100", rude.Says(strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 100_000)+rude.Answer("200 OK", "")),
			unanswered),
	}
	return all, nil
}

// formCases are answers that are no HTTP, or say what can't be.
func formCases() []*rudeCase {
	var all []*rudeCase
	for _, line := range []string{
		"hello", "", "HTTP/1.1", "HTTP/1.1 abc", "HTTP/1.1 -20 x", "HTTP/1.1 2000 x", "HTTP/1.1 000 x", "HTTP/1.1 099 x", "SSH-2.0-OpenSSH_9.6",
		"\x00\x00\x12\x04\x00\x00\x00\x00\x00", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x",
		"HTTP/1.1 200 OK\r\nno colon", "HTTP/1.1 200 OK\r\nContent-Length: -1",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: nonsense",
	} {
		all = append(all, caseOf(fmt.Sprintf("the answer %.60q", line), rude.Says(line+"\r\n\r\n"), unanswered).by(fewMethods...))
	}
	chunked := rude.Open("200 OK", "Transfer-Encoding: chunked", "Content-Type: text/plain")
	for _, chunks := range []string{
		"zz\r\n", "3\r\nabc\r\n", "5\r\nabc", "3\r\nabcX\r\n0\r\n\r\n", "FFFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n", "-1\r\nabc\r\n0\r\n\r\n", "",
		"3\r\nabc\r\n0\r\n",
	} {
		all = append(all, caseOf(fmt.Sprintf("the chunks %.40q", chunks), rude.Says(chunked, chunks), inContent(brokenOff)).everyOutput())
	}
	return append(all,
		caseOf("less than its length", rude.Says(rude.Open("200 OK", "Content-Length: 10"), "abc"), inContent(brokenOff)).everyOutput(),
		caseOf("more than its length", rude.Says(rude.Open("200 OK", "Content-Length: 1"), "abc"), isAnswered),
		caseOf("some early hints", rude.Says(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 3)+rude.Answer("200 OK", "abc")), isAnswered),
		caseOf("the status 999", rude.Says(rude.Answer("999 What", "no")), always(wanted{end: askDoubted})),
		caseOf("the status 599", rude.Says(rude.Answer("599 What", "no")), always(wanted{end: askDoubted, status: 599})),
		caseOf("no content that has some", rude.Says(rude.Answer("204 No Content", "abc")), isAnswered),
	)
}

// typeCases are contents that are not what they say.
func typeCases() []*rudeCase {
	of := func(name, kind, content string, header ...string) *rudeCase {
		answer := rude.Answer("200 OK", content, append(header, "Content-Type: "+kind)...)
		return caseOf(name, rude.Says(answer), inContent(unread)).by(fewMethods...).everyOutput()
	}
	const json = "application/json"
	broken := of("content that is not compressed", json, "{}", "Content-Encoding: gzip")
	broken.want = inContent(brokenOff)
	text := of("text that is none", "text/plain", "\x00\xff\xfe\x80")
	text.want = isAnswered
	return []*rudeCase{
		of("JSON that is a page", json, "<html></html>"),
		of("JSON that is cut", json, `{"a": [1,`),
		of("JSON with two values", json, `{} {}`),
		of("JSON with a name twice", json, `{"a": 1, "a": 2}`),
		of("JSON that is too deep", json, strings.Repeat("[", 1000)+strings.Repeat("]", 1000)),
		of("JSON that is far too deep", json, strings.Repeat("[", 300_000)+strings.Repeat("]", 300_000)),
		of("JSON in no UTF-8", json, "\"\xff\xfe\""),
		of("JSON that is compressed in another way", json, "\x1b\x03\x00", "Content-Encoding: br"),
		of("text in unknown characters", "text/plain; charset=klingon", "abc"),
		broken, text,
	}
}

// tlsCases are servers with TLS that should not be believed, or can't be understood.
func tlsCases(authority *rude.Authority) ([]*rudeCase, error) {
	stranger, err := rude.NewAuthority()
	if err != nil {
		return nil, err
	}
	answer := rude.Says(rude.Answer("200 OK", "abc"))
	unbelieved := always(wanted{end: askFailed, status: http.StatusServiceUnavailable, requests: noRequests})
	var all []*rudeCase
	var good *tls.Config
	for _, c := range []struct {
		name   string
		by     *rude.Authority
		host   string
		life   time.Duration
		old    bool
		wanted func(ask) wanted
	}{
		{"TLS as it should be", authority, "127.0.0.1", time.Hour, false, isAnswered},
		{"a certificate of a stranger", stranger, "127.0.0.1", time.Hour, false, unbelieved},
		{"a certificate of another host", authority, "192.0.2.1", time.Hour, false, unbelieved},
		{"a certificate that is over", authority, "127.0.0.1", -time.Hour, false, unbelieved},
		{"TLS that is too old", authority, "127.0.0.1", time.Hour, true, unbelieved},
	} {
		config, err := c.by.Of(c.host, c.life)
		if err != nil {
			return nil, err
		}
		if good == nil {
			good = config.Clone()
		}
		if c.old {
			config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		}
		all = append(all, caseOf(c.name, rude.Over(config, answer), c.wanted).by(fewMethods...).secured())
	}
	all = append(all,
		caseOf("no TLS where there should be", rude.Says("HTTP/1.1 200 OK\r\n\r\n"), unbelieved).by(fewMethods...).secured(),
		caseOf("TLS where there should be none", rude.Over(good, answer), always(wanted{
			end: askDoubted, status: http.StatusServiceUnavailable, requests: noRequests,
		})).by(fewMethods...))
	for name, c := range map[string]struct {
		handle http.HandlerFunc
		want   func(ask) wanted
	}{
		"a stream of HTTP/2 that is reset": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, unanswered},
		"a stream of HTTP/2 without an end": {func(w http.ResponseWriter, r *http.Request) {
			for piece := make([]byte, slab); r.Context().Err() == nil; {
				_, _ = w.Write(piece) // whether somebody takes it, the context tells
			}
		}, tooLong},
		"a header of HTTP/2 that is too long": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("x", longHeader/10))
		}, unanswered},
	} {
		all = append(all, caseOf(name, rude.HTTP2(good, c.handle), c.want).by("get", "head", "put", "delete").secured())
	}
	return all, nil
}
