package main

import (
	"fmt"
	"net/http"
	"time"

	"github.com/holdfast-run/holdfast/scenarios/verify/rude"
)

// The bounds of the adapter that follow from how it is started, or that it documents.
const (
	// rudeTimeout is how long a request may take, and rudeRetryAfter how long it waits if its server asks for that.
	rudeTimeout, rudeRetryAfter = 3 * time.Second, time.Second
	// mostHops is how many redirects are followed, and mostWaits how often a request is sent again because its server has asked to wait.
	mostHops, mostWaits = 10, 3
)

// goal is where a redirect leads to. Where that may not be asked, status is that of the error; 0: that of the redirect.
type goal struct {
	name, to string
	status   int32
	loops    bool
}

// goals are where redirects lead to that nobody may follow. bait is the address of a server that must not be asked.
func goals(bait string) []goal {
	const forbidden, invalid, nobody = http.StatusForbidden, http.StatusBadRequest, http.StatusServiceUnavailable
	return []goal{
		{name: "what clouds tell about themselves", to: "http://169.254.169.254/latest/meta-data", status: forbidden},
		{name: "the same in IPv6", to: "http://[::ffff:169.254.169.254]/latest/meta-data", status: forbidden},
		{name: "an address that is not on the list", to: "http://10.1.2.3/", status: forbidden},
		{name: "loopback that is not on the list", to: "http://" + bait + "/", status: forbidden},
		{name: "loopback in IPv6", to: "http://[::1]:1/", status: forbidden},
		{name: "a file", to: "file:///etc/passwd", status: invalid},
		{name: "FTP", to: "ftp://127.0.0.1/", status: invalid},
		{name: "a script", to: "javascript:alert(1)", status: invalid},
		{name: "an address with a password", to: "http://a:b@127.0.0.1/", status: invalid}, //nolint:gosec // it is nobody's
		{name: "no host", to: "http:///x", status: nobody},
		{name: "no address", to: "http://[::1"},
		{name: "itself", to: "/", loops: true},
	}
}

// turned tells whether a redirect is followed by GET, and whether that says that the request was done (303), or leaves it open.
func turned(status int, method string) (done, open bool) {
	switch status {
	case http.StatusSeeOther:
		return method != "get" && method != "head", false
	case http.StatusMovedPermanently, http.StatusFound:
		return false, method == "post"
	}
	return false, false
}

// leads wants what comes of a redirect that can't be followed.
func leads(status int, to goal) func(ask) wanted {
	return func(a ask) wanted {
		each := 1
		if to.loops {
			each = 1 + mostHops
		}
		w := wanted{end: askRefused, status: to.status, requests: each}
		if w.status == 0 {
			w.status = int32(status) //nolint:gosec // a status
		}
		switch done, open := turned(status, a.method); {
		case done:
			w.end, w.status = askLost, http.StatusInternalServerError
		case open:
			w.end = askDoubted
		}
		return w
	}
}

// redirects are the statuses with which a server leads elsewhere.
var redirects = []int{301, 302, 303, 307, 308}

// redirectCases are servers that lead elsewhere.
func redirectCases(bait string) []*rudeCase {
	var all []*rudeCase
	for _, status := range redirects {
		text := fmt.Sprint(status, " Elsewhere")
		for _, to := range goals(bait) {
			all = append(all, caseOf(fmt.Sprintf("%d to %s", status, to.name), rude.Says(rude.Answer(text, "", "Location: "+to.to)),
				leads(status, to)).by("get", "head", "put", "post", "patch").following())
		}
		all = append(all,
			caseOf(fmt.Sprintf("%d that is not followed", status), rude.Says(rude.Answer(text, "", "Location: /there")),
				always(wanted{end: askRefused, status: int32(status)})), //nolint:gosec // a status
			caseOf(fmt.Sprintf("%d to what answers", status), rude.Paths(map[string]string{
				"/": rude.Answer(text, "", "Location: /there"), "/there": rude.Answer("200 OK", "abc"),
			}), always(wanted{end: askDone, requests: 2})).by(fewMethods...).following(),
			beyond(status, "fails", rude.Answer("500 Error", "no"), wanted{end: askDoubted, status: 500}),
			beyond(status, "refuses", rude.Answer("404 Not Found", "no"), wanted{end: askRefused, status: 404}),
			beyond(status, "says nothing", "", wanted{end: askDoubted, status: 503}),
		)
	}
	return append(all,
		caseOf("300 that leads nowhere", rude.Says(rude.Answer("300 Choices", "abc")), isAnswered).by(fewMethods...).following(),
		caseOf("304", rude.Says(rude.Open("304 Not Modified")), isAnswered).by(fewMethods...).following())
}

// beyond makes a case of a redirect to what ends badly, where without the redirect something is wanted.
func beyond(status int, name, answer string, w wanted) *rudeCase {
	want := func(a ask) wanted {
		w := w
		switch done, open := turned(status, a.method); {
		case done:
			w = wanted{end: askLost, status: http.StatusInternalServerError}
		case open:
			w.end = askDoubted
		}
		w.requests = 2 * w.sent(a)
		return w
	}
	return caseOf(fmt.Sprintf("%d to what %s", status, name), rude.Paths(map[string]string{
		"/": rude.Answer(fmt.Sprint(status, " Elsewhere"), "", "Location: /there"), "/there": answer,
	}), want).by("get", "put", "post", "patch").following()
}

// waitCases are servers that ask to be left alone.
func waitCases() []*rudeCase {
	var all []*rudeCase
	for _, status := range []string{"429 Too Many", "503 Busy"} {
		code := int32(http.StatusTooManyRequests)
		if status[0] == '5' {
			code = http.StatusServiceUnavailable
		}
		of := func(after string, requests int) {
			busy := rude.Says(rude.Answer(status, "no", "Retry-After: "+after))
			all = append(all, caseOf(fmt.Sprintf("%s, Retry-After: %.40s", status, after), busy, always(wanted{
				end: askFailed, status: code, requests: requests,
			})).by("get", "post"))
		}
		// The second attempt is held back where that is too long, and else each is sent again at once.
		for _, after := range []string{
			"120", "2147483648", "9223372036854775807", "9223372036854775808", "99999999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT",
			time.Now().Add(time.Hour).UTC().Format(http.TimeFormat),
		} {
			of(after, 1)
		}
		for _, after := range []string{"0", "Thu, 01 Jan 1970 00:00:00 GMT"} {
			of(after, 2*(1+mostWaits))
		}
		for _, after := range []string{"", "-1", "-99999999999999999999999", "+120", "120s", "1.5", "1e9", "0x78", "soon", "120, 240"} {
			of(after, 2)
		}
		waits := caseOf(status+", and to wait for a second",
			rude.Turns(rude.Answer(status, "no", "Retry-After: 1"), rude.Answer("200 OK", "abc")),
			always(wanted{end: askDone, requests: 2, after: time.Second})).by("get", "post")
		all = append(all, waits)
	}
	for _, c := range all {
		c.lasts = true
	}
	return append(all, caseOf("500 Error, Retry-After: 0", rude.Says(rude.Answer("500 Error", "no", "Retry-After: 0")),
		always(wanted{end: askDoubted, status: http.StatusInternalServerError})))
}
