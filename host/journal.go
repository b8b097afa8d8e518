package host

import (
	"errors"
	"fmt"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/store"
)

const (
	journalPrefix = "journal/"
	receiptPrefix = "receipt/"
)

// runKey names a run: the worker runs each at most once (PROTOCOL.md, "Receipt").
type runKey struct {
	Requester core.DID // whose key countersigns
	Channel   string
	Task      string
	Attempt   int64
}

// lock is where the runs of one lock lie: at most one, since a lock has one
// receipt.
func (k runKey) lock() string {
	return fmt.Sprintf("%s%s/%s/%d/", journalPrefix, k.Channel, k.Task, k.Attempt)
}

func (k runKey) path() string { return k.lock() + string(k.Requester) }

// journalEntry is a run that was accepted, with every field of its receipt that
// the Offer fixes. It is on disk before the Accept leaves.
type journalEntry struct {
	Key       runKey            `json:"key"`
	OfferHash string            `json:"offer"`
	Manifest  []byte            `json:"manifest"`
	Lock      core.Lock         `json:"lock"`
	Terms     core.ReceiptTerms `json:"terms"`
	Accepted  core.Time         `json:"accepted"`
	Receipt   []byte            `json:"receipt,omitempty"` // signed by the agent, once it ended
	Summary   []byte            `json:"summary,omitempty"`
	Outputs   []storedOutput    `json:"outputs,omitempty"`
}

// storedOutput is an output kept for its requester.
type storedOutput struct {
	Name string `json:"name"`
	contentRef
}

// journal is the worker's memory of what it accepted.
type journal struct {
	store *store.Store
}

func (j *journal) get(k runKey) (*journalEntry, error) {
	e := new(journalEntry)
	if err := j.store.GetJSON(k.path(), e); err != nil {
		return nil, err
	}
	return e, nil
}

// lockTaken says whether a run of k's lock is journalled, under any requester.
func (j *journal) lockTaken(k runKey) (bool, error) {
	for _, err := range j.store.Scan(k.lock()) {
		return err == nil, err
	}
	return false, nil
}

func (j *journal) put(e *journalEntry) error { return j.store.SetJSON(e.Key.path(), e) }

// open answers every accepted run that has no receipt.
func (j *journal) open() ([]*journalEntry, error) {
	var out []*journalEntry
	for e, err := range store.ScanJSON[*journalEntry](j.store, journalPrefix) {
		if err != nil {
			return nil, err
		}
		if len(e.Receipt) == 0 {
			out = append(out, e)
		}
	}
	return out, nil
}

// receiptBook keeps the receipts of tasks, ours as worker and as requester. A
// countersigned one replaces the worker's.
type receiptBook struct {
	store *store.Store
}

func receiptKey(task string, attempt int64) string {
	return fmt.Sprintf("%s%s/%016d/", receiptPrefix, task, attempt)
}

// put keeps the receipt of a lock. The channel that it names is part of its
// key: what one requester brings about does not touch the receipts of another.
func (b *receiptBook) put(task string, attempt int64, envelope []byte) error {
	r, err := core.ParseReceipt(envelope)
	if err != nil {
		return err
	}
	return b.store.Set(receiptKey(task, attempt)+r.Receipt.Predicate.Channel, envelope)
}

// ofLock answers the receipt of a lock.
func (b *receiptBook) ofLock(channel, task string, attempt int64) ([]byte, error) {
	return b.store.Get(receiptKey(task, attempt) + channel)
}

// get answers a receipt of an attempt, whichever channel pays for it.
func (b *receiptBook) get(task string, attempt int64) ([]byte, error) {
	for p, err := range b.store.Scan(receiptKey(task, attempt)) {
		return p.Value, err
	}
	return nil, fmt.Errorf("no receipt of task %.16s, attempt %d: %w", task, attempt, core.ErrNotFound)
}

// absent reports whether err says that nothing is stored.
func absent(err error) bool { return errors.Is(err, core.ErrNotFound) }
