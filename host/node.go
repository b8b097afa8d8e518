package host

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/config"
	"github.com/zerostate/zerostate/host/internal/guild"
	"github.com/zerostate/zerostate/host/internal/httpapi"
	"github.com/zerostate/zerostate/host/internal/p2p"
	"github.com/zerostate/zerostate/host/internal/store"
	"github.com/zerostate/zerostate/host/internal/supervise"
)

// Deps is what a Node takes from outside. Its zero value is production.
type Deps struct {
	Libp2p   []libp2p.Option // appended to the node's own: simulated networks
	Builtins Builtins        // in-process plugins that `builtin:NAME` names
	Now      func() time.Time
	Rand     io.Reader
	Log      hclog.Logger
	Version  string // of the binary, for status and telemetry
	HostDir  string // where plugin binaries are looked up first; empty: beside this executable
}

// Builtins are the in-process plugins of each kind, by name.
type Builtins = supervise.Builtins

// Node is a running node: identity, network and lifecycle; everything else is a
// plugin. New starts it, Run serves until its context ends, Close ends it. The
// task pipeline is RunTask in run.go; what other nodes ask of us is in serve.go,
// index.go and channel_payee.go.
type Node struct {
	cfg     *config.Config
	version string
	log     hclog.Logger
	now     func() time.Time
	rand    io.Reader
	started time.Time

	keys     *keyring
	store    *store.Store
	seals    *guild.SealKeys
	known    *knownCards
	audit    *auditLog
	receipts *receiptBook
	tasks    *taskBook
	spend    *allowance
	guilds   *guildBook
	tel      *telemetry

	net       *p2p.Node
	backbone  []core.DID
	cardTopic *p2p.Topic
	papers    *p2p.Papers
	directory *directory
	cards     *cardBook
	index     *indexer // nil without the index role
	indexes   indexNodeCache

	plugins    *supervise.Set
	payment    core.Payment
	reputation core.Reputation
	router     core.Router
	channels   *channels
	worker     *worker // nil where nothing is served
	api        *httpapi.Server

	ctx    context.Context //nolint:containedctx // of everything in the background, ended by Close
	cancel context.CancelFunc
	work   sync.WaitGroup
	once   sync.Once
	closed error

	joined    atomic.Bool
	joinTook  atomic.Int64 // nanoseconds
	published sync.Map     // agent did -> time.Duration
	ready     atomic.Bool
	provided  sync.Map // capability CID -> true
	fetching  sync.Map // template CID -> chan struct{}: whose turn it is
}

// New opens the home, starts the plugins and listens; the node answers when New
// returns and is part of the network once Run has joined it. ctx bounds the
// start. What New opened before an error is closed again.
func New(ctx context.Context, cfg *Config, deps Deps) (*Node, error) {
	n := &Node{cfg: cfg, version: deps.Version, log: deps.Log, now: deps.Now, rand: deps.Rand}
	if n.log == nil {
		n.log = hclog.NewNullLogger()
	}
	if n.now == nil {
		n.now = time.Now
	}
	if n.rand == nil {
		n.rand = rand.Reader
	}
	n.started = n.now()
	n.ctx, n.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for _, step := range []struct {
		name string
		do   func(context.Context, Deps) error
	}{
		{"open home", n.openHome},
		{"start telemetry", n.startTelemetry},
		{"start plugins", n.startPlugins},
		{"start network", n.startNetwork},
		{"load state", n.loadState},
		{"serve peers", n.servePeers},
		{"serve API", n.startAPI},
	} {
		if err := step.do(ctx, deps); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", step.name, err), n.Close())
		}
	}
	return n, n.audit.append(core.AuditNodeStart, string(n.DID()), "")
}

func (n *Node) openHome(context.Context, Deps) error {
	home := n.cfg.Node.Home
	if err := prepareHome(home); err != nil {
		return err
	}
	var err error
	if n.store, err = store.Open(filepath.Join(home, "store"), nil); err != nil {
		return err
	}
	if n.keys, err = openKeys(home, n.rand); err != nil {
		return err
	}
	if n.seals, err = guild.OpenSealKeys(filepath.Join(home, "keys", "seal.json"), n.now, n.rand); err != nil {
		return err
	}
	if n.audit, err = openAudit(n.store, n.keys.signer(), n.cfg.Network.ID, home, n.now); err != nil {
		return err
	}
	n.known = &knownCards{store: n.store}
	n.receipts = &receiptBook{store: n.store}
	n.tasks = &taskBook{store: n.store}
	n.spend = &allowance{store: n.store, limit: n.cfg.Policy.MaxPerDayMicros, now: n.now}
	n.guilds = newGuildBook()
	return nil
}

