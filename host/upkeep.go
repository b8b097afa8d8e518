package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/zerostate/zerostate/core"
)

// pingEvery is how often the paths to our payees and relays are measured.
const pingEvery = 15 * time.Second

// publishConfigured publishes the agents of the configuration. An agent that
// was revoked stays so.
func (n *Node) publishConfigured(ctx context.Context) error {
	names := make([]string, 0, len(n.cfg.Agent))
	for name := range n.cfg.Agent {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		src, err := ReadSource(n.cfg.Agent[name].Card, n.cfg.Agent[name].Manifest)
		if err != nil {
			return fmt.Errorf("agent %s: %w", name, err)
		}
		start := time.Now()
		p, err := n.cards.publish(ctx, name, src, false)
		switch {
		case errors.Is(err, core.ErrConflict):
			n.log.Warn("agent not published", "agent", name, "error", err)
		case err != nil:
			return fmt.Errorf("publish agent %s: %w", name, err)
		default:
			n.published.Store(string(p.DID), time.Since(start))
		}
	}
	n.cards.reissueAll(ctx)
	n.ready.Store(true)
	return nil
}

// ReadSource reads a card.yaml with the manifests and modules that it names,
// all from its own directory. manifest, where not empty, is the path of another
// task manifest, in the same directory, for a card of one offer.
func ReadSource(path, manifest string) (Source, error) {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return Source{}, fmt.Errorf("open %s: %w", filepath.Dir(path), notFound(err))
	}
	defer root.Close() //nolint:errcheck // only read from
	src := Source{CardName: filepath.Base(path), Files: map[string][]byte{}}
	if src.Card, err = root.ReadFile(src.CardName); err != nil {
		return Source{}, fmt.Errorf("read %s: %w", path, notFound(err))
	}
	spec, err := core.ParseCardSpec(src.Card, src.CardName)
	if err != nil {
		return Source{}, err
	}
	if manifest != "" && (len(spec.Offers) != 1 || filepath.Dir(manifest) != filepath.Dir(path)) {
		return Source{}, fmt.Errorf("manifest %s: wants a card of one offer in the same directory: %w", manifest, core.ErrInvalid)
	}
	for _, o := range spec.Offers {
		name := o.Manifest
		if manifest != "" {
			name = filepath.Base(manifest)
		}
		data, err := root.ReadFile(name)
		if err != nil {
			return Source{}, fmt.Errorf("read %s: %w", name, notFound(err))
		}
		src.Files[o.Manifest] = data
		m, err := core.ParseManifest(data, name)
		if err != nil {
			return Source{}, err
		}
		if file, ok := m.Spec.Module.File(); ok {
			name := filepath.ToSlash(filepath.Join(filepath.Dir(o.Manifest), file))
			if src.Files[name], err = root.ReadFile(name); err != nil {
				return Source{}, fmt.Errorf("read module %s: %w", name, notFound(err))
			}
		}
	}
	return src, nil
}

func notFound(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", err, core.ErrNotFound)
	}
	return err
}

// pingNeighbors measures the way to our payees and to the backbone, so that the
// router decides by figures of its own time.
func (n *Node) pingNeighbors(ctx context.Context) {
	peers := slices.Clone(n.backbone)
	if n.channels != nil {
		for _, ch := range n.channels.list() {
			if !slices.Contains(peers, ch.peer) {
				peers = append(peers, ch.peer)
			}
		}
	}
	var wg sync.WaitGroup
	for _, p := range firstN(peers, 64) {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			if _, err := n.net.Ping(ctx, p); err != nil {
				n.log.Debug("neighbor not reached", "peer", p.Short(), "error", err)
			}
		})
	}
	wg.Wait()
}

// anchorAudit writes an anchor of the audit log and notes that in the log.
func (n *Node) anchorAudit() (Anchor, error) {
	an, err := n.audit.anchor()
	if err != nil {
		return Anchor{}, err
	}
	return an, n.audit.append(core.AuditAnchor, fmt.Sprintf("%d", an.Size), an.Root)
}

// pluginOf answers the name and version of the plugin that serves a kind now.
func (n *Node) pluginOf(kind core.Kind) (name, version string) {
	for _, p := range n.plugins.Status() {
		if p.Kind == string(kind) && p.State == "ready" {
			return p.Name, p.Version
		}
	}
	return "unknown", "unknown"
}

// renewBefore is how long before its end a relay's slot is taken anew.
const renewBefore = 5 * time.Minute

// keepReservations holds a slot at every relay of the backbone, so that a
// router's choice of a relay finds a way to us, whether or not others reach us
// directly.
func (n *Node) keepReservations() {
	for _, relay := range n.backbone {
		if relay == n.DID() {
			continue
		}
		n.work.Go(func() {
			for {
				wait, err := n.reserve(relay)
				if err != nil {
					n.log.Debug("no slot at the relay", "relay", relay.Short(), "error", err)
				}
				select {
				case <-time.After(wait):
				case <-n.ctx.Done():
					return
				}
			}
		})
	}
}

// reserve takes one slot and answers when to ask again.
func (n *Node) reserve(relay core.DID) (time.Duration, error) {
	const patience, again = 10 * time.Second, 30 * time.Second
	ctx, cancel := context.WithTimeout(n.ctx, patience)
	defer cancel()
	until, err := n.net.Reserve(ctx, relay)
	if err != nil {
		return again, err
	}
	return max(until.Sub(n.now())-renewBefore, again), nil
}
