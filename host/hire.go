package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/p2p"
	"github.com/zerostate/zerostate/host/internal/peerpb"
)

// candidate is an agent that might do the task.
type candidate struct {
	listing *listing
	offer   int // -1: a whole manifest of the caller's
	score   float64
}

func (c candidate) name() string { return c.listing.card.Name }

// hire is the agent and the task that one attempt is about.
type hire struct {
	candidate
	task     *core.Resolved
	manifest []byte // its canonical bytes
	id       string // task id
}

func (h *hire) node() core.DID  { return h.listing.card.Params().Node }
func (h *hire) agent() core.DID { return h.listing.record.DID }

// find answers the candidates of the request, best first.
func (t *taskRun) find(ctx context.Context) ([]candidate, string, error) {
	switch {
	case t.req.Query != "":
		return t.findByMeaning(ctx)
	case t.req.Agent != "":
		c, err := t.findAgent(ctx, t.req.Agent)
		return []candidate{c}, "resolved " + t.req.Agent.Short(), err
	case len(t.req.Manifest) > 0:
		return t.findProvider(ctx)
	default:
		return nil, "", fmt.Errorf("a task wants a query, an agent or a manifest: %w", core.ErrInvalid)
	}
}

// nearEnough is how near to the best hit's rank a candidate must come to be
// hired in its place.
const nearEnough = 0.6

func (t *taskRun) findByMeaning(ctx context.Context) ([]candidate, string, error) {
	found, err := t.n.Find(ctx, FindQuery{Text: t.req.Query, K: 2 * defaultHits, Regions: t.req.Regions, Skills: t.req.Skills, Tags: t.req.Tags})
	if err != nil {
		return nil, "", err
	}
	var out []candidate
	var errs []error
	for _, h := range found.Hits {
		if h.Rank < nearEnough*found.Hits[0].Rank {
			break // another trade: rather nobody than somebody who does something else
		}
		c := candidate{listing: &h.listing, offer: h.Offer, score: h.Score}
		if err := t.fits(ctx, c); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.name(), err))
			continue
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		for _, d := range found.Dropped {
			errs = append(errs, fmt.Errorf("%s: %s", d.DID.Short(), d.Reason))
		}
		return nil, "", fmt.Errorf("no agent fits %q: %w", t.req.Query, errors.Join(append(errs, core.ErrNotFound)...))
	}
	return out, fmt.Sprintf("%s (%s), %d of %d hits fit", out[0].name(), found.Hits[0].Reason, len(out), len(found.Hits)), nil
}

// fits says whether the caller's inputs are those that the offer's template asks for.
func (t *taskRun) fits(ctx context.Context, c candidate) error {
	tmpl, err := t.n.template(ctx, c.listing, c.offer)
	if err != nil {
		return err
	}
	var want []string
	for _, in := range tmpl.Spec.Inputs {
		want = append(want, in.Name)
	}
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(t.req.Inputs)); !slices.Equal(got, want) {
		return fmt.Errorf("wants the inputs [%s], not [%s]: %w", strings.Join(want, " "), strings.Join(got, " "), core.ErrInvalid)
	}
	return nil
}

func (t *taskRun) findAgent(ctx context.Context, did core.DID) (candidate, error) {
	l, err := t.n.directory.resolve(ctx, did, 0, false)
	if err != nil {
		return candidate{}, err
	}
	c := candidate{listing: l}
	if c.score, err = t.n.scoreOf(ctx, l); err != nil {
		return c, err
	}
	if c.score < t.n.cfg.Policy.MinReputation {
		return c, fmt.Errorf("reputation %.2f is below policy.min_reputation %.2f: %w", c.score, t.n.cfg.Policy.MinReputation, core.ErrDenied)
	}
	return c, t.chooseOffer(ctx, &c)
}

// chooseOffer takes the first offer that the caller's inputs fit.
func (t *taskRun) chooseOffer(ctx context.Context, c *candidate) error {
	var errs []error
	for i := range c.listing.card.Params().Offers {
		c.offer = i
		err := t.fits(ctx, *c)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return fmt.Errorf("%s offers nothing: %w", c.name(), core.ErrNotFound)
	}
	return errors.Join(errs...)
}

// findProvider finds an agent of the provider that the caller named to run a
// whole manifest on.
func (t *taskRun) findProvider(ctx context.Context) ([]candidate, string, error) {
	if t.req.Provider == "" {
		return nil, "", fmt.Errorf("a whole manifest wants the did of an agent whose node runs foreign modules (--provider): %w", core.ErrInvalid)
	}
	l, err := t.n.directory.resolve(ctx, t.req.Provider, 0, false)
	if err != nil {
		return nil, "", err
	}
	c := candidate{listing: l, offer: -1}
	if c.score, err = t.n.scoreOf(ctx, l); err != nil {
		return nil, "", err
	}
	return []candidate{c}, "resolved " + t.req.Provider.Short(), nil
}

