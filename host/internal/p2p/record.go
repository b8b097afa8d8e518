package p2p

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/zerostate/zerostate/core"
)

// RecordInfo is what the DHT's part of a node reads from a card record.
type RecordInfo struct {
	DID       core.DID
	Seq       int64 // ms
	Signed    int64 // ms
	Tombstone bool
}

// RecordValidator checks and orders card records; keys are
// /zerostate-card/<n>/<did>. Errors wrap core.ErrInvalid or core.ErrDenied.
type RecordValidator interface {
	// Validate says whether value may stand under key now.
	Validate(key string, value []byte) error
	// Select returns the index of the best of several valid values.
	Select(key string, values [][]byte) (int, error)
	// Describe reads a valid value.
	Describe(value []byte) (RecordInfo, error)
}

// ResolveOptions says when an answer is good enough.
type ResolveOptions struct {
	// MinSeq takes the first valid record of at least this seq (ms), as an index
	// node's signed record gave it. 0: none is known.
	MinSeq int64
	// Agreement takes a record, where MinSeq is 0, that this many distinct
	// holders answered and none beat so far. 0 is 3.
	Agreement int
	// Newer, where not nil, is told of a better record that the rest of the
	// lookup brings within ten seconds after Resolve returned.
	Newer func(Resolved)
}

// Basis says what the answer of Resolve rests on.
type Basis string

// What an answer may rest on.
const (
	BasisMinSeq    Basis = "min-seq"   // at least the seq that was asked for
	BasisAgreement Basis = "agreement" // of so many distinct holders
	BasisComplete  Basis = "complete"  // the best of a whole lookup
	BasisTombstone Basis = "tombstone" // final, whoever holds it
)

// Evidence says how fresh an answer is and who gave it.
type Evidence struct {
	Basis      Basis
	Holders    int           // distinct nodes that answered this very record
	Asked      int           // nodes that answered at all
	Age        time.Duration // since the record was signed
	FirstValid time.Duration // from the call to the first valid record
	Elapsed    time.Duration // from the call to this answer
	Local      bool          // this node's own store or memory gave it first
}

// Resolved is a record with its evidence.
type Resolved struct {
	Record   []byte
	Info     RecordInfo
	Evidence Evidence
}

const (
	defaultAgreement = 3
	lookupTail       = 10 * time.Second
	maxTestimonies   = 4096
)

func recordKey(did core.DID) string { return "/" + recordNamespace + "/0/" + string(did) }

// Resolve asks the DHT for a did's card record. The answer is never older than
// what this node has used (Memory); a tombstone is final. Errors:
// core.ErrNotFound, core.ErrConflict where only older records are found.
func (n *Node) Resolve(ctx context.Context, did core.DID, opts ResolveOptions) (Resolved, error) {
	known, err := n.cfg.Memory.Known(did)
	if err != nil {
		return Resolved{}, fmt.Errorf("resolve %s: %w", did, err)
	}
	if known.Tombstone != nil {
		return n.knownTombstone(known.Tombstone)
	}
	l := &lookup{
		n: n, did: did, key: recordKey(did), floor: max(known.Seq, opts.MinSeq), opts: opts, start: time.Now(),
		holders: map[peer.ID]bool{}, witness: &witness{values: make(chan testimony, maxTestimonies)},
	}
	if opts.Agreement == 0 {
		l.opts.Agreement = defaultAgreement
	}
	answer, err := l.run(ctx)
	if err != nil {
		return Resolved{}, fmt.Errorf("resolve %s: %w", did, err)
	}
	return answer, n.remember(answer)
}

func (n *Node) knownTombstone(value []byte) (Resolved, error) {
	info, err := n.cfg.Records.Describe(value)
	if err != nil {
		return Resolved{}, fmt.Errorf("remembered tombstone: %w", err)
	}
	age := n.cfg.Now().Sub(time.UnixMilli(info.Signed))
	return Resolved{Record: value, Info: info, Evidence: Evidence{Basis: BasisTombstone, Local: true, Age: age}}, nil
}

func (n *Node) remember(r Resolved) error {
	k := Known{Seq: r.Info.Seq}
	if r.Info.Tombstone {
		k.Tombstone = r.Record
	}
	if err := n.cfg.Memory.Remember(r.Info.DID, k); err != nil {
		return fmt.Errorf("remember %s: %w", r.Info.DID, err)
	}
	return nil
}

