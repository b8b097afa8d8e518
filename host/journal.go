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

func (k runKey) path() string {
	return fmt.Sprintf("%s%s/%s/%s/%d", journalPrefix, k.Requester, k.Channel, k.Task, k.Attempt)
}

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
	return fmt.Sprintf("%s%s/%d", receiptPrefix, task, attempt)
}

func (b *receiptBook) put(task string, attempt int64, envelope []byte) error {
	return b.store.Set(receiptKey(task, attempt), envelope)
}

func (b *receiptBook) get(task string, attempt int64) ([]byte, error) {
	return b.store.Get(receiptKey(task, attempt))
}

// latest answers the receipt of the last attempt of a task.
func (b *receiptBook) latest(task string) ([]byte, error) {
	var last []byte
	for p, err := range b.store.Scan(receiptPrefix + task) {
		if err != nil {
			return nil, err
		}
		last = p.Value
	}
	if last == nil {
		return nil, fmt.Errorf("no receipt of task %.16s: %w", task, core.ErrNotFound)
	}
	return last, nil
}

// absent reports whether err says that nothing is stored.
func absent(err error) bool { return errors.Is(err, core.ErrNotFound) }