func (n *Node) startPlugins(ctx context.Context, deps Deps) error {
	var err error
	n.plugins, err = supervise.Start(ctx, n.cfg, supervise.Deps{
		Node: n.DID(), Builtins: deps.Builtins, HostDir: deps.HostDir, Log: n.log, Now: n.now,
	})
	if err != nil {
		return err
	}
	n.payment, n.reputation, n.router = n.plugins.Payment(), n.plugins.Reputation(), n.plugins.Router()
	return nil
}

func (n *Node) startNetwork(ctx context.Context, deps Deps) error {
	c := n.cfg.Network
	for _, a := range c.Backbone {
		info, err := peer.AddrInfoFromString(a)
		if err != nil {
			return fmt.Errorf("network.backbone: %q (%w): %w", a, err, core.ErrInvalid)
		}
		did, err := p2p.DIDOfPeer(info.ID)
		if err != nil {
			return fmt.Errorf("network.backbone: %w", err)
		}
		n.backbone = append(n.backbone, did)
	}
	n.papers = p2p.NewPapers(c.ID, n.now)
	var err error
	n.net, err = p2p.New(ctx, p2p.Config{
		Network: c.ID, Key: n.keys.node, Listen: c.Listen, Announce: c.Announce, Bootstrap: c.Bootstrap, Relays: c.Backbone,
		Server: true, Relay: n.cfg.HasRole(config.RoleRelay), HolePunching: !c.AllowPrivate, MDNS: c.MDNS,
		RelayLimits: p2p.RelayLimits{
			Duration: c.Relay.Duration, Bytes: int64(c.Relay.Data), Slots: c.Relay.Reservations,
		},
		AllowPrivate: c.AllowPrivate, Allow: c.Allow, Deny: c.Deny,
		MaxConnections: c.Limits.Connections, MaxMemoryBytes: int64(c.Limits.Memory),
		Records: p2p.CoreRecords{Network: c.ID, Now: n.now, Papers: n.papers}, Memory: n.known, ContentDir: filepath.Join(n.cfg.Node.Home, "content"),
		Options: deps.Libp2p, Now: n.now, Log: n.log.Named("net"),
	})
	if err != nil {
		return err
	}
	n.directory = &directory{n: n, fresh: map[core.DID]freshListing{}}
	n.cardTopic, err = n.net.JoinTopic(p2p.TopicCards, n.checkAnnouncement, n.hearAnnouncement)
	return err
}

func (n *Node) loadState(ctx context.Context, _ Deps) error {
	n.cards = &cardBook{n: n}
	if err := n.cards.load(); err != nil {
		return err
	}
	if n.cfg.HasRole(config.RoleIndex) {
		n.index = newIndexer(n, n.plugins.Index(), n.plugins.Embedder(), n.cfg.Index.Regions)
	}
	if !n.cfg.HasRole(config.RoleEdge) {
		return nil
	}
	n.channels = &channels{
		network: n.cfg.Network.ID, self: n.keys.signer(), payment: n.payment, store: n.store,
		guard: &guard{store: n.store}, audit: n.audit, receipts: n.receipts,
		dial: func(ctx context.Context, peer core.DID) (frames, error) {
			return n.net.Open(ctx, peer, p2p.ProtocolChannel)
		},
		terms: channelTerms{
			DepositMicros: n.cfg.Policy.DepositMicros, MinDepositMicros: n.cfg.Serve.MinDepositMicro,
			Currency: n.cfg.Policy.Currency, ChallengeWindow: n.cfg.Policy.ChallengeWindow,
		},
		spent: func(micros int64) error { return n.spend.settle(0, micros) },
		now:   n.now, rand: n.rand, log: n.log.Named("channel"),
	}
	if err := n.channels.load(); err != nil {
		return err
	}
	n.worker = n.newWorker()
	return n.worker.recover(ctx)
}

