// Package certificates has connections secured by TLS, with certificates that lie in files and are replaced while they are used.
//
//	               read, and good                  changed, and good
//	Open(Files) ─────────────────► Store: a Proof ───────────────────► Store: the next Proof
//	     │ bad: an error               ▲      │ changed, and bad: told once
//	     ▼                             └──────┘
//	   (none)
//
// A Store has what was read last and is good. Server secures a listener with it, and Client the connections of somebody who asks nodes;
// nodes among each other use the Store itself, as they know each other by names of their own (cluster/remoting).
//
// Who replaces files may do so one after the other. What does not fit together in between is told as bad, and changes nothing: the Proof
// before stays. So is half a file, which somebody still writes: text beside its blocks is no mistake, and a block without an end is. A
// Server ends connections to clients that are not trusted any more: their authority was taken out, or their certificate has expired. A
// Client looks at its files when it connects, and needs no goroutine.
//
// How it fails: a mistake in files is an error of Open and Reload that names the file. Who speaks plain text to a Server is told so in
// HTTP/1, which gRPC's clients show in their errors, as ErrNeedsTLS where Plaintext is used; who speaks TLS to somebody who does not gets
// ErrNoTLS.
//
// What it is not: it makes no certificates, and asks no authority whether one was revoked. To shut somebody out takes another authority,
// or certificates that last for hours.
package certificates