// lookup is one walk through the DHT and what it has brought so far.
type lookup struct {
	n       *Node
	did     core.DID
	key     string
	floor   int64
	opts    ResolveOptions
	whole   bool // wait for the end, whatever is found
	start   time.Time
	witness *witness

	best       Resolved
	holders    map[peer.ID]bool // of best
	firstValid time.Duration
	older      bool // something was found, but older than the floor
}

// run returns the first answer that is good enough; the walk goes on in the
// background for a while, to bring holders and news.
func (l *lookup) run(ctx context.Context) (Resolved, error) {
	walk, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(l.n.ctx, cancel)
	abandon := func() { stop(); cancel() }
	local, err := l.n.dht.SearchValue(withWitness(walk, l.witness), l.key)
	if err != nil {
		abandon()
		return Resolved{}, unavailable(ctx, err)
	}
	self := l.n.host.ID()
	done := make(chan struct{})
	l.n.wg.Go(func() {
		defer close(done)
		for value := range local {
			// Values of others come by the witness; one that no peer sent is ours.
			l.witness.values <- testimony{peer: self, value: value}
		}
	})
	for {
		select {
		case <-ctx.Done():
			abandon()
			return Resolved{}, context.Cause(ctx)
		case t := <-l.witness.values:
			if !l.take(t) {
				continue
			}
			if basis, ok := l.enough(); ok && !l.whole {
				answer := l.answer(basis)
				l.followUp(done, abandon)
				return answer, nil
			}
		case <-done:
			abandon()
			return l.finish()
		}
	}
}

// take counts a testimony and says whether it is for the best record.
func (l *lookup) take(t testimony) bool {
	v := l.n.cfg.Records
	if l.best.Record != nil && bytes.Equal(t.value, l.best.Record) {
		if t.peer == l.n.host.ID() {
			// SearchValue repeats what a peer said; it is ours only if it is stored here.
			return true
		}
		l.holders[t.peer] = true
		return true
	}
	if v.Validate(l.key, t.value) != nil {
		return false
	}
	info, err := v.Describe(t.value)
	if err != nil || info.DID != l.did {
		return false
	}
	if l.firstValid == 0 {
		l.firstValid = time.Since(l.start)
	}
	if info.Seq < l.floor && !info.Tombstone {
		l.older = true
		return false
	}
	if l.best.Record != nil {
		i, err := v.Select(l.key, [][]byte{l.best.Record, t.value})
		if err != nil || i == 0 {
			return false
		}
	}
	l.best = Resolved{Record: slices.Clone(t.value), Info: info}
	l.best.Evidence.Local = t.peer == l.n.host.ID()
	clear(l.holders)
	l.holders[t.peer] = true
	return true
}

func (l *lookup) enough() (Basis, bool) {
	switch {
	case l.best.Info.Tombstone:
		return BasisTombstone, true
	case l.opts.MinSeq > 0 && l.best.Info.Seq >= l.opts.MinSeq:
		return BasisMinSeq, true
	case l.opts.MinSeq == 0 && len(l.holders) >= l.opts.Agreement:
		return BasisAgreement, true
	}
	return "", false
}

func (l *lookup) answer(basis Basis) Resolved {
	r := l.best
	local := r.Evidence.Local
	r.Evidence = Evidence{
		Basis: basis, Holders: len(l.holders), Asked: l.witness.askedPeers(), Local: local,
		Age:        l.n.cfg.Now().Sub(time.UnixMilli(r.Info.Signed)),
		FirstValid: l.firstValid, Elapsed: time.Since(l.start),
	}
	return r
}

// finish gives the best of a whole lookup.
func (l *lookup) finish() (Resolved, error) {
	for {
		select {
		case t := <-l.witness.values:
			l.take(t)
			continue
		default:
		}
		break
	}
	switch {
	case l.best.Record != nil:
		basis := BasisComplete
		if b, ok := l.enough(); ok {
			basis = b
		}
		return l.answer(basis), nil
	case l.older:
		return Resolved{}, fmt.Errorf("only records older than seq %d: %w", l.floor, core.ErrConflict)
	default:
		return Resolved{}, fmt.Errorf("no valid record among %d nodes: %w", l.witness.askedPeers(), core.ErrNotFound)
	}
}

