package core

import "fmt"

// receiptKey names the lock that a receipt may end.
func receiptKey(r *Receipt) lockKey {
	return lockKey{r.Predicate.Task, r.Predicate.Attempt}
}

// ReceiptOfLock says whether a receipt may end a lock of the channel: it is of
// the same network, channel, nodes, task, attempt, agent and price, names the
// lock's digest, and charges no more than the lock. It does not verify
// signatures: see VerifyReceipt. ErrInvalid, naming each field that differs.
func ReceiptOfLock(p *Params, l Lock, r *Receipt) error {
	id, err := p.ChannelID()
	if err != nil {
		return err
	}
	digest, err := LockDigest(l)
	if err != nil {
		return err
	}
	t := r.Predicate.ReceiptTerms
	price, err := PriceHash(t.Price)
	if err != nil {
		return fmt.Errorf("receipt: %w", err)
	}
	var f fieldChecks
	f.that("predicate.network", t.Network == p.Network, "is another network")
	f.that("predicate.channel", t.Channel == id, "is another channel")
	f.that("predicate.requesterNode", t.RequesterNode == p.Payer, "is not the payer")
	f.that("predicate.workerNode", t.WorkerNode == p.Payee, "is not the payee")
	f.that("predicate.task", t.Task == l.Task && t.Attempt == l.Attempt, "is not what the lock is for")
	f.that("predicate.agent", t.Agent == l.Agent, "is not whom the lock names")
	f.that("predicate.lock", t.Lock == digest, "is another lock")
	f.that("predicate.price", price == l.PriceHash, "is not what the lock names")
	f.that("predicate.price.currency", t.Price.Currency == p.Currency, "is not the channel's")
	f.that("predicate.maxMicros", t.MaxMicros == l.MaxMicros, "is not the lock's")
	f.that("predicate.chargeMicros", receiptCharge(r) >= 0 && receiptCharge(r) <= l.MaxMicros, "is more than the lock")
	if err := f.err(); err != nil {
		return fmt.Errorf("receipt: %w", err)
	}
	return nil
}

// receiptCharge is what the receipt charges, micro-units.
func receiptCharge(r *Receipt) int64 { return r.Predicate.ChargeMicros }

// SettlementOf is what a receipt asks of the channel: its lock, and the charge.
func SettlementOf(r *Receipt) Settlement {
	k := receiptKey(r)
	return Settlement{Task: k.task, Attempt: k.attempt, ChargeMicros: receiptCharge(r)}
}
