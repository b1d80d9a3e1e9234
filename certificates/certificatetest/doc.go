// Package certificatetest has tests make authorities, and certificates that they sign, in files.
//
// How it fails: what can't be made ends the test.
//
// What it is not: for anything but tests. What it makes is valid for an hour.
package certificatetest
