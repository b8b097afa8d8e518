package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/store"
)

const auditPrefix = "audit/"

// anchorEvery is how often the head of the audit log is written to the anchors.
const anchorEvery = time.Hour

// auditLog is the node's chain of signed entries. Its head travels in receipts
// and channel states, so that a counterparty's papers show a cut or a rewrite.
type auditLog struct {
	store   *store.Store
	signer  core.Signer
	network string
	now     func() time.Time
	anchors string // path of the anchors file

	mu   sync.Mutex
	last *core.AuditEntry
	head core.AuditHead
}

// Anchor is a head of the audit log, set down outside of it: one JSON object a
// line of <home>/audit/anchors.jsonl, to be copied to where the node can not
// reach.
type Anchor struct {
	Time string `json:"time"`
	Size int64  `json:"size"`
	Root string `json:"root"`
}

func openAudit(s *store.Store, signer core.Signer, network, home string, now func() time.Time) (*auditLog, error) {
	a := &auditLog{store: s, signer: signer, network: network, now: now, head: core.EmptyAuditHead()}
	dir := filepath.Join(home, "audit")
	if err := os.MkdirAll(dir, homePerm); err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	a.anchors = filepath.Join(dir, "anchors.jsonl")
	for p, err := range s.Scan(auditPrefix) {
		if err != nil {
			return nil, fmt.Errorf("open audit log: %w", err)
		}
		if a.last, err = core.Parse[core.AuditEntry](p.Value); err != nil {
			return nil, fmt.Errorf("open audit log: %s: %w", p.Key, err)
		}
	}
	if a.last == nil {
		return a, nil
	}
	head, err := a.last.Head()
	if err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	a.head = head
	return a, nil
}

func auditKey(index int64) string { return fmt.Sprintf("%s%016d", auditPrefix, index) }

// append signs and keeps one entry; digest may be empty. It returns when the
// entry is on disk.
func (a *auditLog) append(kind core.AuditKind, subject, digest string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := a.now()
	if a.last != nil && at.Before(a.last.Time.Time()) {
		at = a.last.Time.Time() // the clock went back; the log does not
	}
	e := &core.AuditEntry{
		Index: a.head.Size, Kind: kind, Network: a.network, Node: a.signer.DID(),
		Subject: subject, Digest: digest, Time: core.TimeOf(at),
	}
	if a.last != nil {
		e.Prev = a.head.Root
	}
	if err := core.Sign(e, a.signer); err != nil {
		return fmt.Errorf("audit %s: %w", kind, err)
	}
	data, err := core.Encode(e)
	if err != nil {
		return fmt.Errorf("audit %s: %w", kind, err)
	}
	head, err := e.Head()
	if err != nil {
		return fmt.Errorf("audit %s: %w", kind, err)
	}
	if err := a.store.Set(auditKey(e.Index), data); err != nil {
		return fmt.Errorf("audit %s: %w", kind, err)
	}
	a.last, a.head = e, head
	return nil
}

// current is the head of the log now.
func (a *auditLog) current() core.AuditHead {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.head
}

// entries answers up to limit entries from index on, as canonical bytes.
func (a *auditLog) entries(from, limit int64) ([][]byte, error) {
	size := a.current().Size
	var out [][]byte
	for i := max(from, 0); i < size && int64(len(out)) < limit; i++ {
		b, err := a.store.Get(auditKey(i))
		if err != nil {
			return nil, fmt.Errorf("audit entry %d: %w", i, err)
		}
		out = append(out, b)
	}
	return out, nil
}

// SeenHead is a head of this node's audit log as somebody else's paper shows it.
type SeenHead struct {
	core.AuditHead
	From string // which paper, for the error
}

// verify checks every entry's signature, the chain, every anchor and every head
// that others have seen. The error is core.ErrDenied and names the first entry
// or paper that does not agree.
func (a *auditLog) verify(seen []SeenHead) (core.AuditHead, error) {
	anchors, err := a.readAnchors()
	if err != nil {
		return core.AuditHead{}, err
	}
	for _, an := range anchors {
		seen = append(seen, SeenHead{core.AuditHead{Size: an.Size, Root: an.Root}, "the anchor of " + an.Time})
	}
	size := a.current().Size
	roots := make([]string, 1, size+1)
	roots[0] = core.EmptyAuditRoot
	var prev *core.AuditEntry
	for i := range size {
		e, err := a.verifyEntry(i, prev)
		if err != nil {
			return core.AuditHead{}, err
		}
		head, err := e.Head()
		if err != nil {
			return core.AuditHead{}, fmt.Errorf("audit entry %d: %w", i, err)
		}
		roots, prev = append(roots, head.Root), e
	}
	for _, h := range seen {
		if h.Size > size {
			return core.AuditHead{}, fmt.Errorf("%s shows %d entries, the log has %d: its tail was cut: %w", h.From, h.Size, size, core.ErrDenied)
		}
		if roots[h.Size] != h.Root {
			return core.AuditHead{}, fmt.Errorf("%s shows another log of %d entries: this one was rewritten: %w", h.From, h.Size, core.ErrDenied)
		}
	}
	return core.AuditHead{Size: size, Root: roots[size]}, nil
}

func (a *auditLog) verifyEntry(i int64, prev *core.AuditEntry) (*core.AuditEntry, error) {
	b, err := a.store.Get(auditKey(i))
	if err != nil {
		return nil, fmt.Errorf("audit entry %d is missing: %w", i, errors.Join(err, core.ErrDenied))
	}
	e, err := core.Parse[core.AuditEntry](b)
	if err != nil {
		return nil, fmt.Errorf("audit entry %d: %w", i, errors.Join(err, core.ErrDenied))
	}
	if err := core.Verify(e, a.network); err != nil {
		return nil, fmt.Errorf("audit entry %d: %w", i, err)
	}
	if e.Node != a.signer.DID() {
		return nil, fmt.Errorf("audit entry %d is signed by another node: %w", i, core.ErrDenied)
	}
	if err := core.CheckChain(prev, e); err != nil {
		return nil, fmt.Errorf("%w: %w", err, core.ErrDenied)
	}
	return e, nil
}

// anchor sets the present head down in the anchors file, synced.
func (a *auditLog) anchor() (Anchor, error) {
	head := a.current()
	an := Anchor{Time: a.now().UTC().Format(time.RFC3339), Size: head.Size, Root: head.Root}
	line, err := json.Marshal(an)
	if err != nil {
		return Anchor{}, fmt.Errorf("anchor: %w", err)
	}
	f, err := os.OpenFile(a.anchors, os.O_CREATE|os.O_APPEND|os.O_WRONLY, keyPerm)
	if err != nil {
		return Anchor{}, fmt.Errorf("anchor: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return Anchor{}, fmt.Errorf("anchor: %w", err)
	}
	return an, nil
}

func (a *auditLog) readAnchors() ([]Anchor, error) {
	f, err := os.Open(a.anchors)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read anchors: %w", err)
	}
	var out []Anchor
	for dec := json.NewDecoder(f); dec.More(); {
		var an Anchor
		if err := dec.Decode(&an); err != nil {
			return nil, errors.Join(fmt.Errorf("read anchors: line %d of %s: %w", len(out)+1, a.anchors, err), f.Close())
		}
		out = append(out, an)
	}
	return out, f.Close()
}