func (n *Node) newWorker() *worker {
	return &worker{
		n: n, exec: n.plugins.Executor(), journal: &journal{store: n.store}, receipts: n.receipts,
		opener: &guild.Worker{Network: n.cfg.Network.ID, Node: n.DID(), Keys: n.seals, Replays: guild.NewReplays(), Now: n.now},
		slots:  make(chan struct{}, n.cfg.Serve.Tasks), runs: map[runKey]*workerRun{}, perPeer: map[core.DID]int{},
		lockWait: lockWait,
	}
}

func (n *Node) servePeers(context.Context, Deps) error {
	handlers := map[string]p2p.Handler{p2p.ProtocolCard: n.serveCard}
	if n.index != nil {
		handlers[p2p.ProtocolIndex] = n.index.serve
	}
	if n.worker != nil {
		handlers[p2p.ProtocolTask] = n.worker.serve
		handlers[p2p.ProtocolChannel] = func(ctx context.Context, s *p2p.Stream) error {
			n.channels.serve(ctx, s.Remote(), s)
			return nil
		}
	}
	for name, h := range handlers {
		if err := n.net.Handle(name, h); err != nil {
			return err
		}
	}
	return nil
}

// Run joins the network, publishes the configured agents and serves until ctx
// ends. It returns nil on a clean end.
func (n *Node) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(n.ctx, stop)()
	if err := n.join(ctx); err != nil {
		return err
	}
	if n.index != nil {
		n.provideCapability("index", n.cfg.Node.Region)
		n.work.Go(func() { n.index.run(n.ctx, n.cfg.Index.ReconcileInterval) })
	}
	if n.cfg.HasRole(config.RoleRelay) {
		n.provideCapability("relay", n.cfg.Node.Region)
	}
	if err := n.publishConfigured(ctx); err != nil {
		return err
	}
	n.keepReservations()
	if n.channels != nil {
		n.work.Go(func() { n.channels.resume(n.ctx) })
	}
	refresh, anchor, ping := time.NewTicker(refreshEvery), time.NewTicker(anchorEvery), time.NewTicker(pingEvery)
	defer refresh.Stop()
	defer anchor.Stop()
	defer ping.Stop()
	for {
		select {
		case <-refresh.C:
			n.cards.refresh(ctx)
		case <-anchor.C:
			if _, err := n.anchorAudit(); err != nil {
				n.log.Error("audit log not anchored", "error", err)
			}
		case <-ping.C:
			n.pingNeighbors(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

func (n *Node) join(ctx context.Context) (err error) {
	ctx, span := n.tel.start(ctx, "join")
	defer func() { span.end(err) }()
	start := time.Now()
	if err := n.net.Join(ctx); err != nil {
		return fmt.Errorf("join network %s: %w", n.cfg.Network.ID, err)
	}
	n.joined.Store(true)
	n.joinTook.Store(int64(time.Since(start)))
	n.tel.observeStep(ctx, "join", time.Since(start), nil)
	n.log.Info("joined", "network", n.cfg.Network.ID, "did", n.DID(), "peers", len(n.net.Peers()), "ms", time.Since(start).Milliseconds())
	return nil
}

// Close ends everything that New and Run started, the plugins last but one and
// the store last. It may be called again.
func (n *Node) Close() error {
	n.once.Do(func() { n.closed = n.close() })
	return n.closed
}

func (n *Node) close() error {
	n.cancel()
	var errs []error
	if n.api != nil {
		errs = append(errs, n.api.Close())
	}
	if n.net != nil {
		errs = append(errs, n.net.Close())
	}
	if n.guilds != nil {
		n.guilds.wipeAll()
	}
	n.work.Wait()
	if n.plugins != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		errs = append(errs, n.plugins.Close(ctx))
		cancel()
	}
	if n.audit != nil && n.net != nil {
		errs = append(errs, n.audit.append(core.AuditNodeStop, string(n.DID()), ""))
	}
	if n.tel != nil {
		errs = append(errs, n.tel.close())
	}
	if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	return errors.Join(errs...)
}

// DID is the node's did.
func (n *Node) DID() core.DID { return core.DIDOf(n.keys.public()) }