// followUp tells of a better record that the rest of the walk brings.
func (l *lookup) followUp(done <-chan struct{}, abandon func()) {
	l.n.wg.Go(func() {
		defer abandon()
		limit := time.NewTimer(lookupTail)
		defer limit.Stop()
		for {
			select {
			case <-limit.C:
				return
			case <-done:
				return
			case t := <-l.witness.values:
				before := l.best.Record
				if !l.take(t) || bytes.Equal(before, l.best.Record) {
					continue
				}
				newer := l.answer(BasisComplete)
				if err := l.n.remember(newer); err != nil {
					l.n.log.Error("newer record", "did", l.did, "error", err)
				}
				if l.opts.Newer != nil {
					l.opts.Newer(newer)
				}
			}
		}
	})
}

// PutRecord stores a card record with the nodes nearest to its did, after
// reading what stands there, and reads it back. It returns the evidence of that
// read. The error is core.ErrConflict where a better record exists, which
// Resolve then brings; the store does not say so by itself.
func (n *Node) PutRecord(ctx context.Context, value []byte) (Evidence, error) {
	info, err := n.cfg.Records.Describe(value)
	if err != nil {
		return Evidence{}, fmt.Errorf("put record: %w", err)
	}
	key := recordKey(info.DID)
	if err := n.cfg.Records.Validate(key, value); err != nil {
		return Evidence{}, fmt.Errorf("put record: %w", err)
	}
	if _, err := n.checkBest(ctx, key, value, info); err != nil {
		return Evidence{}, err
	}
	if err := n.dht.PutValue(ctx, key, value); err != nil && n.dht.RoutingTable().Size() > 0 {
		return Evidence{}, unavailable(ctx, fmt.Errorf("put record of %s: %w", info.DID, err))
	}
	found, err := n.checkBest(ctx, key, value, info)
	if err != nil {
		return Evidence{}, err
	}
	if found.Record == nil {
		return Evidence{}, fmt.Errorf("put record of %s: no node holds it: %w", info.DID, core.ErrUnavailable)
	}
	return found.Evidence, n.remember(found)
}

// checkBest walks the whole DHT for the key and refuses where something stands
// there that beats value. Nothing found is not an error.
func (n *Node) checkBest(ctx context.Context, key string, value []byte, info RecordInfo) (Resolved, error) {
	l := &lookup{
		n: n, did: info.DID, key: key, whole: true, start: time.Now(), opts: ResolveOptions{Agreement: defaultAgreement},
		holders: map[peer.ID]bool{}, witness: &witness{values: make(chan testimony, maxTestimonies)},
	}
	known, err := n.cfg.Memory.Known(info.DID)
	if err != nil {
		return Resolved{}, fmt.Errorf("put record of %s: %w", info.DID, err)
	}
	if !info.Tombstone && (known.Tombstone != nil || known.Seq > info.Seq) {
		return Resolved{}, fmt.Errorf("put record of %s: a newer one was used here: %w", info.DID, core.ErrConflict)
	}
	best, err := l.run(ctx)
	if err != nil {
		if ctx.Err() == nil && (errors.Is(err, core.ErrNotFound) || n.dht.RoutingTable().Size() == 0) {
			return Resolved{}, nil // nothing stands there yet
		}
		return Resolved{}, fmt.Errorf("put record of %s: %w", info.DID, err)
	}
	if bytes.Equal(best.Record, value) {
		return best, nil
	}
	i, err := n.cfg.Records.Select(key, [][]byte{value, best.Record})
	if err != nil {
		return Resolved{}, fmt.Errorf("put record of %s: %w", info.DID, err)
	}
	if i != 0 {
		return Resolved{}, fmt.Errorf("put record of %s: seq %d is beaten by seq %d: %w", info.DID, info.Seq, best.Info.Seq, core.ErrConflict)
	}
	return Resolved{}, nil
}

// NoteTombstone makes a revocation that arrived by any
// way final for this node. It checks the record first.
func (n *Node) NoteTombstone(value []byte) (core.DID, error) {
	info, err := n.cfg.Records.Describe(value)
	if err != nil {
		return "", fmt.Errorf("tombstone: %w", err)
	}
	if !info.Tombstone {
		return "", fmt.Errorf("record of %s is no tombstone: %w", info.DID, core.ErrInvalid)
	}
	if err := n.cfg.Records.Validate(recordKey(info.DID), value); err != nil {
		return "", fmt.Errorf("tombstone of %s: %w", info.DID, err)
	}
	return info.DID, n.remember(Resolved{Record: value, Info: info})
}
