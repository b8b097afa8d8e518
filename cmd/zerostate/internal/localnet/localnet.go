// Package localnet runs a whole network on this machine: one process a node, all
// on the loopback interface, under one private directory. `demo`, `testnet` and
// `bench` share it. Start at Start; Net.Stop ends every process.
package localnet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"

	"github.com/zerostate/zerostate/api/nodev1"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/client"
	"github.com/zerostate/zerostate/core"
)

const (
	dirPerm  = 0o700
	filePerm = 0o600
	// readyEvery is how often a node is asked whether it is ready.
	readyEvery = 50 * time.Millisecond
	// termGrace is how long a node may take to end by itself.
	termGrace = 15 * time.Second
	startTime = 60 * time.Second
)

// Options say what network to run.
type Options struct {
	Exe     string   // the zerostate binary
	Dir     string   // private directory of homes, configurations and logs
	Network string   // network id
	Configs []string // the user's configuration files, laid over every node's base
	Set     []string // path=value over everything
	OTLP    string   // host:port of a collector, empty for none
	Detach  bool     // the nodes outlive this process
}

// spec is a node before it runs.
type spec struct {
	name  string
	roles []string
}

// specs are the nodes of a local network; the first is everybody's bootstrap.
var specs = []spec{
	{"bootstrap", []string{"bootstrap", "relay"}},
	{"index", []string{"index"}},
	{"provider-1", []string{"edge"}},
	{"provider-2", []string{"edge"}},
	{"provider-3", []string{"edge"}},
	{"caller", []string{"edge"}},
}

// Node is a node that runs.
type Node struct {
	Name   string   `json:"name"`
	PID    int      `json:"pid"`
	PeerID string   `json:"peer_id"`
	DID    string   `json:"did"`
	Roles  []string `json:"roles"`
	Home   string   `json:"home"`
	Log    string   `json:"log"`

	// Joining is how long it took from the API's first answer to ready.
	Joining time.Duration  `json:"-"`
	Client  *client.Client `json:"-"`

	addresses []string
	cmd       *exec.Cmd
	exited    chan struct{}
	exitErr   error // valid once exited is closed
}

// Net is a network that runs.
type Net struct {
	Nodes []*Node

	mu sync.Mutex
}

// Start starts every node and returns when all are ready: the bootstrap node
// first, the others side by side. Where one can not be started, all are stopped
// again. said is told each node as it is ready; it may be called concurrently.
func Start(ctx context.Context, o Options, said func(*Node)) (*Net, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	n := &Net{}
	if err := n.start(ctx, &o, said); err != nil {
		_ = n.Stop(context.WithoutCancel(ctx)) // a node that is stopped as it starts fails, too
		return nil, err
	}
	return n, nil
}

func (n *Net) start(ctx context.Context, o *Options, said func(*Node)) error {
	for _, dir := range []string{o.Dir, filepath.Join(o.Dir, "conf"), filepath.Join(o.Dir, "logs")} {
		if err := os.MkdirAll(dir, dirPerm); err != nil {
			return err
		}
	}
	if err := o.copyLock(); err != nil {
		return err
	}
	first, err := n.startNode(ctx, o, specs[0], []string{})
	if err != nil {
		return err
	}
	n.Nodes = make([]*Node, len(specs))
	n.Nodes[0] = first
	g, gctx := errgroup.WithContext(ctx)
	for i, s := range specs[1:] {
		g.Go(func() error {
			node, err := n.startNode(gctx, o, s, first.addresses)
			if err != nil {
				return err
			}
			n.mu.Lock()
			n.Nodes[i+1] = node
			n.mu.Unlock()
			return node.awaitReady(gctx, said)
		})
	}
	g.Go(func() error { return first.awaitReady(gctx, said) })
	return g.Wait()
}

// startNode starts one process and returns when its API answers.
func (n *Net) startNode(ctx context.Context, o *Options, s spec, bootstrap []string) (*Node, error) {
	node := &Node{
		Name: s.name, Roles: s.roles, Home: filepath.Join(o.Dir, s.name), Log: filepath.Join(o.Dir, "logs", s.name+".log"),
		exited: make(chan struct{}),
	}
	if err := os.MkdirAll(node.Home, dirPerm); err != nil {
		return nil, err
	}
	files, err := o.writeConfigs(s, node.Home, bootstrap)
	if err != nil {
		return nil, err
	}
	args := []string{"up", "--json", "--home", node.Home}
	for _, f := range files {
		args = append(args, "--config", f)
	}
	for _, s := range o.Set {
		args = append(args, "--set", s)
	}
	said, err := node.exec(o, args)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", s.name, err)
	}
	err = node.attach(ctx, said)
	return node, errors.Join(err, node.killUnless(err == nil))
}

