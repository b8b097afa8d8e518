package guild

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/zerostate/zerostate/core"
)

// epoch is the guild's only one while it has two members.
const epoch = 1

// maxGeneration is the last number that a frame may bear.
const maxGeneration = 1<<53 - 1

// FrameType names the message in a frame.
type FrameType string

// The frames of a guild.
const (
	FrameInput   FrameType = "input"
	FrameOutput  FrameType = "output"
	FrameEvent   FrameType = "event"
	FrameReceipt FrameType = "receipt"
	FrameSettle  FrameType = "settle"
	FrameCancel  FrameType = "cancel"
	FrameError   FrameType = "error"
)

// Frame is a sealed message. Sealed is 24 bytes of nonce and the ciphertext.
type Frame struct {
	Stream     string
	Type       FrameType
	Generation int64
	Sealed     []byte
}

// Session seals what this member sends to the guild and opens what the other
// sent, on any number of streams, until it is wiped or the guild's time is over.
// Methods are safe for concurrent use.
type Session struct {
	network string
	guild   string
	self    core.DID
	peer    core.DID
	expires time.Time
	now     func() time.Time

	mu    sync.Mutex
	send  member
	recv  member
	next  int64 // generation of the next frame sent
	taken window
	wiped bool
}

type member struct {
	key  []byte
	aead cipher.AEAD
}

// newSession derives the keys of both members. The secrets remain the caller's.
func newSession(o *core.Offer, a *core.Accept, guild string, role core.Role, offered, accepted []byte, now func() time.Time) (*Session, error) {
	acceptHash, err := core.Digest(a)
	if err != nil {
		return nil, err
	}
	salt, err := hex.DecodeString(a.OfferHash + acceptHash)
	if err != nil {
		return nil, fmt.Errorf("hashes: %w", core.ErrInvalid)
	}
	prk, err := hkdf.Extract(sha256.New, slices.Concat(offered, accepted), salt)
	if err != nil {
		return nil, fmt.Errorf("guild keys: %w", err)
	}
	defer clear(prk)
	s := &Session{network: o.Network, guild: guild, now: now}
	s.self, s.peer = o.Commit.Members[0].Node, o.Commit.Members[1].Node
	if role == core.RoleWorker {
		s.self, s.peer = s.peer, s.self
	}
	s.expires = now().Add(time.Duration(o.Commit.TTLMs) * time.Millisecond)
	if s.send, err = s.derive(prk, s.self); err != nil {
		return nil, err
	}
	s.recv, err = s.derive(prk, s.peer)
	return s, err
}

// derive returns a sender's key: HKDF-Expand(PRK, JCS{...}, 32).
func (s *Session) derive(prk []byte, sender core.DID) (member, error) {
	info, err := canonical(map[string]any{
		"epoch": epoch, "guild": s.guild, "label": labelFrame, "network": s.network, "sender": string(sender),
	})
	if err != nil {
		return member{}, err
	}
	key, err := hkdf.Expand(sha256.New, prk, string(info), chacha20poly1305.KeySize)
	if err != nil {
		return member{}, fmt.Errorf("guild keys: %w", err)
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return member{}, fmt.Errorf("guild keys: %w", err)
	}
	return member{key: key, aead: aead}, nil
}

// Guild returns the guild's id.
func (s *Session) Guild() string { return s.guild }

// Peer returns the other member's node did.
func (s *Session) Peer() core.DID { return s.peer }

// Expires returns when the guild's time is over.
func (s *Session) Expires() time.Time { return s.expires }

// Seal seals a message for a stream; the nonce is drawn from random. The error
// is core.ErrDenied once the guild is over.
func (s *Session) Seal(stream string, typ FrameType, plain []byte, random io.Reader) (Frame, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.alive(); err != nil {
		return Frame{}, err
	}
	if s.next > maxGeneration {
		return Frame{}, fmt.Errorf("guild %.12s has no more frames: %w", s.guild, core.ErrExhausted)
	}
	f := Frame{Stream: stream, Type: typ, Generation: s.next}
	ad, err := s.associated(s.self, f)
	if err != nil {
		return Frame{}, err
	}
	f.Sealed = make([]byte, chacha20poly1305.NonceSizeX, chacha20poly1305.NonceSizeX+len(plain)+chacha20poly1305.Overhead)
	if _, err := io.ReadFull(random, f.Sealed); err != nil {
		return Frame{}, fmt.Errorf("nonce: %w", err)
	}
	f.Sealed = s.send.aead.Seal(f.Sealed, f.Sealed, plain, ad)
	s.next++
	return f, nil
}

// Open opens a frame of the other member. Each is taken once, in any order over
// the streams. The error is core.ErrDenied for one that does not open, was taken
// before, or comes once the guild is over.
func (s *Session) Open(f Frame) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.alive(); err != nil {
		return nil, err
	}
	if f.Generation < 0 || f.Generation > maxGeneration || len(f.Sealed) < chacha20poly1305.NonceSizeX+chacha20poly1305.Overhead {
		return nil, fmt.Errorf("frame of %d bytes, generation %d: %w", len(f.Sealed), f.Generation, core.ErrInvalid)
	}
	if s.taken.has(f.Generation) {
		return nil, fmt.Errorf("frame %d of %s was taken before: %w", f.Generation, s.peer, core.ErrDenied)
	}
	ad, err := s.associated(s.peer, f)
	if err != nil {
		return nil, err
	}
	nonce, sealed := f.Sealed[:chacha20poly1305.NonceSizeX], f.Sealed[chacha20poly1305.NonceSizeX:]
	plain, err := s.recv.aead.Open(nil, nonce, sealed, ad)
	if err != nil {
		return nil, fmt.Errorf("frame %d of %s does not open: %w", f.Generation, s.peer, core.ErrDenied)
	}
	s.taken.take(f.Generation)
	return plain, nil
}

func (s *Session) associated(sender core.DID, f Frame) ([]byte, error) {
	return canonical(map[string]any{
		"epoch": epoch, "generation": f.Generation, "guild": s.guild,
		"sender": string(sender), "stream": f.Stream, "type": string(f.Type),
	})
}

// alive wipes a session whose time is over.
func (s *Session) alive() error {
	if !s.wiped && !s.now().Before(s.expires) {
		s.wipe()
	}
	if s.wiped {
		return fmt.Errorf("guild %.12s is over: %w", s.guild, core.ErrDenied)
	}
	return nil
}

// Wipe forgets the keys; nothing is sealed or opened afterwards.
func (s *Session) Wipe() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
}

func (s *Session) wipe() {
	clear(s.send.key)
	clear(s.recv.key)
	s.send, s.recv, s.wiped = member{}, member{}, true
}

// maxAhead bounds how many frames may be missing before the oldest of them is
// given up.
const maxAhead = 1 << 16

// window is the set of generations taken: all below base, and those in ahead.
type window struct {
	base  int64
	ahead map[int64]bool
}

func (w *window) has(g int64) bool { return g < w.base || w.ahead[g] }

func (w *window) take(g int64) {
	if w.ahead == nil {
		w.ahead = map[int64]bool{}
	}
	w.ahead[g] = true
	for w.ahead[w.base] {
		delete(w.ahead, w.base)
		w.base++
	}
	if len(w.ahead) <= maxAhead {
		return
	}
	// The frames that are missing below the oldest one ahead are given up.
	oldest := g
	for k := range w.ahead {
		oldest = min(oldest, k)
	}
	w.base = oldest
	for w.ahead[w.base] {
		delete(w.ahead, w.base)
		w.base++
	}
}
