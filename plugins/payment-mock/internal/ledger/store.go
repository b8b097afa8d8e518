package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/zerostate/zerostate/core"
)

// Keys of the store. A channel's are followed by role and channel id.
const (
	prefixChannel = "channel/" // record
	prefixAttempt = "attempt/" // .../task/attempt: was locked once
	prefixDone    = "done/"    // .../sha256 of an idempotency key: done
	prefixLog     = "log/"     // 8 bytes, big endian: Entry
)

// The operations that an idempotency key may stand for.
const (
	opOpen    = "open"
	opUpdate  = "update"
	opClose   = "close"
	opDispute = "dispute"
)

// record is what the store holds of one side of a channel.
type record struct {
	Params       []byte   `json:"params"`
	State        []byte   `json:"state,omitempty"`
	Pending      *pending `json:"pending,omitempty"`
	Filing       *filing  `json:"filing,omitempty"`
	Dispute      *dispute `json:"dispute,omitempty"`
	Closed       bool     `json:"closed,omitempty"`
	PaidMicros   int64    `json:"paidMicros,omitempty"`
	RefundMicros int64    `json:"refundMicros,omitempty"`
}

// pending is the payer's proposal that waits for the payee's signature.
type pending struct {
	Key      string `json:"key"`
	Op       string `json:"op"`
	Request  string `json:"request"` // digest of what was asked for
	Document []byte `json:"document"`
}

// done is a call that is finished: what its key stands for, for ever.
type done struct {
	Op       string `json:"op"`
	Request  string `json:"request,omitempty"`
	Document []byte `json:"document"`
}

// Entry is one line of the settlement log.
type Entry struct {
	Time         core.Time `json:"time"`
	Kind         string    `json:"kind"` // "escrow", "claim", "close", "settle"
	Channel      string    `json:"channel"`
	Role         string    `json:"role"`
	PaidMicros   int64     `json:"paidMicros"`
	RefundMicros int64     `json:"refundMicros"`
	Document     []byte    `json:"document,omitempty"` // state or claim, with its signatures
}

func (k channelKey) suffix() string { return string(k.role) + "/" + k.id }

func doneKey(k channelKey, key string) []byte {
	h := sha256.Sum256([]byte(key))
	return []byte(prefixDone + k.suffix() + "/" + hex.EncodeToString(h[:]))
}

func attemptKey(k channelKey, lock core.Lock) []byte {
	return fmt.Appendf(nil, "%s%s/%s/%d", prefixAttempt, k.suffix(), lock.Task, lock.Attempt)
}

// load reads every channel and adds up the balances.
func (l *Ledger) load() error {
	if err := l.each(prefixChannel, l.loadChannel); err != nil {
		return err
	}
	return l.each(prefixLog, func(string, []byte) error {
		l.logSize++
		return nil
	})
}

// each calls f for every key with the prefix, which is cut off.
func (l *Ledger) each(prefix string, f func(rest string, value []byte) error) error {
	end := []byte(prefix)
	end[len(end)-1]++
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: []byte(prefix), UpperBound: end})
	if err != nil {
		return err
	}
	for it.First(); it.Valid(); it.Next() {
		if err := f(strings.TrimPrefix(string(it.Key()), prefix), it.Value()); err != nil {
			return errors.Join(err, it.Close())
		}
	}
	return it.Close()
}

func (l *Ledger) loadChannel(rest string, value []byte) error {
	role, id, _ := strings.Cut(rest, "/")
	c := &channel{key: channelKey{id, core.ChannelRole(role)}, stored: true}
	if err := json.Unmarshal(value, &c.record); err != nil {
		return fmt.Errorf("channel %.8s: %w", id, err)
	}
	if err := c.parse(); err != nil {
		return fmt.Errorf("channel %.8s: %w", id, err)
	}
	l.channels[c.key] = c
	for who, micros := range c.effect() {
		l.balance[who] += micros
	}
	return nil
}

// parse fills what is derived from the record.
func (c *channel) parse() (err error) {
	if c.params, err = core.ParseParams(c.Params); err != nil {
		return err
	}
	c.state = nil
	if c.State != nil {
		c.state, err = c.params.ParseState(c.State)
	}
	return err
}

