package config

import "time"

// Size is a number of bytes, written as an integer or with KiB, MiB or GiB.
type Size int64

// Config is everything an operator can set. The tags of its fields are the
// schema: zs is the setting's name, default its default, range "min..max",
// enum "a|b|c", unit, and doc its one-line description. The zero value is not
// usable; Default or Load make one.
type Config struct {
	Node       Node                         `zs:"node" doc:"this node: name, roles, region, home"`
	Use        Use                          `zs:"use" doc:"which implementation serves each kind"`
	Plugin     map[string]map[string]Plugin `zs:"plugin" doc:"one block per plugin: kind, then name"`
	Agent      map[string]Agent             `zs:"agent" doc:"one block per agent this node publishes and serves"`
	Serve      Serve                        `zs:"serve" doc:"how tasks of others are served"`
	Network    Network                      `zs:"network" doc:"listening, joining, limits"`
	API        API                          `zs:"api" doc:"the node's API"`
	Telemetry  Telemetry                    `zs:"telemetry" doc:"logs, traces, metrics"`
	Index      Index                        `zs:"index" doc:"the semantic index, for nodes with the index role"`
	Policy     Policy                       `zs:"policy" doc:"what this node may spend and whom it hires"`
	Reputation Reputation                   `zs:"reputation" doc:"whose ratings count"`

	origins positions
	dir     string
}

// Role names what a node does; one node may have any mix.
const (
	RoleEdge      = "edge"
	RoleRelay     = "relay"
	RoleIndex     = "index"
	RoleBootstrap = "bootstrap"
)

// Node describes this node.
type Node struct {
	Name               string   `zs:"name" default:"local" doc:"name for people, in logs and status"`
	Roles              []string `zs:"roles" default:"edge,relay,index,bootstrap" enum:"edge|relay|index|bootstrap" doc:"what this node does"`
	Region             string   `zs:"region" default:"local" doc:"region this node stands in"`
	Home               string   `zs:"home" default:"~/.zerostate" path:"true" doc:"directory of keys, stores and sockets"`
	PluginDir          string   `zs:"plugin_dir" path:"true" doc:"where plugins are looked up after the zerostate binary's own directory; default <home>/bin"`
	Dev                bool     `zs:"dev" default:"false" doc:"run plugins that no lock pins"`
	RequireConfinement bool     `zs:"require_confinement" default:"false" doc:"refuse to start a plugin that can not be confined"`
}

// Use names the implementation of each kind: the name of a plugin block, of a
// plugin binary without its kind (hnsw is index-hnsw), or builtin:NAME.
type Use struct {
	Index      string `zs:"index" default:"hnsw" doc:"vector index"`
	Embedder   string `zs:"embedder" default:"local" doc:"text to vectors"`
	Router     string `zs:"router" default:"qlearn" doc:"choice of path"`
	Executor   string `zs:"executor" default:"wasm" doc:"runs tasks"`
	Payment    string `zs:"payment" default:"mock" doc:"channels and settlement"`
	Reputation string `zs:"reputation" default:"ledger" doc:"log of rating events"`
}

// Plugin is how one plugin is found, pinned, confined and restarted.
type Plugin struct {
	Path     string         `zs:"path" path:"binary" doc:"binary: a name looked up beside the zerostate binary and in plugin_dir, a path, or builtin:NAME; default <kind>-<name>"`
	Required bool           `zs:"required" default:"true" doc:"whether the node refuses to start without it"`
	Fallback string         `zs:"fallback" doc:"plugin of the same kind that serves while this one is down"`
	SHA256   string         `zs:"sha256" pattern:"^[0-9a-f]{64}$" doc:"pin: the binary's sha256 in hex; wins over plugins.lock"`
	Restart  Restart        `zs:"restart" doc:"what happens when it dies"`
	Limits   PluginLimits   `zs:"limits" doc:"what it may use"`
	Network  bool           `zs:"network" default:"false" doc:"whether it may open TCP and UDP sockets"`
	Config   map[string]any `zs:"config" doc:"its own settings, checked against the schema it publishes"`
}

