package guild

import (
	"crypto/ecdh"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/zerostate/zerostate/core"
)

const (
	// SealKeyLife is how long a seal key is offered in card records.
	SealKeyLife = 24*time.Hour - SealKeyGrace
	// SealKeyGrace is how long a replaced seal key still opens Offers.
	SealKeyGrace = 10 * time.Minute
)

// SealKeys is the node's X25519 key that Offers are sealed to, and the one
// before it. It lies in one file, 0600. Methods are safe for concurrent use.
type SealKeys struct {
	path   string
	now    func() time.Time
	random io.Reader

	mu   sync.Mutex
	keys []sealKey // the current one first, then those in their grace
}

type sealKey struct {
	private *ecdh.PrivateKey
	made    time.Time
	until   time.Time // it opens nothing from then on
}

type sealKeyFile struct {
	Keys []sealKeyEntry `json:"keys"`
}

type sealKeyEntry struct {
	Private string    `json:"private"`
	Made    time.Time `json:"made"`
	Until   time.Time `json:"until"`
}

// SealKey is what a card record says of the seal key.
type SealKey struct {
	Public string    // 32 bytes, unpadded base64url
	Until  core.Time // use it no longer
}

// OpenSealKeys reads the seal keys from path, or makes the first one. A file
// that others may read is core.ErrDenied, a damaged one core.ErrInvalid.
func OpenSealKeys(path string, now func() time.Time, random io.Reader) (*SealKeys, error) {
	k := &SealKeys{path: path, now: now, random: random}
	if err := k.load(); err != nil {
		return nil, fmt.Errorf("seal keys: %w", err)
	}
	_, err := k.Current()
	return k, err
}

func (k *SealKeys) load() error {
	info, err := os.Stat(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s may be read by others (mode %#o): %w", filepath.Base(k.path), info.Mode().Perm(), core.ErrDenied)
	}
	raw, err := os.ReadFile(k.path)
	if err != nil {
		return err
	}
	defer clear(raw)
	var file sealKeyFile
	if err := json.Unmarshal(raw, &file); err != nil {
		return fmt.Errorf("%s: %w: %w", filepath.Base(k.path), core.ErrInvalid, err)
	}
	for _, e := range file.Keys {
		b, err := unb64(e.Private, keyBytes)
		if err != nil {
			return err
		}
		private, err := ecdh.X25519().NewPrivateKey(b)
		if err != nil {
			return fmt.Errorf("x25519 key (%w): %w", err, core.ErrInvalid)
		}
		clear(b)
		k.keys = append(k.keys, sealKey{private: private, made: e.Made, until: e.Until})
	}
	return nil
}

// Current returns the key to put into card records now; it makes a new one
// where the last is SealKeyLife old, and deletes those past their grace.
func (k *SealKeys) Current() (SealKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	if len(k.keys) == 0 || !now.Before(k.keys[0].made.Add(SealKeyLife)) || now.Before(k.keys[0].made) {
		if err := k.rotate(now); err != nil {
			return SealKey{}, err
		}
	} else if err := k.expire(now); err != nil {
		return SealKey{}, err
	}
	cur := k.keys[0]
	return SealKey{Public: b64(cur.private.PublicKey().Bytes()), Until: core.TimeOf(cur.made.Add(SealKeyLife))}, nil
}

// Rotate makes a new key at once; the old one opens Offers for SealKeyGrace.
func (k *SealKeys) Rotate() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.rotate(k.now())
}

// NextRotation returns when Current will make a new key.
func (k *SealKeys) NextRotation() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keys[0].made.Add(SealKeyLife)
}

func (k *SealKeys) rotate(now time.Time) error {
	private, err := drawKey(k.random)
	if err != nil {
		return fmt.Errorf("seal key: %w", err)
	}
	keys := []sealKey{{private: private, made: now, until: now.Add(SealKeyLife + SealKeyGrace)}}
	for _, old := range k.keys {
		if grace := now.Add(SealKeyGrace); grace.Before(old.until) {
			old.until = grace
		}
		if now.Before(old.until) {
			keys = append(keys, old)
		}
	}
	return k.store(keys)
}

// expire deletes keys whose grace is over.
func (k *SealKeys) expire(now time.Time) error {
	keep := k.keys[:0:0]
	for i, key := range k.keys {
		if i == 0 || now.Before(key.until) {
			keep = append(keep, key)
		}
	}
	if len(keep) == len(k.keys) {
		return nil
	}
	return k.store(keep)
}

// store replaces the file, synced, and then what is in memory.
func (k *SealKeys) store(keys []sealKey) error {
	var file sealKeyFile
	for _, key := range keys {
		file.Keys = append(file.Keys, sealKeyEntry{Private: b64(key.private.Bytes()), Made: key.made, Until: key.until})
	}
	raw, err := json.Marshal(file)
	if err != nil {
		return fmt.Errorf("seal keys: %w", err)
	}
	defer clear(raw)
	f, err := os.CreateTemp(filepath.Dir(k.path), ".seal-") // 0600
	if err != nil {
		return fmt.Errorf("seal keys: %w", err)
	}
	_, err = f.Write(raw)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), k.path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("seal keys: %w", err), os.Remove(f.Name()))
	}
	k.keys = keys
	return nil
}

// find returns the private key with this hash; core.ErrConflict says that the
// sender's record is old, and that it should resolve again.
func (k *SealKeys) find(hash string) (*ecdh.PrivateKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	for _, key := range k.keys {
		if keyHash(key.private.PublicKey().Bytes()) == hash && now.Before(key.until) {
			return key.private, nil
		}
	}
	return nil, fmt.Errorf("seal key %.12s is not in use: %w", hash, core.ErrConflict)
}
