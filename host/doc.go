// Package host is a node of the network: identity, libp2p and lifecycle. What an
// operator may want to replace (index, embedder, router, executor, payment,
// reputation) it calls through the interfaces of core, and knows nothing of the
// plugin behind.
//
// Start at Node in node.go, then read RunTask in run.go: it is the mission, step
// by step. find.go finds agents, settle.go escrows and pays, route.go and
// execute.go reach the worker; serve.go is the worker's side. Channels are
// agreed on in channel*.go. The API that the CLI speaks is in api*.go.
package host

import "github.com/zerostate/zerostate/host/internal/config"

// Config is everything that an operator can set; LoadConfig reads one.
type Config = config.Config
