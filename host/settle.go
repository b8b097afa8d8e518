package host

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/peerpb"
	"github.com/zerostate/zerostate/host/internal/store"
)

// lockSlack is how much later than it must a lock expires: the time that the
// Offer is under way.
const lockSlack = 15 * time.Second

// escrow quotes the task, holds the quote against the policy, opens or reuses a
// channel with the worker's node, and sends the lock on its way: it travels
// beside the Offer, and the worker starts when it stands.
func (t *taskRun) escrow(ctx context.Context, c candidate) (string, error) {
	h, err := t.hireFor(ctx, c)
	if err != nil {
		return "", err
	}
	t.hired = h
	r := t.result
	r.Task, r.Agent, r.AgentName, r.Node = h.id, h.agent(), h.name(), h.node()
	r.Manifest, r.Module = h.manifest, h.task.Spec.Module.Digest.SHA256
	price := h.task.Spec.Settlement
	quote, err := t.n.payment.Quote(ctx, core.QuoteRequest{Price: price, MaxUnits: h.task.Spec.MaxUnits(t.inputs), Currency: price.Currency})
	if err != nil {
		return "", fmt.Errorf("quote: %w", err)
	}
	if err := t.allow(quote.MaxMicros); err != nil {
		return "", err
	}
	if t.channel, err = t.n.channels.ensure(ctx, h.node(), quote.MaxMicros); err != nil {
		return "", err
	}
	if err := t.makeLock(quote.MaxMicros); err != nil {
		t.channel.forgo(quote.MaxMicros)
		return "", err
	}
	r.Attempt, r.Max, r.Currency, r.Channel = t.lock.Attempt, quote.MaxMicros, price.Currency, t.channel.id
	locking := make(chan error, 1)
	t.locking = locking
	lctx := context.WithoutCancel(ctx)
	t.n.work.Go(func() { locking <- t.n.channels.lock(lctx, t.channel, t.lock) })
	return fmt.Sprintf("at most %d micros locked in channel %s", quote.MaxMicros, short(t.channel.id)), nil
}

// allow holds a quote against the policy, which binds whatever a document says.
func (t *taskRun) allow(quote int64) error {
	limit := t.n.cfg.Policy.MaxChargeMicros
	if t.req.MaxMicros > 0 {
		limit = min(limit, t.req.MaxMicros)
	}
	if quote > limit {
		return fmt.Errorf("%s may charge up to %d micros, policy.max_charge allows %d: %w", t.hired.name(), quote, limit, core.ErrDenied)
	}
	if err := t.n.spend.reserve(quote); err != nil {
		return err
	}
	t.reserved = quote
	return nil
}

// makeLock numbers the attempt, on disk before its Offer, and fixes the lock.
func (t *taskRun) makeLock(maxMicros int64) error {
	attempt, err := t.n.tasks.nextAttempt(t.hired.id)
	if err != nil {
		return err
	}
	hash, err := core.PriceHash(t.hired.task.Spec.Settlement)
	if err != nil {
		return err
	}
	work := t.hired.task.Spec.Limits.WallTimeout() + transferTime
	t.lock = core.Lock{
		Agent: t.hired.agent(), Attempt: attempt, MaxMicros: maxMicros, PriceHash: hash, Task: t.hired.id,
		Expires: core.TimeOf(t.n.now().Add(work + core.LockMargin + lockSlack)),
	}
	return core.CheckLock(t.lock, work, t.n.now(), false)
}