// hireFor resolves the task for a candidate: its template filled with the
// caller's inputs, or the caller's manifest.
func (t *taskRun) hireFor(ctx context.Context, c candidate) (*hire, error) {
	h := &hire{candidate: c}
	inputs := make(map[string]core.InputRef, len(t.req.Inputs))
	for name, in := range t.req.Inputs {
		inputs[name] = core.InputRef{CID: in.CID, SHA256: in.SHA256}
	}
	var err error
	if c.offer >= 0 {
		h.task, err = t.fill(ctx, c, inputs)
	} else {
		h.task, err = t.resolveOwn(inputs)
	}
	if err != nil {
		return nil, err
	}
	if h.manifest, err = h.task.Bytes(); err != nil {
		return nil, err
	}
	h.id, err = h.task.TaskID()
	return h, err
}

func (t *taskRun) fill(ctx context.Context, c candidate, inputs map[string]core.InputRef) (*core.Resolved, error) {
	tmpl, err := t.n.template(ctx, c.listing, c.offer)
	if err != nil {
		return nil, err
	}
	return core.FillTemplate(tmpl, inputs, t.nonce, t.seed)
}

func (t *taskRun) resolveOwn(inputs map[string]core.InputRef) (*core.Resolved, error) {
	m, err := core.ParseManifest(t.req.Manifest, t.req.ManifestName)
	if err != nil {
		return nil, err
	}
	if limit := m.Terms.MaxChargeMicros; limit > 0 && (t.req.MaxMicros == 0 || limit < t.req.MaxMicros) {
		t.req.MaxMicros = limit
	}
	module := core.InputRef{CID: t.req.ModuleCID, SHA256: m.Spec.Module.Digest.SHA256}
	if t.req.ModuleCID != "" {
		sum, _, err := t.n.digestOf(t.n.ctx, t.req.ModuleCID)
		if err != nil {
			return nil, fmt.Errorf("module: %w", err)
		}
		module.SHA256 = sum
	}
	return m.Resolve(core.Contents{Module: module, Inputs: inputs, Nonce: t.nonce, Seed: t.seed})
}

// template answers the template of an offer, fetched from its node where it is
// not here, and checked against the signed card: its digest and its price.
func (n *Node) template(ctx context.Context, l *listing, offer int) (*core.Template, error) {
	o := l.card.Params().Offers[offer]
	raw, err := n.localContent(ctx, o.Manifest.CID, core.MaxManifestBytes)
	if absent(err) {
		raw, err = n.fetchTemplateOnce(ctx, l, o.Manifest)
	}
	if err != nil {
		return nil, fmt.Errorf("template of %s: %w", l.card.Name, err)
	}
	tmpl, err := core.ParseTemplate(raw)
	if err != nil {
		return nil, err
	}
	return tmpl, core.CheckTemplatePrice(tmpl, o.Price)
}

// fetchTemplateOnce fetches a template that is not here; tasks that want the same
// one at the same time wait for the first.
func (n *Node) fetchTemplateOnce(ctx context.Context, l *listing, ref core.ManifestRef) ([]byte, error) {
	turn, _ := n.fetching.LoadOrStore(ref.CID, make(chan struct{}, 1))
	select {
	case turn.(chan struct{}) <- struct{}{}:
		defer func() { <-turn.(chan struct{}) }()
	case <-ctx.Done():
		return nil, fmt.Errorf("fetch template: %w", context.Cause(ctx))
	}
	raw, err := n.localContent(ctx, ref.CID, core.MaxManifestBytes)
	if absent(err) {
		return n.fetchTemplate(ctx, l.card.Params().Node, l.record.DID, ref)
	}
	return raw, err
}

func (n *Node) fetchTemplate(ctx context.Context, node, did core.DID, ref core.ManifestRef) ([]byte, error) {
	f := &peerpb.Frame{Body: &peerpb.Frame_Fetch{Fetch: &peerpb.Fetch{Did: string(did), Manifests: true}}}
	answer, err := n.net.Ask(ctx, node, p2p.ProtocolCard, f)
	if err != nil {
		return nil, err
	}
	for _, m := range answer.GetCard().GetManifests() {
		if core.RefOf(m.GetDocument()) == ref {
			_, err := n.addContent(ctx, m.GetDocument(), false)
			return m.GetDocument(), err
		}
	}
	return nil, fmt.Errorf("%s does not have it: %w", node.Short(), core.ErrNotFound)
}
