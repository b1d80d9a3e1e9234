// Package gateway serves the public API: orders, definitions, and the streams of adapters. It checks what comes in,
// turns it into messages to the engine, and answers when the engine has made it durable. It keeps nothing.
package gateway