// settle checks the receipt against what came back, countersigns it, pays what
// was metered, rates the agent, and tells router and audit log.
func (t *taskRun) settle(ctx context.Context) (string, error) {
	signed, summary, err := t.checkReceipt()
	if err != nil {
		return "", errors.Join(err, t.n.audit.append(core.AuditEvidence, t.hired.id, sha256Hex(t.back.receipt)))
	}
	envelope, err := core.Countersign(t.back.receipt, t.rater)
	if err != nil {
		return "", err
	}
	p := signed.Receipt.Predicate
	r := t.result
	r.Receipt, r.Outcome, r.Charge, r.Reason = envelope, p.Outcome, p.ChargeMicros, p.Reason
	if p.ExitCode != nil {
		r.ExitCode = *p.ExitCode
	}
	r.Outputs, r.Stdout, r.Stderr = t.back.list(), t.back.stdout, t.back.stderr
	charge := p.ChargeMicros
	if _, err := t.n.receipts.ofLock(p.Channel, p.Task, p.Attempt); err == nil {
		charge = 0 // a Sync brought the receipt before the task's stream did, and counted it
	}
	if err := t.n.receipts.put(p.Task, p.Attempt, envelope); err != nil {
		return "", err
	}
	if err := t.back.ring.send(&peerpb.Settle{Receipt: envelope}); err != nil {
		t.n.logger(ctx).Debug("countersigned receipt not delivered", "task", short(p.Task), "error", err)
	}
	r.Settled = "paid"
	if err := t.n.channels.settle(ctx, t.channel, core.SettlementOf(signed.Receipt), envelope); err != nil {
		// The receipt is durable on both sides: the next Sync settles it.
		r.Settled = err.Error()
		t.n.logger(ctx).Warn("payment goes with the next sync", "task", short(p.Task), "error", err)
	}
	if err := t.n.spend.settle(t.reserved, charge); err != nil {
		return "", err
	}
	t.reserved = 0
	if err := t.rate(ctx, envelope, summary); err != nil {
		return "", err
	}
	t.n.observeRoute(ctx, t, true)
	detail := fmt.Sprintf("%s, %d %s micros of at most %d", p.Outcome, p.ChargeMicros, p.Price.Currency, p.MaxMicros)
	return detail, t.n.audit.append(core.AuditTaskSettle, p.Task, sha256Hex(envelope))
}

// checkReceipt verifies the worker's receipt and holds it against the task, the
// Offer and the bytes that came back.
func (t *taskRun) checkReceipt() (*core.SignedReceipt, *core.WorkSummary, error) {
	receipt, err := core.VerifyReceipt(t.back.receipt, t.n.cfg.Network.ID, true)
	if err != nil {
		return nil, nil, err
	}
	signed, err := core.ParseReceipt(t.back.receipt)
	if err != nil {
		return nil, nil, err
	}
	if err := receipt.CheckTask(t.hired.task); err != nil {
		return nil, nil, err
	}
	if err := receipt.CheckTerms(t.terms(receipt)); err != nil {
		return nil, nil, err
	}
	if err := receipt.CheckOutputs(t.back.digests()); err != nil {
		return nil, nil, err
	}
	// A guest that was cancelled before it started metered nothing.
	if m, seen := receipt.Predicate.Metering.Verifiable, t.inputs+t.back.bytes(); m.Req == 1 && m.Byte != seen {
		return nil, nil, fmt.Errorf("the receipt meters %d bytes, %d went in and out: %w", m.Byte, seen, core.ErrDenied)
	}
	summary, err := core.Parse[core.WorkSummary](t.back.summary)
	if err != nil {
		return nil, nil, err
	}
	return signed, summary, core.CheckSummary(summary, receipt)
}

// terms is what the Offer fixed. A receipt that joined a run of an earlier guild
// names that one: it is the first guild's, and only the guild may differ.
func (t *taskRun) terms(r *core.Receipt) core.ReceiptTerms {
	lock, err := core.LockDigest(t.lock)
	if err != nil {
		lock = ""
	}
	guildID := t.result.Guild
	if t.back.rejoined {
		guildID = r.Predicate.Guild
	}
	return core.ReceiptTerms{
		Network: t.n.cfg.Network.ID, RequesterNode: t.n.DID(), WorkerNode: t.hired.node(), Agent: t.hired.agent(),
		CardCID: t.hired.listing.record.CID, Requester: t.rater.DID(), Task: t.hired.id, Attempt: t.lock.Attempt,
		Guild: guildID, Price: t.hired.task.Spec.Settlement, MaxMicros: t.lock.MaxMicros, Channel: t.channel.id, Lock: lock,
	}
}

