// Package sdk turns an interface of package core into a process and back.
//
// A plugin's main is one call:
//
//	func main() {
//		sdk.Index.Serve(sdk.Plugin[core.Index]{
//			Name: "exact", Version: "1.0.0", State: sdk.StateExclusive,
//			Config: &config{},
//			New: func(ctx context.Context, env sdk.Env) (core.Index, error) { ... },
//		})
//	}
//
// and the host's side is sdk.Index.Open, which starts the process and answers
// a Client whose Impl is a core.Index again. Builtin does the same inside one
// process, through the same codec. Start reading here; index.go is the
// simplest adapter pair, errors.go the table that keeps errors.Is working
// across the boundary, base.go what every plugin answers whatever its kind.
package sdk

import (
	"context"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/zerostate/zerostate/core"
)

// Kind is one kind of plugin, typed by its interface of package core.
type Kind[T any] struct {
	kind     core.Kind
	register func(grpc.ServiceRegistrar, func() (T, error))
	connect  func(grpc.ClientConnInterface) T
}

// The kinds.
var (
	Index      = Kind[core.Index]{core.KindIndex, registerIndex, connectIndex}
	Embedder   = Kind[core.Embedder]{core.KindEmbedder, registerEmbedder, connectEmbedder}
	Router     = Kind[core.Router]{core.KindRouter, registerRouter, connectRouter}
	Executor   = Kind[core.Executor]{core.KindExecutor, registerExecutor, connectExecutor}
	Payment    = Kind[core.Payment]{core.KindPayment, registerPayment, connectPayment}
	Reputation = Kind[core.Reputation]{core.KindReputation, registerReputation, connectReputation}
	// Any opens a plugin of whatever kind for its base service only, as
	// `plugin inspect` does. It does not serve.
	Any = Kind[struct{}]{connect: func(grpc.ClientConnInterface) struct{} { return struct{}{} }}
)

// Kind returns which kind it is; empty for Any.
func (k Kind[T]) Kind() core.Kind { return k.kind }

// APIVersion returns the proto package of the kind, e.g. "zerostate.index.v1".
func (k Kind[T]) APIVersion() string { return "zerostate." + string(k.kind) + ".v1" }

// Plugin is what an author fills in.
type Plugin[T any] struct {
	Name         string // as in `plugin "index" "hnsw"`
	Version      string // semantic version
	Capabilities []string
	State        StateMode
	// Config is a pointer to a struct whose fields have zs tags (see SchemaOf),
	// nil where the plugin has no settings. It is a pattern, never written to.
	Config any
	// New makes the implementation; called once, by Configure. The context is
	// that of the call: what lives longer must not keep it. A core.FieldErrors
	// names bad settings. The result may also be an io.Closer, a Drainer, a
	// Snapshotter or a HealthChecker.
	New func(ctx context.Context, env Env) (T, error)
}

// Env is what an implementation gets.
type Env struct {
	Node     core.DID // the node it runs for
	Network  string
	Region   string
	StateDir string // its own, 0700, kept; empty where the plugin has no state
	CacheDir string // its own, may be emptied at any time
	Log      hclog.Logger
	Config   any // the same pointer type as Plugin.Config, filled; nil without settings
	Now      func() time.Time
}

// StateMode says what becomes of a plugin's state when it is replaced.
type StateMode string

// The state modes.
const (
	StateNone      StateMode = "none"      // old and new may run side by side
	StateExclusive StateMode = "exclusive" // one process at a time owns StateDir
	StateSnapshot  StateMode = "snapshot"  // state moves by Snapshot and Restore
)

// The names under which host and plugin know each other.
const (
	// ProtocolVersion is the handshake's version.
	ProtocolVersion = 1
	// CookieKey and CookieValue tell a plugin that a host started it.
	CookieKey   = "ZEROSTATE_PLUGIN"
	CookieValue = "f6f1a1d0-2f6b-4e7e-9d0c-zerostate-plugin"
	// EnvWatchStdin, set to 1, makes a plugin exit when its standard input
	// ends: the host keeps the other end of the pipe open while it lives.
	EnvWatchStdin = "ZEROSTATE_PLUGIN_WATCH_STDIN"
	// EnvHostPID, set to the host's process id, makes a plugin refuse
	// connections from any other process (Linux).
	EnvHostPID = "ZEROSTATE_PLUGIN_HOST_PID"
	// MaxMessageBytes bounds one gRPC message on both sides.
	MaxMessageBytes = 32 << 20

	pluginName = "zerostate"
	chunkBytes = 64 << 10
)

func handshake() plugin.HandshakeConfig {
	return plugin.HandshakeConfig{
		ProtocolVersion: ProtocolVersion, MagicCookieKey: CookieKey, MagicCookieValue: CookieValue,
	}
}
