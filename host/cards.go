package host

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/store"
)

const (
	agentPrefix = "agent/"
	recordLife  = 47 * time.Hour // below core.MaxRecordLife
	// refreshEvery is how often records are signed again: well within the life
	// of a seal key, so that an Offer always finds one that opens.
	refreshEvery = 6 * time.Hour
)

// cardBook holds the agents of this node: it publishes, updates, revokes and
// refreshes their cards and records.
type cardBook struct {
	n *Node

	publishing sync.Mutex // one publication at a time

	mu     sync.RWMutex
	agents map[string]*agent // by name
}

// agent is one agent of this node as it was last published.
type agent struct {
	name      string
	signer    core.Signer
	card      *core.Card
	cardBytes []byte
	cid       string
	record    []byte
	templates []*core.Template // of each offer
	tombstone bool
	prepared  *atomic.Bool // the executor holds its modules compiled
}

// agentRecord is an agent as the store keeps it.
type agentRecord struct {
	Name      string   `json:"name"`
	Card      []byte   `json:"card"`
	Record    []byte   `json:"record"`
	Templates [][]byte `json:"templates"`
	Tombstone bool     `json:"tombstone"`
}

// Source is what an agent is published from: the files that its owner wrote.
type Source struct {
	Card     []byte            // card.yaml
	CardName string            // its file name, for errors
	Files    map[string][]byte // manifests and modules, by their path relative to the card
}

// load reads the agents that were published before.
func (b *cardBook) load() error {
	b.agents = map[string]*agent{}
	for rec, err := range store.ScanJSON[agentRecord](b.n.store, agentPrefix) {
		if err != nil {
			return fmt.Errorf("load agents: %w", err)
		}
		a, err := b.restore(rec)
		if err != nil {
			return fmt.Errorf("load agent %s: %w", rec.Name, err)
		}
		b.agents[a.name] = a
	}
	return nil
}

func (b *cardBook) restore(rec agentRecord) (*agent, error) {
	signer, err := b.n.keys.existingAgent(rec.Name)
	if err != nil {
		return nil, err
	}
	a := &agent{prepared: new(atomic.Bool), name: rec.Name, signer: signer, cardBytes: rec.Card, record: rec.Record, tombstone: rec.Tombstone}
	if a.card, err = core.ParseCard(rec.Card); err != nil {
		return nil, err
	}
	a.cid = core.CardCID(rec.Card)
	for _, t := range rec.Templates {
		parsed, err := core.ParseTemplate(t)
		if err != nil {
			return nil, err
		}
		a.templates = append(a.templates, parsed)
	}
	return a, nil
}

// list answers the agents, by name.
func (b *cardBook) list() []*agent {
	b.mu.RLock()
	defer b.mu.RUnlock()
	out := make([]*agent, 0, len(b.agents))
	for _, a := range b.agents {
		out = append(out, a)
	}
	slices.SortFunc(out, func(x, y *agent) int { return compareStrings(x.name, y.name) })
	return out
}