// rate appends the reputation event that the receipt backs.
func (t *taskRun) rate(ctx context.Context, envelope []byte, summary *core.WorkSummary) error {
	subject := []core.Subject{{Agent: t.hired.agent(), Node: t.hired.node()}}
	before, err := t.n.scores(ctx, subject)
	if err != nil {
		return fmt.Errorf("reputation: %w", err)
	}
	signed, err := core.ParseReceipt(envelope)
	if err != nil {
		return err
	}
	event, err := core.EventOf(signed, summary, t.n.now())
	if err != nil {
		return err
	}
	if err := core.Sign(event, t.rater); err != nil {
		return err
	}
	raw, err := core.Encode(event)
	if err != nil {
		return err
	}
	if _, err := t.n.reputation.Append(ctx, raw); err != nil {
		return fmt.Errorf("reputation: %w", err)
	}
	after, err := t.n.scores(ctx, subject)
	if err != nil {
		return fmt.Errorf("reputation: %w", err)
	}
	t.result.Before, t.result.After = before[0].Value, after[0].Value
	return t.n.audit.append(core.AuditReputationEvent, string(t.hired.agent()), sha256Hex(raw))
}

// scores asks the reputation plugin, believing oneself and the peers that one
// has paid, or those of reputation.raters.
func (n *Node) scores(ctx context.Context, subjects []core.Subject) ([]core.Score, error) {
	scores, err := n.reputation.Score(ctx, core.ScoreRequest{Subjects: subjects, Raters: n.raters()})
	if err != nil {
		return nil, fmt.Errorf("reputation: %w", err)
	}
	if len(scores) != len(subjects) {
		return nil, fmt.Errorf("reputation answered %d scores for %d agents: %w", len(scores), len(subjects), core.ErrInvalid)
	}
	return scores, nil
}

func (n *Node) scoreOf(ctx context.Context, l *listing) (float64, error) {
	s, err := n.scores(ctx, []core.Subject{{Agent: l.record.DID, Node: l.card.Params().Node}})
	if err != nil {
		return 0, err
	}
	return s[0].Value, nil
}

func (n *Node) raters() []core.RaterWeight {
	out := []core.RaterWeight{{Rater: n.DID(), Self: true}}
	for _, r := range n.cfg.Reputation.Raters {
		out = append(out, core.RaterWeight{Rater: core.DID(r), PaidMicros: 1})
	}
	if len(n.cfg.Reputation.Raters) > 0 || n.channels == nil {
		return out
	}
	paid := map[core.DID]int64{}
	for _, ch := range n.channels.list() {
		if i := ch.info(); i.Role == core.RolePayer && i.PayeeMicros > 0 {
			paid[i.Peer] += i.PayeeMicros
		}
	}
	for did, micros := range paid {
		out = append(out, core.RaterWeight{Rater: did, PaidMicros: micros})
	}
	return out
}

// allowance is what this node may still spend today (UTC): what was charged, on
// disk, and what is reserved for tasks under way, in memory.
type allowance struct {
	store *store.Store
	limit int64 // micro-units a day
	now   func() time.Time

	mu       sync.Mutex
	reserved int64
}

const spendPrefix = "spend/"

func (a *allowance) today() string { return spendPrefix + a.now().UTC().Format(time.DateOnly) }

func (a *allowance) spent() (int64, error) {
	var micros int64
	if err := a.store.GetJSON(a.today(), &micros); err != nil && !absent(err) {
		return 0, err
	}
	return micros, nil
}

// reserve sets micros aside, or answers core.ErrDenied.
func (a *allowance) reserve(micros int64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	spent, err := a.spent()
	if err != nil {
		return err
	}
	if spent+a.reserved+micros > a.limit {
		return fmt.Errorf("%d micros are spent today and %d reserved, policy.max_charge_per_day allows %d: %w", spent, a.reserved, a.limit, core.ErrDenied)
	}
	a.reserved += micros
	return nil
}

// settle turns a reservation into what was charged.
func (a *allowance) settle(reserved, charged int64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	spent, err := a.spent()
	if err != nil {
		return err
	}
	if err := a.store.SetJSON(a.today(), spent+charged); err != nil {
		return err
	}
	a.reserved -= reserved
	return nil
}

// giveBack ends a reservation for which nothing was charged.
func (a *allowance) giveBack(reserved int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reserved -= reserved
}
