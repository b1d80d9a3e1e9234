// Package connections bounds what the connections to a listener cost a node, whatever their clients send: how many there are, how long they
// take to begin, how many frames of HTTP/2 they send that carry nothing, and how many bytes of them a node holds that it can't read yet.
//
//	          there is room             preface and settings were read
//	(new) ────────────────► opening ─────────────────────────────────────► open ───► (closed)
//	  │ too many: closed       │ others come, and it is the oldest           │ sends too much of nothing, is unread, or idle for longest
//	  └────────────────────────┴─────────────────────────────────────────────┴──► closed by the node, counted and logged
//
// A Listener counts connections, over all and by address. Bounds are what all connections of a listener share. A meter reads along what
// goes over one connection, above TLS: the nine bytes before each frame, and the five before each message of gRPC. So it knows which calls
// are under way, and how much of what was received nobody has read yet, without a word of the server that it stands before: the same code
// is before that of gRPC and before that of net/http.
//
// Frames that carry nothing are resets, pings, settings, window updates, empty or tiny pieces of data, and what HTTP/2 does not know. Each
// takes a token of its connection; messages that are whole, and what the node sends, give some back, so that who does work is not
// counted. Without tokens a connection is read slower, and after some seconds of that it is closed.
//
// How it fails: nothing here fails a call. A connection that is closed was told GOAWAY with the reason, if what was sent before was whole.
// What is no HTTP/2 is passed on as it is.
//
// What it is not: it checks no frame, which is the server's part, and it does not know who a client is: a certificate proves that, and an
// address only says where packets come from.
package connections