// Restart is the backoff of a plugin that dies and when it is given up for a while.
type Restart struct {
	BackoffMin time.Duration `zs:"backoff_min" default:"200ms" range:"1ms..1h" doc:"shortest wait before a restart"`
	BackoffMax time.Duration `zs:"backoff_max" default:"30s" range:"1ms..1h" doc:"longest wait before a restart"`
	CrashLoop  int           `zs:"crash_loop" default:"5" range:"1..1000" unit:"crashes" doc:"crashes within window that open the breaker"`
	Window     time.Duration `zs:"window" default:"1m" range:"1s..24h" doc:"time over which crashes are counted, and how long the breaker stays open"`
}

// PluginLimits bounds a plugin's process.
type PluginLimits struct {
	Memory Size `zs:"memory" default:"1GiB" range:"16MiB..1024GiB" doc:"soft memory limit (GOMEMLIMIT)"`
	Files  int  `zs:"files" default:"1024" range:"32..1048576" doc:"open files (RLIMIT_NOFILE)"`
}

// Agent is one agent that this node publishes and serves.
type Agent struct {
	Card     string `zs:"card" path:"true" required:"true" doc:"its card's source, card.yaml; relative to the config file"`
	Manifest string `zs:"manifest" path:"true" doc:"its task manifest where the card has one offer; default: the file that the offer names, beside the card"`
}

// Serve bounds what tasks of others may take of this node.
type Serve struct {
	Tasks           int           `zs:"tasks" default:"16" range:"1..10000" doc:"tasks that run at once"`
	Queue           int           `zs:"queue" default:"512" range:"0..100000" doc:"tasks that wait beyond those"`
	QueueTimeout    time.Duration `zs:"queue_timeout" default:"10s" range:"0s..1h" doc:"longest wait in the queue"`
	TasksPerPeer    int           `zs:"tasks_per_peer" default:"128" range:"1..100000" doc:"tasks of one peer, running and waiting"`
	MaxInput        Size          `zs:"max_input" default:"256MiB" range:"0..1024GiB" doc:"largest sum of a task's inputs"`
	MaxModule       Size          `zs:"max_module" default:"64MiB" range:"1KiB..4GiB" doc:"largest WASM module"`
	MaxWall         time.Duration `zs:"max_wall" default:"10m" range:"1ms..24h" doc:"longest wall time of one task"`
	Allow           []string      `zs:"allow" doc:"node dids that may hire; empty: all but those denied"`
	Deny            []string      `zs:"deny" doc:"node dids that may not hire"`
	ForeignModules  bool          `zs:"foreign_modules" default:"false" doc:"run whole manifests of callers, with modules of their own"`
	MinDepositMicro int64         `zs:"min_deposit" default:"0" range:"0..9007199254740991" unit:"micros" doc:"smallest channel deposit accepted"`
}

// Network is how this node listens, joins and limits its peers.
type Network struct {
	ID           string        `zs:"id" default:"zerostate-test" pattern:"^[a-z0-9][a-z0-9-]{0,62}$" doc:"network name; documents of another network do not verify"`
	Listen       []string      `zs:"listen" default:"/ip4/127.0.0.1/tcp/0,/ip4/127.0.0.1/udp/0/quic-v1" doc:"multiaddresses to listen on"`
	Announce     []string      `zs:"announce" doc:"multiaddresses to announce instead of those listened on"`
	Bootstrap    []string      `zs:"bootstrap" doc:"multiaddresses, with /p2p/ID, of first peers"`
	Backbone     []string      `zs:"backbone" doc:"ordered relays, as multiaddresses with /p2p/ID: the static path"`
	MDNS         bool          `zs:"mdns" default:"true" doc:"find peers on the local network"`
	AllowPrivate bool          `zs:"allow_private" default:"true" doc:"use and announce private and loopback addresses"`
	Relay        Relay         `zs:"relay" doc:"what a relay grants"`
	Limits       NetworkLimits `zs:"limits" doc:"bounds on connections and streams"`
	Allow        []string      `zs:"allow" doc:"peer IDs, node dids or CIDR that may connect; empty: all but those denied"`
	Deny         []string      `zs:"deny" doc:"peer IDs, node dids or CIDR that may not connect"`
}