// exec starts the process; what it prints is decoded from the reader once its API
// answers.
func (n *Node) exec(o *Options, args []string) (io.ReadCloser, error) {
	log, err := os.OpenFile(n.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, filePerm)
	if err != nil {
		return nil, err
	}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	n.cmd = exec.Command(o.Exe, args...) //nolint:gosec,noctx // ourselves; Stop ends it
	n.cmd.Env, n.cmd.Stdout, n.cmd.Stderr = environ(os.Environ()), in, log
	n.cmd.SysProcAttr = processAttributes(o.Detach)
	err = n.cmd.Start()
	err = errors.Join(err, in.Close(), log.Close()) // the child has its own
	if err != nil {
		return nil, errors.Join(err, out.Close())
	}
	n.PID = n.cmd.Process.Pid
	go func() {
		n.exitErr = n.cmd.Wait()
		close(n.exited)
	}()
	return out, nil
}

// attach waits for the API and asks who the node is.
func (n *Node) attach(ctx context.Context, out io.ReadCloser) error {
	answered := make(chan error, 1)
	go func() {
		var up struct {
			DID string `json:"did"`
		}
		err := json.NewDecoder(out).Decode(&up)
		n.DID = up.DID
		if err == nil && up.DID == "" {
			err = errors.New("it ended")
		}
		answered <- errors.Join(err, out.Close())
	}()
	select {
	case err := <-answered:
		if err != nil {
			return n.failed(err)
		}
	case <-ctx.Done():
		return n.failed(ctx.Err())
	}
	var err error
	if n.Client, err = client.Dial(n.Home, ""); err != nil {
		return n.failed(err)
	}
	status, err := n.Client.Node.Status(ctx, connect.NewRequest(&nodev1.StatusRequest{}))
	if err != nil {
		return n.failed(err)
	}
	n.PeerID = status.Msg.GetPeerId()
	for _, a := range status.Msg.GetAddresses() {
		if !strings.Contains(a, "/p2p/") {
			a += "/p2p/" + n.PeerID
		}
		n.addresses = append(n.addresses, a)
	}
	return nil
}

// failed tells why a node did not start: its own last words are in its log.
func (n *Node) failed(cause error) error {
	data, err := os.ReadFile(n.Log)
	if err != nil {
		return fmt.Errorf("node %s did not start: %w", n.Name, errors.Join(cause, err))
	}
	const enough = 4
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return fmt.Errorf("node %s did not start (%w): %s: %w", n.Name, cause, strings.Join(lines[max(0, len(lines)-enough):], "\n"), core.ErrUnavailable)
}

// killUnless ends a process that is not wanted after all.
func (n *Node) killUnless(wanted bool) error {
	if wanted || n.cmd == nil || n.cmd.Process == nil {
		return nil
	}
	err := n.cmd.Process.Kill()
	<-n.exited
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// awaitReady waits until the node says that it is part of the network.
func (n *Node) awaitReady(ctx context.Context, said func(*Node)) error {
	start := time.Now()
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for {
		status, err := n.Client.Node.Status(ctx, connect.NewRequest(&nodev1.StatusRequest{}))
		if err == nil && status.Msg.GetReady() {
			n.Joining = time.Since(start)
			said(n)
			return nil
		}
		select {
		case <-n.exited:
			return n.failed(n.exitErr)
		case <-ctx.Done():
			if err == nil {
				err = errors.New(strings.Join(status.Msg.GetNotReady(), "; "))
			}
			return n.failed(errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}

// Node returns the node of a name, nil where there is none.
func (n *Net) Node(name string) *Node {
	for _, node := range n.Nodes {
		if node != nil && node.Name == name {
			return node
		}
	}
	return nil
}

// Stop ends every node: SIGTERM, and SIGKILL for what has not ended in time. It
// returns when every process is gone.
func (n *Net) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, termGrace)
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, len(n.Nodes))
	for i, node := range n.Nodes {
		if node != nil {
			wg.Go(func() { errs[i] = node.stop(ctx) })
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (n *Node) stop(ctx context.Context) error {
	if n.Client != nil {
		n.Client.Close()
	}
	select {
	case <-n.exited:
		return n.ended()
	default:
	}
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", n.Name, err)
	}
	select {
	case <-n.exited:
		return n.ended()
	case <-ctx.Done():
	}
	return errors.Join(fmt.Errorf("node %s did not end in time and was killed; see %s: %w", n.Name, n.Log, core.ErrUnavailable), n.killUnless(false))
}

// ended says how the process ended.
func (n *Node) ended() error {
	if n.exitErr != nil {
		return fmt.Errorf("node %s: %w; see %s", n.Name, n.exitErr, n.Log)
	}
	return nil
}
