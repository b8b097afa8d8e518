// Package supervise runs a node's plugins: it finds each binary, checks its
// pin, confines and starts it once, configures it, restarts it when it dies and
// stops it with the node. What the host calls stays valid across restarts.
//
// Start at Start (set.go); one plugin's life is life.go, one process process.go.
package supervise