func compareStrings(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// byDID answers the live agent of a did, or core.ErrNotFound.
func (b *cardBook) byDID(did core.DID) (*agent, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, a := range b.agents {
		if a.signer.DID() == did && !a.tombstone {
			return a, nil
		}
	}
	return nil, fmt.Errorf("agent %s is not of this node: %w", did.Short(), core.ErrNotFound)
}

// byNameOrDID answers an agent of this node.
func (b *cardBook) byNameOrDID(s string) (*agent, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if a, ok := b.agents[s]; ok {
		return a, nil
	}
	for _, a := range b.agents {
		if string(a.signer.DID()) == s {
			return a, nil
		}
	}
	return nil, fmt.Errorf("agent %q is not of this node (card show lists them): %w", s, core.ErrNotFound)
}

// Published is what a publication brought about.
type Published struct {
	DID     core.DID
	CID     string
	Seq     core.Millis
	Card    []byte
	Holders int
}

// publish signs the card of an agent with its templates, stores modules and
// templates as public content, puts the record into the DHT and announces it.
func (b *cardBook) publish(ctx context.Context, name string, src Source, onlyUpdate bool) (Published, error) {
	b.publishing.Lock()
	defer b.publishing.Unlock()
	b.mu.RLock()
	old := b.agents[name]
	b.mu.RUnlock()
	switch {
	case old == nil && onlyUpdate:
		return Published{}, fmt.Errorf("agent %q was never published: %w", name, core.ErrNotFound)
	case old != nil && old.tombstone:
		return Published{}, fmt.Errorf("agent %q was revoked, which is final; publish under another name: %w", name, core.ErrConflict)
	}
	spec, err := core.ParseCardSpec(src.Card, src.CardName)
	if err != nil {
		return Published{}, err
	}
	signer, next, err := b.n.keys.agent(name)
	if err != nil {
		return Published{}, err
	}
	a := &agent{name: name, signer: signer, prepared: new(atomic.Bool)}
	offerings, err := b.offerings(ctx, a, spec, src)
	if err != nil {
		return Published{}, err
	}
	if err := b.sign(a, old, spec, next, offerings); err != nil {
		return Published{}, err
	}
	holders, err := b.announce(ctx, a)
	if err != nil {
		return Published{}, err
	}
	b.provide(a)
	b.n.warm(a)
	seq := a.card.Params().Seq
	b.n.log.Info("card published", "agent", name, "did", a.signer.DID(), "seq", int64(seq), "holders", holders)
	return Published{DID: a.signer.DID(), CID: a.cid, Seq: seq, Card: a.cardBytes, Holders: holders},
		b.n.audit.append(core.AuditCardPublish, string(a.signer.DID()), sha256Hex(a.cardBytes))
}

// offerings stores each offer's module and template and answers their refs.
func (b *cardBook) offerings(ctx context.Context, a *agent, spec *core.CardSpec, src Source) ([]core.Offering, error) {
	var out []core.Offering
	for i, o := range spec.Offers {
		data, ok := src.Files[o.Manifest]
		if !ok {
			return nil, core.FieldError{Path: fmt.Sprintf("offers[%d].manifest", i), Problem: fmt.Sprintf("file %q is missing", o.Manifest)}
		}
		m, err := core.ParseManifest(data, o.Manifest)
		if err != nil {
			return nil, err
		}
		file, ok := m.Spec.Module.File()
		if !ok {
			return nil, core.FieldError{Path: o.Manifest + ": spec.module.uri", Problem: "an agent's module is a file: of its own"}
		}
		module, ok := src.Files[filepath.ToSlash(filepath.Join(filepath.Dir(o.Manifest), file))]
		if !ok {
			return nil, core.FieldError{Path: o.Manifest + ": spec.module.uri", Problem: fmt.Sprintf("file %q is missing", file)}
		}
		ref, err := b.n.addContent(ctx, module, true)
		if err != nil {
			return nil, err
		}
		tmpl, err := m.Template(core.InputRef{CID: ref.CID, SHA256: ref.SHA256})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.Manifest, err)
		}
		bytes, err := tmpl.Bytes()
		if err != nil {
			return nil, err
		}
		if _, err := b.n.addContent(ctx, bytes, true); err != nil {
			return nil, err
		}
		a.templates = append(a.templates, tmpl)
		out = append(out, core.Offering{Skill: o.Skill, Manifest: core.RefOf(bytes), Price: tmpl.Spec.Settlement})
	}
	return out, nil
}

// sign makes the card, one millisecond newer than the last at least.
func (b *cardBook) sign(a, old *agent, spec *core.CardSpec, next ed25519.PublicKey, offerings []core.Offering) error {
	hash, err := core.DIDOf(next).NextHash()
	if err != nil {
		return err
	}
	d := core.CardDraft{
		CardSpec: *spec, Network: b.n.cfg.Network.ID, Next: hash,
		Addresses: firstN(b.n.net.Addrs(), 8), Offerings: offerings,
	}
	if d.Region == "" {
		d.Region = b.n.cfg.Node.Region
	}
	now := b.n.now()
	if old != nil {
		if d.Prev, err = core.CardDigest(old.cardBytes); err != nil {
			return err
		}
		if last := old.card.Params().Seq.Time(); !now.After(last) {
			now = last.Add(time.Millisecond)
		}
	}
	if a.cardBytes, err = core.BuildCard(d, a.signer, b.n.keys.signer(), now); err != nil {
		return err
	}
	if a.card, err = core.ParseCard(a.cardBytes); err != nil {
		return err
	}
	a.cid = core.CardCID(a.cardBytes)
	return nil
}

// announce signs a record for the agent's card, keeps it, puts it into the DHT
// and tells the network. It answers how many nodes hold it.
func (b *cardBook) announce(ctx context.Context, a *agent) (int, error) {
	seal, err := b.n.seals.Current()
	if err != nil {
		return 0, err
	}
	key, err := base64.RawURLEncoding.DecodeString(seal.Public)
	if err != nil {
		return 0, fmt.Errorf("seal key: %w", err)
	}
	now := b.n.now()
	raw, err := core.BuildRecord(core.RecordDraft{
		Card: a.cardBytes, SealKey: key, SealUntil: seal.Until.Time(),
		Life: min(recordLife, a.card.Params().Expires.Sub(now)),
	}, a.signer, now)
	if err != nil {
		return 0, err
	}
	if _, err := b.n.addContent(ctx, a.cardBytes, true); err != nil {
		return 0, err
	}
	return b.put(ctx, a, raw)
}

