// Package httpapi is the way into a node from its own machine: a unix socket in
// the home and a loopback listener, with the doors that every request goes
// through (host name, origin, token) and the table that carries core's errors to
// Connect codes. What is served behind the doors is handed in.
//
// Start at Start in server.go; doors.go says who may do what.
package httpapi
