// Package failure tells why something was not done: it makes data of errors, which can be sent to other nodes and told to clients,
// and errors of such data.
//
// What it is not: it does not know what clients are advised to do; that is the gateway's.
package failure
