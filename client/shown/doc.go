// Package shown is how what nodes answer is shown: as JSON, and in words. The command line prints these forms with -o json, and
// whatever else offers JSON to people and their programs uses them, too, so that all answer the same.
//
// Each form is a struct with the names of its properties, and a function that makes it from the nodes' message: Order and OrderOf,
// Event and EventOf. Times are of RFC 3339 or null; values of orders are embedded as they are; what is a list is never null, unless it
// is left out when it is empty.
//
// What it is not: safe for a terminal or a web page. Texts are as they came, and whoever prints them escapes them.
package shown
