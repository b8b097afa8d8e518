package guild

import (
	"bytes"
	"crypto/ecdh"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/zerostate/zerostate/core"
)

// OfferSpec is what a requester asks for.
type OfferSpec struct {
	Network   string
	Requester core.DID // whose key will countersign and rate: the node's, or an agent's
	Recipient core.DID // node did of the worker
	Agent     core.DID // who is hired
	CardCID   string
	Channel   string
	Lock      core.Lock
	Manifest  []byte        // resolved, canonical
	TTL       time.Duration // the guild's life
	NotAfter  core.Time     // the offer is void from then on
}

// Draft is a requester's offer and the secrets that belong to it. Wipe it, or
// open the Accept, which does.
type Draft struct {
	Offer  *core.Offer
	Signed []byte // the offer's canonical bytes
	Hash   string // digest of the offer
	Guild  string // id

	node    core.DID
	private *ecdh.PrivateKey
	secret  []byte
	ttl     time.Duration
}

// SealedOffer is the Offer frame: all but Sealed is in clear.
type SealedOffer struct {
	Guild     string
	Sender    core.DID
	Recipient core.DID
	KeyHash   string // sha256 of the seal key, hex
	Sealed    []byte // enc || ciphertext
}

// NewOffer draws the guild's keys and secrets and signs the offer with the
// requester's node key.
func NewOffer(spec OfferSpec, node core.Signer, random io.Reader) (*Draft, error) {
	d := &Draft{node: node.DID(), ttl: spec.TTL}
	nonce, err := draw(random)
	if err != nil {
		return nil, fmt.Errorf("offer: %w", err)
	}
	id, err := draw(random)
	if err != nil {
		return nil, fmt.Errorf("offer: %w", err)
	}
	if d.secret, err = draw(random); err != nil {
		return nil, fmt.Errorf("offer: %w", err)
	}
	if d.private, err = drawKey(random); err != nil {
		return nil, fmt.Errorf("offer: %w", err)
	}
	d.Offer = &core.Offer{
		Agent: spec.Agent, CardCID: spec.CardCID, Channel: spec.Channel, ID: b64(id), Lock: spec.Lock,
		Manifest: json.RawMessage(bytes.Clone(spec.Manifest)), Network: spec.Network, NotAfter: spec.NotAfter,
		Recipient: spec.Recipient, Requester: spec.Requester, Secret: b64(d.secret),
		Commit: &core.Commit{
			GuildKey: b64(d.private.PublicKey().Bytes()), Network: spec.Network, Nonce: b64(nonce),
			Members: []core.Member{
				{Node: d.node, Role: core.RoleRequester}, {Node: spec.Recipient, Role: core.RoleWorker},
			},
			Suites: []string{core.SuiteX25519}, TTLMs: spec.TTL.Milliseconds(),
		},
	}
	if err := d.finish(node); err != nil {
		return nil, fmt.Errorf("offer: %w", err)
	}
	return d, nil
}

func (d *Draft) finish(node core.Signer) error {
	err := core.Sign(d.Offer, node)
	if err != nil {
		return err
	}
	if d.Signed, err = core.Encode(d.Offer); err != nil {
		return err
	}
	if d.Hash, err = core.Digest(d.Offer); err != nil {
		return err
	}
	d.Guild, err = core.GuildID(d.Offer.Commit)
	return err
}

// Seal seals the offer to the seal key of the agent's card record (32 bytes in
// unpadded base64url). It may be called again, with a newer key too.
func (d *Draft) Seal(sealKey string) (SealedOffer, error) {
	public, err := unb64(sealKey, keyBytes)
	if err != nil {
		return SealedOffer{}, fmt.Errorf("seal key: %w", err)
	}
	s := SealedOffer{Guild: d.Guild, Sender: d.node, Recipient: d.Offer.Recipient, KeyHash: keyHash(public)}
	if s.Sealed, err = seal(public, s.context(d.Offer.Network), d.Signed); err != nil {
		return SealedOffer{}, fmt.Errorf("offer: %w", err)
	}
	return s, nil
}

func (s SealedOffer) context(network string) sealContext {
	return sealContext{label: labelOffer, network: network, guild: s.Guild, sender: s.Sender, recipient: s.Recipient}
}

// Wipe forgets the draft's secrets.
func (d *Draft) Wipe() {
	clear(d.secret)
	d.private = nil
	d.secret = nil
}

// Worker is what a worker's node opens offers with.
type Worker struct {
	Network string
	Node    core.DID
	Keys    *SealKeys
	Replays *Replays
	Now     func() time.Time
}

// Opened is an offer that a worker has opened and verified.
type Opened struct {
	Offer  *core.Offer
	Signed []byte // the offer's canonical bytes
	Hash   string // digest of the offer
	Guild  string
	Sender core.DID // the requester's node
	// Repeated says that this very offer was opened before: answer with the same
	// Accept, do not accept again.
	Repeated bool

	now func() time.Time
}

// OpenOffer opens and verifies an offer: sealed to this node's key, signed by
// the node that sent it, for this node and network, in time, and not an id that
// another offer used. remote is the did that the connection proved. Errors:
// core.ErrDenied, core.ErrInvalid, core.ErrConflict for an old seal key.
func (w *Worker) OpenOffer(s SealedOffer, remote core.DID) (*Opened, error) {
	o, err := w.open(s, remote)
	if err != nil {
		return nil, fmt.Errorf("offer from %s: %w", remote, err)
	}
	return o, nil
}

