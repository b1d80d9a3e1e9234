// Package sealed opens what the engine leaves to built-in adapters: expressions that name secrets.
//
// The engine has evaluated what in such an expression needs no secret. What is left is a tree of values, secrets and texts, which stands
// apart from the properties of the call, by the JSON pointer of what it makes: so nothing that is data can pass for one. Secrets are files
// of a folder, one folder for each namespace of definitions, and are read anew each time.
//
// What is read of them is in no error that this package makes. What becomes of it then is up to the adapter.
package sealed