// effect is what the channel does to the balances of accounts. A payer's deposit
// is gone from the proposal of the opening state on; what comes back, and what
// the payee gets, is paid when the channel is closed, once.
func (c *channel) effect() map[core.DID]int64 {
	switch {
	case c.key.role == core.RolePayer:
		return map[core.DID]int64{c.params.Payer: c.RefundMicros - c.params.DepositMicros}
	case c.Closed:
		return map[core.DID]int64{c.params.Payee: c.PaidMicros}
	}
	return nil
}

// change is everything that one call writes, in one batch.
type change struct {
	record  record
	locks   []core.Lock // attempts that are locked from now on
	doneKey string      // empty: the call is not finished
	done    done
	log     *Entry
}

// write makes a change durable, then visible. The caller holds c.mu.
func (l *Ledger) write(c *channel, ch change) error {
	batch := l.db.NewBatch()
	if err := l.fill(batch, c, ch); err != nil {
		return errors.Join(err, batch.Close())
	}
	if err := batch.Commit(pebble.Sync); err != nil {
		return fmt.Errorf("write channel %.8s: %w", c.key.id, err)
	}
	before := c.effect()
	c.record = ch.record
	if err := c.parse(); err != nil {
		return fmt.Errorf("channel %.8s as written: %w", c.key.id, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.stored {
		for who, micros := range before {
			l.balance[who] -= micros
		}
	}
	c.stored = true
	for who, micros := range c.effect() {
		l.balance[who] += micros
	}
	return nil
}

func (l *Ledger) fill(batch *pebble.Batch, c *channel, ch change) error {
	if err := setJSON(batch, []byte(prefixChannel+c.key.suffix()), ch.record); err != nil {
		return err
	}
	for _, lock := range ch.locks {
		if err := batch.Set(attemptKey(c.key, lock), nil, nil); err != nil {
			return err
		}
	}
	if ch.doneKey != "" {
		if err := setJSON(batch, doneKey(c.key, ch.doneKey), ch.done); err != nil {
			return err
		}
	}
	if ch.log == nil {
		return nil
	}
	ch.log.Time, ch.log.Channel, ch.log.Role = core.TimeOf(l.cfg.Now()), c.key.id, string(c.key.role)
	l.mu.Lock()
	n := l.logSize
	l.logSize++ // a number that a failed write leaves out is not used again
	l.mu.Unlock()
	return setJSON(batch, binary.BigEndian.AppendUint64([]byte(prefixLog), n), ch.log)
}

func setJSON(batch *pebble.Batch, key []byte, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return batch.Set(key, b, nil)
}

// finished answers what a key of a finished call stands for.
func (l *Ledger) finished(c channelKey, key string) (*done, error) {
	value, closer, err := l.db.Get(doneKey(c, key))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil //nolint:nilnil // nothing found is no error here
	}
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	var d done
	return &d, errors.Join(json.Unmarshal(value, &d), closer.Close())
}

// lockedBefore refuses a lock whose attempt the channel has locked already.
func (l *Ledger) lockedBefore(c channelKey, locks []core.Lock) error {
	for _, lock := range locks {
		_, closer, err := l.db.Get(attemptKey(c, lock))
		switch {
		case errors.Is(err, pebble.ErrNotFound):
			continue
		case err != nil:
			return fmt.Errorf("read attempt: %w", err)
		}
		return errors.Join(fmt.Errorf("lock %.8s attempt %d: was locked before: %w", lock.Task, lock.Attempt, core.ErrExists), closer.Close())
	}
	return nil
}

// Log answers the settlement log from its start.
func (l *Ledger) Log() ([]Entry, error) {
	var out []Entry
	err := l.each(prefixLog, func(_ string, value []byte) error {
		var e Entry
		err := json.Unmarshal(value, &e)
		out = append(out, e)
		return err
	})
	return out, err
}

// silent is a pebble.Logger that says nothing until the store can not go on.
type silent struct{}

// Infof implements pebble.Logger.
func (silent) Infof(string, ...any) {}

// Errorf implements pebble.Logger.
func (silent) Errorf(string, ...any) {}

// Fatalf implements pebble.Logger: the store can not promise anything any more,
// so the process ends and its host starts it again.
func (silent) Fatalf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "ledger: "+format+"\n", args...)
	os.Exit(1)
}