// Relay bounds what a node with the relay role carries for others.
type Relay struct {
	Reservations int           `zs:"reservations" default:"128" range:"1..100000" doc:"peers that may hold a reservation"`
	Duration     time.Duration `zs:"duration" default:"2m" range:"1s..24h" doc:"longest life of one circuit"`
	Data         Size          `zs:"data" default:"128MiB" range:"1KiB..1024GiB" doc:"most bytes over one circuit, each way"`
}

// NetworkLimits bounds what peers may take.
type NetworkLimits struct {
	Connections int  `zs:"connections" default:"192" range:"1..100000" doc:"connections at which trimming starts"`
	Memory      Size `zs:"memory" default:"1GiB" range:"16MiB..1024GiB" doc:"memory for connections and streams"`
}

// API is where the node's API listens.
type API struct {
	Listen string `zs:"listen" default:"127.0.0.1:0" doc:"loopback host:port; port 0 takes a free one, empty: unix socket only"`
	Socket string `zs:"socket" path:"true" doc:"unix socket; default <home>/node.sock"`
}

// Telemetry is where logs and traces go.
type Telemetry struct {
	OTLPEndpoint string  `zs:"otlp_endpoint" doc:"host:port of an OTLP gRPC collector; empty: no export"`
	OTLPInsecure bool    `zs:"otlp_insecure" default:"true" doc:"speak to the collector without TLS"`
	SampleRatio  float64 `zs:"sample_ratio" default:"1" range:"0..1" doc:"share of traces kept"`
	LogLevel     string  `zs:"log_level" default:"info" enum:"trace|debug|info|warn|error" doc:"least level logged"`
	LogFormat    string  `zs:"log_format" default:"text" enum:"text|json" doc:"how log lines look"`
}

// Index is what an index node holds.
type Index struct {
	Regions           []string      `zs:"regions" doc:"regions indexed; empty: the node's own"`
	ReconcileInterval time.Duration `zs:"reconcile_interval" default:"1m" range:"1s..24h" doc:"how often rows are compared with the DHT and peers"`
}

// Policy is what this node may spend and whom it hires. Amounts are micros of
// the currency.
type Policy struct {
	Currency        string        `zs:"currency" default:"TEST" pattern:"^[A-Z0-9]{1,12}$" doc:"currency of amounts in this block"`
	MaxChargeMicros int64         `zs:"max_charge" default:"1000000" range:"0..9007199254740991" unit:"micros" doc:"most one task may cost"`
	MaxPerDayMicros int64         `zs:"max_charge_per_day" default:"100000000" range:"0..9007199254740991" unit:"micros" doc:"most all tasks of a day (UTC) may cost"`
	DepositMicros   int64         `zs:"deposit" default:"10000000" range:"0..9007199254740991" unit:"micros" doc:"deposit of a new channel"`
	ChallengeWindow time.Duration `zs:"challenge_window" default:"1h" range:"1s..720h" doc:"time in which a dispute can be answered"`
	MinReputation   float64       `zs:"min_reputation" default:"0" range:"0..1" doc:"gate: least score of an agent to be hired"`
	GuildTTL        time.Duration `zs:"guild_ttl" default:"10m" range:"1s..1h" doc:"longest life of a guild"`
	AllowRelay      bool          `zs:"allow_relay" default:"true" doc:"let tasks go through relays"`
}

// Reputation is whose ratings this node believes.
type Reputation struct {
	Raters []string `zs:"raters" doc:"node dids whose events count; empty: oneself and peers one has paid"`
}