func (w *Worker) open(s SealedOffer, remote core.DID) (*Opened, error) {
	if s.Sender != remote || s.Recipient != w.Node {
		return nil, fmt.Errorf("frame from %s to %s: %w", s.Sender, s.Recipient, core.ErrDenied)
	}
	private, err := w.Keys.find(s.KeyHash)
	if err != nil {
		return nil, err
	}
	signed, err := open(private, s.context(w.Network), s.Sealed)
	if err != nil {
		return nil, err
	}
	offer, err := core.Parse[core.Offer](signed)
	if err != nil {
		return nil, err
	}
	o := &Opened{Offer: offer, Signed: signed, now: w.Now}
	if err := core.Verify(offer, w.Network); err != nil {
		return nil, err
	}
	if o.Guild, err = core.GuildID(offer.Commit); err != nil {
		return nil, err
	}
	if o.Sender, err = offer.Commit.Member(core.RoleRequester); err != nil {
		return nil, err
	}
	if o.Guild != s.Guild || o.Sender != s.Sender || offer.Recipient != s.Recipient {
		return nil, fmt.Errorf("the frame says another guild, sender or recipient than the offer: %w", core.ErrDenied)
	}
	if o.Hash, err = core.Digest(offer); err != nil {
		return nil, err
	}
	now := w.Now()
	if !now.Before(offer.NotAfter.Time()) {
		return nil, fmt.Errorf("void since %s: %w", offer.NotAfter, core.ErrDenied)
	}
	o.Repeated, err = w.Replays.take(o.Sender, offer.ID, o.Hash, offer.NotAfter.Time(), now)
	return o, err
}

// Accept makes the worker's Accept, signed by its node and the agent, and the
// session of the guild. The offer must not have been accepted before.
func (o *Opened) Accept(node, agent core.Signer, deadline core.Time, random io.Reader) (accept []byte, s *Session, err error) {
	fail := func(err error) ([]byte, *Session, error) { return nil, nil, fmt.Errorf("accept: %w", err) }
	if o.Repeated {
		return fail(fmt.Errorf("offer %s was opened before: %w", o.Offer.ID, core.ErrExists))
	}
	secret, err := draw(random)
	if err != nil {
		return fail(err)
	}
	defer clear(secret)
	private, err := drawKey(random)
	if err != nil {
		return fail(err)
	}
	requesterKey, err := unb64(o.Offer.Commit.GuildKey, keyBytes)
	if err != nil {
		return fail(err)
	}
	sealed, err := seal(requesterKey, acceptContext(o.Offer, o.Guild), secret)
	if err != nil {
		return fail(err)
	}
	doc, err := core.AcceptFor(o.Offer, deadline, b64(private.PublicKey().Bytes()), b64(sealed))
	if err != nil {
		return fail(err)
	}
	for _, signer := range []core.Signer{node, agent} {
		if err := core.Sign(doc, signer); err != nil {
			return fail(err)
		}
	}
	if accept, err = core.Encode(doc); err != nil {
		return fail(err)
	}
	offered, err := unb64(o.Offer.Secret, secretBytes)
	if err != nil {
		return fail(err)
	}
	defer clear(offered)
	s, err = newSession(o.Offer, doc, o.Guild, core.RoleWorker, offered, secret, o.now)
	if err != nil {
		return fail(err)
	}
	return accept, s, nil
}

// acceptContext binds the worker's secret: the worker sends, the requester opens.
func acceptContext(o *core.Offer, guild string) sealContext {
	return sealContext{
		label: labelAccept, network: o.Network, guild: guild,
		sender: o.Commit.Members[1].Node, recipient: o.Commit.Members[0].Node,
	}
}

// OpenAccept verifies the worker's Accept (both signatures, and that it answers
// this very offer), opens its secret, and returns the session of the guild. The
// draft is wiped. Errors: core.ErrInvalid, core.ErrDenied.
func (d *Draft) OpenAccept(accept []byte, now func() time.Time) (*core.Accept, *Session, error) {
	fail := func(err error) (*core.Accept, *Session, error) {
		return nil, nil, fmt.Errorf("accept of %s: %w", d.Offer.Recipient, err)
	}
	if d.private == nil {
		return fail(fmt.Errorf("the draft was wiped: %w", core.ErrConflict))
	}
	doc, err := core.Parse[core.Accept](accept)
	if err != nil {
		return fail(err)
	}
	if err := core.Verify(doc, d.Offer.Network); err != nil {
		return fail(err)
	}
	if err := core.CheckAccept(d.Offer, doc); err != nil {
		return fail(err)
	}
	sealed, err := unb64(doc.Sealed, keyBytes+secretBytes+16)
	if err != nil {
		return fail(err)
	}
	secret, err := open(d.private, acceptContext(d.Offer, d.Guild), sealed)
	if err != nil {
		return fail(err)
	}
	defer clear(secret)
	s, err := newSession(d.Offer, doc, d.Guild, core.RoleRequester, d.secret, secret, now)
	if err != nil {
		return fail(err)
	}
	d.Wipe()
	return doc, s, nil
}