// put keeps the agent with its new record and puts that into the DHT.
func (b *cardBook) put(ctx context.Context, a *agent, raw []byte) (int, error) {
	r, err := core.Parse[core.CardRecord](raw)
	if err != nil {
		return 0, err
	}
	a.record, a.tombstone = raw, r.Tombstone()
	if err := b.keep(a); err != nil {
		return 0, err
	}
	return b.n.putRecord(ctx, r, raw)
}

// keep writes the agent to the store.
func (b *cardBook) keep(a *agent) error {
	rec := agentRecord{Name: a.name, Card: a.cardBytes, Record: a.record, Tombstone: a.tombstone}
	for _, t := range a.templates {
		tb, err := t.Bytes()
		if err != nil {
			return err
		}
		rec.Templates = append(rec.Templates, tb)
	}
	if err := b.n.store.SetJSON(agentPrefix+a.name, rec); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.agents[a.name] = a
	return nil
}

// revoke writes the tombstone of an agent: final, on every node that sees it.
func (b *cardBook) revoke(ctx context.Context, nameOrDID string) (core.DID, []byte, error) {
	b.publishing.Lock()
	defer b.publishing.Unlock()
	old, err := b.byNameOrDID(nameOrDID)
	if err != nil {
		return "", nil, err
	}
	did := old.signer.DID()
	if old.tombstone {
		return did, old.record, nil
	}
	now := b.n.now()
	if last := old.card.Params().Seq.Time(); !now.After(last) {
		now = last.Add(time.Millisecond)
	}
	raw, err := core.BuildTombstone(b.n.cfg.Network.ID, old.signer, nil, now)
	if err != nil {
		return "", nil, err
	}
	dead := *old
	if _, err := b.put(ctx, &dead, raw); err != nil {
		return "", nil, err
	}
	b.n.log.Info("card revoked", "agent", old.name, "did", did)
	return did, dead.record, b.n.audit.append(core.AuditCardRevoke, string(did), sha256Hex(dead.record))
}

// provide tells the DHT which capabilities the agent's node offers.
func (b *cardBook) provide(a *agent) {
	for _, s := range a.card.Skills {
		b.n.provideCapability(s.ID, a.card.Params().Region)
	}
}

// refresh signs and puts every record again: live ones with the present seal
// key, tombstones as they are.
func (b *cardBook) refresh(ctx context.Context) {
	for _, a := range b.list() {
		if ends := a.card.Params().Expires.Time(); !a.tombstone && ends.Sub(b.n.now()) < reissueAfter {
			if err := b.reissue(ctx, a.name); err != nil {
				b.n.log.Warn("card not signed anew", "agent", a.name, "error", err)
			}
		}
	}
	b.publishing.Lock()
	defer b.publishing.Unlock()
	for _, a := range b.list() {
		var err error
		if a.tombstone {
			var r *core.CardRecord
			if r, err = core.Parse[core.CardRecord](a.record); err == nil {
				_, err = b.n.putRecord(ctx, r, a.record)
			}
		} else {
			again := *a
			_, err = b.announce(ctx, &again)
			b.provide(&again)
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			b.n.log.Warn("card not refreshed", "agent", a.name, "error", err)
		}
	}
}

// reissueAfter is how long before its end a card is signed anew.
const reissueAfter = 7 * 24 * time.Hour

// reissue signs the card of an agent anew from what it says now: the node's
// addresses have changed with a restart, or the card comes to its end.
func (b *cardBook) reissue(ctx context.Context, name string) error {
	b.publishing.Lock()
	defer b.publishing.Unlock()
	old, err := b.byNameOrDID(name)
	if err != nil || old.tombstone {
		return err
	}
	_, next, err := b.n.keys.agent(old.name)
	if err != nil {
		return err
	}
	a := *old
	if err := b.sign(&a, old, specOf(old.card), next, old.card.Params().Offers); err != nil {
		return err
	}
	if _, err := b.announce(ctx, &a); err != nil {
		return err
	}
	b.provide(&a)
	b.n.warm(&a)
	return nil
}

// specOf is what the owner of a card wrote.
func specOf(c *core.Card) *core.CardSpec {
	return &core.CardSpec{
		Name: c.Name, Description: c.Description, Version: c.Version, Region: c.Params().Region,
		DocumentationURL: c.DocumentationURL, IconURL: c.IconURL, Provider: c.Provider,
		DefaultInputModes: c.DefaultInputModes, DefaultOutputModes: c.DefaultOutputModes, Skills: c.Skills,
	}
}

// reissueAll reissues the agents that the configuration does not publish.
func (b *cardBook) reissueAll(ctx context.Context) {
	for _, a := range b.list() {
		if _, configured := b.n.cfg.Agent[a.name]; configured || a.tombstone {
			continue
		}
		if err := b.reissue(ctx, a.name); err != nil && ctx.Err() == nil {
			b.n.log.Warn("card not signed anew", "agent", a.name, "error", err)
		}
	}
}

func firstN[T any](s []T, n int) []T { return s[:min(len(s), n)] }
