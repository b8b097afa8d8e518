package guild

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/zerostate/zerostate/core"
)

const testNetwork = "zerostate-test"

// clock is a time that a test moves.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func signer(name string) core.Signer {
	seed := sha256.Sum256([]byte("zerostate-test-" + name))
	return core.NewSigner(ed25519.NewKeyFromSeed(seed[:]))
}

func hexOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// party is a requester and a worker with everything an offer needs.
type party struct {
	clock                    *clock
	requester, worker, agent core.Signer
	side                     *Worker
	spec                     OfferSpec
}

func newParty(t *testing.T) *party {
	t.Helper()
	p := &party{
		clock:     &clock{t: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)},
		requester: signer("requester"), worker: signer("worker"), agent: signer("agent"),
	}
	keys, err := OpenSealKeys(filepath.Join(t.TempDir(), "seal.key"), p.clock.now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p.side = &Worker{Network: testNetwork, Node: p.worker.DID(), Keys: keys, Replays: NewReplays(), Now: p.clock.now}
	manifest := []byte(`{"kind":"Task"}`)
	task := sha256.Sum256(manifest)
	p.spec = OfferSpec{
		Network: testNetwork, Requester: p.requester.DID(), Recipient: p.worker.DID(), Agent: p.agent.DID(),
		CardCID: "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", Channel: hexOf("channel"),
		Manifest: manifest, TTL: 10 * time.Minute, NotAfter: core.TimeOf(p.clock.t.Add(time.Minute)),
		Lock: core.Lock{
			Task: hex.EncodeToString(task[:]), Attempt: 1, Agent: p.agent.DID(), MaxMicros: 100,
			PriceHash: hexOf("price"), Expires: core.TimeOf(p.clock.t.Add(10 * time.Minute)),
		},
	}
	return p
}

func (p *party) draft(t *testing.T) *Draft {
	t.Helper()
	d, err := NewOffer(p.spec, p.requester, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (p *party) seal(t *testing.T, d *Draft) SealedOffer {
	t.Helper()
	key, err := p.side.Keys.Current()
	if err != nil {
		t.Fatal(err)
	}
	s, err := d.Seal(key.Public)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// form runs the whole round trip.
func (p *party) form(t *testing.T) (requester, worker *Session) {
	t.Helper()
	d := p.draft(t)
	o, err := p.side.OpenOffer(p.seal(t, d), p.requester.DID())
	if err != nil {
		t.Fatal(err)
	}
	accept, worker, err := o.Accept(p.worker, p.agent, p.spec.Lock.Expires, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	doc, requester, err := d.OpenAccept(accept, p.clock.now)
	if err != nil {
		t.Fatal(err)
	}
	if doc.Guild != d.Guild || requester.Guild() != d.Guild || worker.Guild() != d.Guild {
		t.Fatalf("got guilds %s, %s, %s, want %s", doc.Guild, requester.Guild(), worker.Guild(), d.Guild)
	}
	return requester, worker
}

func mustSeal(t *testing.T, s *Session, stream string, typ FrameType, plain string) Frame {
	t.Helper()
	f, err := s.Seal(stream, typ, []byte(plain), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func TestOfferAcceptFrames(t *testing.T) {
	p := newParty(t)
	requester, worker := p.form(t)
	if requester.Peer() != p.worker.DID() || worker.Peer() != p.requester.DID() {
		t.Errorf("got peers %s and %s", requester.Peer(), worker.Peer())
	}
	if want := p.clock.t.Add(10 * time.Minute); !worker.Expires().Equal(want) {
		t.Errorf("got end %s, want %s", worker.Expires(), want)
	}
	for i := range 3 {
		f := mustSeal(t, requester, "task", FrameInput, "to the worker")
		if f.Generation != int64(i) {
			t.Errorf("got generation %d, want %d", f.Generation, i)
		}
		plain, err := worker.Open(f)
		if err != nil || string(plain) != "to the worker" {
			t.Fatalf("got %q, %v", plain, err)
		}
	}
	// Each member counts for itself.
	back := mustSeal(t, worker, "task", FrameOutput, "to the requester")
	if plain, err := requester.Open(back); err != nil || string(plain) != "to the requester" || back.Generation != 0 {
		t.Errorf("got %q, generation %d, %v", plain, back.Generation, err)
	}
}

func TestOfferIsRefused(t *testing.T) {
	p := newParty(t)
	stranger := signer("stranger")
	tests := []struct {
		name   string
		remote core.DID
		change func(s *SealedOffer, w *Worker, c *clock)
		want   error
	}{
		{"another sender on the connection", stranger.DID(), nil, core.ErrDenied},
		{"another recipient", p.requester.DID(), func(s *SealedOffer, _ *Worker, _ *clock) { s.Recipient = stranger.DID() }, core.ErrDenied},
		{"a worker that is not the recipient", p.requester.DID(), func(_ *SealedOffer, w *Worker, _ *clock) { w.Node = stranger.DID() }, core.ErrDenied},
		{"a stranger who passes it on as its own", stranger.DID(), func(s *SealedOffer, _ *Worker, _ *clock) { s.Sender = stranger.DID() }, core.ErrDenied},
		{"another guild in clear", p.requester.DID(), func(s *SealedOffer, _ *Worker, _ *clock) { s.Guild = hexOf("other") }, core.ErrDenied},
		{"another network", p.requester.DID(), func(_ *SealedOffer, w *Worker, _ *clock) { w.Network = "other" }, core.ErrDenied},
		{"a changed byte", p.requester.DID(), func(s *SealedOffer, _ *Worker, _ *clock) { s.Sealed[40] ^= 1 }, core.ErrDenied},
		{"cut short", p.requester.DID(), func(s *SealedOffer, _ *Worker, _ *clock) { s.Sealed = s.Sealed[:20] }, core.ErrDenied},
		{"an unknown seal key", p.requester.DID(), func(s *SealedOffer, _ *Worker, _ *clock) { s.KeyHash = hexOf("key") }, core.ErrConflict},
		{"too late", p.requester.DID(), func(_ *SealedOffer, _ *Worker, c *clock) { c.t = c.t.Add(time.Minute) }, core.ErrDenied},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newParty(t)
			s := p.seal(t, p.draft(t))
			if tt.change != nil {
				tt.change(&s, p.side, p.clock)
			}
			_, err := p.side.OpenOffer(s, tt.remote)
			wantErr(t, "open", err, tt.want)
		})
	}
}

func TestOfferInsideNamesTheSender(t *testing.T) {
	// Mallory opens nothing, but seals somebody else's signed offer as her own.
	p := newParty(t)
	mallory := signer("mallory")
	d := p.draft(t)
	key, err := p.side.Keys.Current()
	if err != nil {
		t.Fatal(err)
	}
	d.node = mallory.DID()
	s, err := d.Seal(key.Public)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.side.OpenOffer(s, mallory.DID())
	wantErr(t, "offer of another sealed by mallory", err, core.ErrDenied)
}

func TestOfferReplay(t *testing.T) {
	p := newParty(t)
	d := p.draft(t)
	first, err := p.side.OpenOffer(p.seal(t, d), p.requester.DID())
	if err != nil || first.Repeated {
		t.Fatalf("got repeated %t, %v", first != nil && first.Repeated, err)
	}
	again, err := p.side.OpenOffer(p.seal(t, d), p.requester.DID())
	if err != nil || !again.Repeated {
		t.Fatalf("the same offer again: got %+v, %v, want repeated", again, err)
	}
	_, _, err = again.Accept(p.worker, p.agent, p.spec.Lock.Expires, rand.Reader)
	wantErr(t, "accept a repeated offer", err, core.ErrExists)

	// Another offer under the same id.
	other := p.draft(t)
	other.Offer.ID, other.Offer.Signatures = d.Offer.ID, nil
	if err := other.finish(p.requester); err != nil {
		t.Fatal(err)
	}
	_, err = p.side.OpenOffer(p.seal(t, other), p.requester.DID())
	wantErr(t, "another offer with a used id", err, core.ErrDenied)
}

func TestReplaysForget(t *testing.T) {
	r := NewReplays()
	now := time.Unix(1000, 0)
	sender := func(i int) core.DID { return core.DID("did " + strconv.Itoa(i/maxReplaysOf)) }
	for i := range maxReplays {
		if _, err := r.take(sender(i), strconv.Itoa(i), "h", now.Add(time.Minute), now); err != nil {
			t.Fatal(err)
		}
		if i == maxReplaysOf-1 {
			_, err := r.take(sender(i), "one more", "h", now.Add(time.Minute), now)
			wantErr(t, "a sender's full share", err, core.ErrExhausted)
		}
	}
	_, err := r.take("did", "one more", "h", now.Add(time.Minute), now)
	wantErr(t, "a full memory", err, core.ErrExhausted)
	later := now.Add(time.Minute)
	if repeated, err := r.take("did", "one more", "h", later.Add(time.Minute), later); err != nil || repeated {
		t.Errorf("after the offers are void: got %t, %v", repeated, err)
	}
	if len(r.seen) != 1 || len(r.of) != 1 {
		t.Errorf("got %d ids of %d senders, want 1 of 1", len(r.seen), len(r.of))
	}
}

func TestAcceptIsRefused(t *testing.T) {
	p := newParty(t)
	d := p.draft(t)
	o, err := p.side.OpenOffer(p.seal(t, d), p.requester.DID())
	if err != nil {
		t.Fatal(err)
	}
	good, _, err := o.Accept(p.worker, p.agent, p.spec.Lock.Expires, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = p.draft(t).OpenAccept(good, p.clock.now)
	wantErr(t, "the accept of another offer", err, core.ErrInvalid)

	stranger := signer("stranger")
	_, _, err = o.Accept(p.worker, stranger, p.spec.Lock.Expires, rand.Reader)
	if err == nil {
		t.Error("an agent that was not hired signs: got no error")
	}
	_, _, err = o.Accept(p.worker, p.agent, p.spec.Lock.Expires.Add(time.Hour), rand.Reader)
	wantErr(t, "a deadline after the lock", err, core.ErrInvalid)
	_, _, err = d.OpenAccept(append(bytes.Clone(good), '\n'), p.clock.now)
	wantErr(t, "another spelling", err, core.ErrInvalid)

	// A secret sealed to another key.
	doc, err := core.Parse[core.Accept](good)
	if err != nil {
		t.Fatal(err)
	}
	other, err := drawKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := seal(other.PublicKey().Bytes(), acceptContext(d.Offer, d.Guild), make([]byte, secretBytes))
	if err != nil {
		t.Fatal(err)
	}
	doc.Sealed, doc.Signatures = b64(sealed), nil
	for _, s := range []core.Signer{p.worker, p.agent} {
		if err := core.Sign(doc, s); err != nil {
			t.Fatal(err)
		}
	}
	bad, err := core.Encode(doc)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = d.OpenAccept(bad, p.clock.now)
	wantErr(t, "a secret for another key", err, core.ErrDenied)

	if _, _, err = d.OpenAccept(good, p.clock.now); err != nil {
		t.Errorf("the right accept: %v", err)
	}
	_, _, err = d.OpenAccept(good, p.clock.now)
	wantErr(t, "the same accept again", err, core.ErrConflict)
}

func TestKeyOpensOneLabel(t *testing.T) {
	key, err := drawKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := sealContext{label: labelOffer, network: testNetwork, guild: hexOf("g"), sender: "a", recipient: "b"}
	sealed, err := seal(key.PublicKey().Bytes(), c, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := open(key, c, sealed); err != nil || string(plain) != "hello" {
		t.Fatalf("got %q, %v", plain, err)
	}
	if want := 32 + 5 + 16; len(sealed) != want {
		t.Errorf("got %d bytes, want enc || ciphertext of %d", len(sealed), want)
	}
	for name, change := range map[string]func(*sealContext){
		"label":     func(c *sealContext) { c.label = labelAccept },
		"network":   func(c *sealContext) { c.network = "other" },
		"guild":     func(c *sealContext) { c.guild = hexOf("h") },
		"sender":    func(c *sealContext) { c.sender = "b" },
		"recipient": func(c *sealContext) { c.recipient = "a" },
	} {
		wrong := c
		change(&wrong)
		_, err := open(key, wrong, sealed)
		wantErr(t, "another "+name, err, core.ErrDenied)
	}
	if _, err := seal([]byte("short"), c, nil); !errors.Is(err, core.ErrInvalid) {
		t.Errorf("a short key: got %v", err)
	}
}

func TestFrames(t *testing.T) {
	p := newParty(t)
	requester, worker := p.form(t)
	a := mustSeal(t, requester, "one", FrameInput, "a")
	b := mustSeal(t, requester, "two", FrameInput, "b")
	c := mustSeal(t, requester, "one", FrameInput, "c")
	for _, bad := range []struct {
		name   string
		change func(*Frame)
		want   error
	}{
		{"another type", func(f *Frame) { f.Type = FrameSettle }, core.ErrDenied},
		{"another stream", func(f *Frame) { f.Stream = "two" }, core.ErrDenied},
		{"another generation", func(f *Frame) { f.Generation = 7 }, core.ErrDenied},
		{"a changed nonce", func(f *Frame) { f.Sealed[0] ^= 1 }, core.ErrDenied},
		{"a changed tag", func(f *Frame) { f.Sealed[len(f.Sealed)-1] ^= 1 }, core.ErrDenied},
		{"cut short", func(f *Frame) { f.Sealed = f.Sealed[:30] }, core.ErrInvalid},
		{"a negative generation", func(f *Frame) { f.Generation = -1 }, core.ErrInvalid},
	} {
		f := a
		f.Sealed = bytes.Clone(a.Sealed)
		bad.change(&f)
		_, err := worker.Open(f)
		wantErr(t, bad.name, err, bad.want)
	}
	_, err := requester.Open(a)
	wantErr(t, "one's own frame sent back", err, core.ErrDenied)
	for _, f := range []Frame{c, a, b} { // streams overtake each other
		if _, err := worker.Open(f); err != nil {
			t.Errorf("frame %d out of order: %v", f.Generation, err)
		}
	}
	for _, f := range []Frame{a, b, c} {
		_, err := worker.Open(f)
		wantErr(t, "a frame taken before", err, core.ErrDenied)
	}
	// Of another guild between the same two.
	other, _ := p.form(t)
	_, err = worker.Open(mustSeal(t, other, "one", FrameInput, "x"))
	wantErr(t, "a frame of another guild", err, core.ErrDenied)
}

func TestSessionEnds(t *testing.T) {
	p := newParty(t)
	requester, worker := p.form(t)
	f := mustSeal(t, requester, "task", FrameInput, "late")
	key := worker.recv.key
	p.clock.t = p.clock.t.Add(10*time.Minute - time.Second)
	if _, err := worker.Open(f); err != nil {
		t.Fatalf("before the end: %v", err)
	}
	p.clock.t = p.clock.t.Add(time.Second)
	_, err := worker.Open(f)
	wantErr(t, "open after the TTL", err, core.ErrDenied)
	if !bytes.Equal(key, make([]byte, len(key))) {
		t.Error("the key was not wiped")
	}
	requester.Wipe()
	p.clock.t = p.clock.t.Add(-time.Hour)
	_, err = requester.Seal("task", FrameInput, nil, rand.Reader)
	wantErr(t, "seal after wipe, even if the clock goes back", err, core.ErrDenied)
}

func TestSessionExhausted(t *testing.T) {
	requester, _ := newParty(t).form(t)
	requester.next = maxGeneration + 1
	_, err := requester.Seal("task", FrameInput, nil, rand.Reader)
	wantErr(t, "no generation left", err, core.ErrExhausted)
	requester.next = 0
	if _, err = requester.Seal("task", FrameInput, nil, bytes.NewReader(nil)); err == nil {
		t.Error("no randomness: got no error")
	}
	if requester.next != 0 {
		t.Error("a frame that was not made took a generation")
	}
}

func TestWindow(t *testing.T) {
	var w window
	for _, g := range []int64{0, 2, 1, 5} {
		if w.has(g) {
			t.Errorf("%d: got taken", g)
		}
		w.take(g)
	}
	if w.base != 3 || len(w.ahead) != 1 {
		t.Errorf("got base %d and %d ahead, want 3 and 1", w.base, len(w.ahead))
	}
	for g := int64(7); g < 7+maxAhead; g++ { // 3, 4 and 6 never come
		w.take(g)
	}
	if !w.has(3) || !w.has(4) || w.has(6) {
		t.Errorf("got %t %t %t: the oldest gaps are given up, not 6 yet", w.has(3), w.has(4), w.has(6))
	}
	if len(w.ahead) > maxAhead {
		t.Errorf("got %d ahead, want at most %d", len(w.ahead), maxAhead)
	}
}

func TestSealKeys(t *testing.T) {
	c := &clock{t: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	path := filepath.Join(t.TempDir(), "seal.key")
	keys, err := OpenSealKeys(path, c.now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	current := func(k *SealKeys) SealKey {
		t.Helper()
		key, err := k.Current()
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	hash := func(k SealKey) string {
		raw, err := unb64(k.Public, keyBytes)
		if err != nil {
			t.Fatal(err)
		}
		return keyHash(raw)
	}
	first := current(keys)
	if life := first.Until.Sub(c.t); life > 24*time.Hour || life <= 0 {
		t.Errorf("offered for %s, want at most 24 h", life)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != fs.FileMode(0o600) {
		t.Errorf("got %v, %v, want mode 0600", info.Mode(), err)
	}
	again, err := OpenSealKeys(path, c.now, rand.Reader)
	if err != nil || current(again) != first {
		t.Errorf("after a restart: got %v, %v, want the same key", again, err)
	}
	c.t = keys.NextRotation()
	second := current(keys)
	if second == first {
		t.Fatal("the key did not rotate")
	}
	if _, err := keys.find(hash(first)); err != nil {
		t.Errorf("the old key in its grace: %v", err)
	}
	c.t = c.t.Add(SealKeyGrace)
	_, err = keys.find(hash(first))
	wantErr(t, "the old key after its grace", err, core.ErrConflict)
	if current(keys) != second {
		t.Error("the key rotated too soon")
	}
	reread, err := OpenSealKeys(path, c.now, rand.Reader)
	if err != nil || len(reread.keys) != 1 {
		t.Errorf("got %d keys in the file, %v, want the old one deleted", len(reread.keys), err)
	}
	if err := keys.Rotate(); err != nil || current(keys) == second {
		t.Errorf("a rotation by hand: %v", err)
	}
}

func TestSealKeyFile(t *testing.T) {
	now := func() time.Time { return time.Unix(1e9, 0) }
	for name, tt := range map[string]struct {
		content string
		mode    fs.FileMode
		want    error
	}{
		"readable by others": {`{"keys":[]}`, 0o644, core.ErrDenied},
		"not json":           {`keys`, 0o600, core.ErrInvalid},
		"a short key":        {`{"keys":[{"private":"AAAA"}]}`, 0o600, core.ErrInvalid},
	} {
		path := filepath.Join(t.TempDir(), "seal.key")
		if err := os.WriteFile(path, []byte(tt.content), tt.mode); err != nil {
			t.Fatal(err)
		}
		_, err := OpenSealKeys(path, now, rand.Reader)
		wantErr(t, name, err, tt.want)
	}
	_, err := OpenSealKeys(filepath.Join(t.TempDir(), "no", "seal.key"), now, rand.Reader)
	wantErr(t, "no directory", err, fs.ErrNotExist)
	if _, err := OpenSealKeys(filepath.Join(t.TempDir(), "seal.key"), now, bytes.NewReader(nil)); err == nil {
		t.Error("no randomness: got no error")
	}
}

func TestNewOfferRefuses(t *testing.T) {
	p := newParty(t)
	p.spec.Manifest = []byte(`{"kind":"Other"}`)
	_, err := NewOffer(p.spec, p.requester, rand.Reader)
	wantErr(t, "a manifest that is not the lock's task", err, core.ErrInvalid)
	for n := 0; n < 128; n += 32 {
		if _, err := NewOffer(p.spec, p.requester, bytes.NewReader(make([]byte, n))); err == nil {
			t.Errorf("%d random bytes: got no error", n)
		}
	}
	p = newParty(t)
	d := p.draft(t)
	_, err = d.Seal("short")
	wantErr(t, "a seal key that is none", err, core.ErrInvalid)
}

// The vector of RFC 9180 for DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and
// ChaCha20-Poly1305, base mode (A.2.1), holds for the suite as it is used here.
func TestRFC9180(t *testing.T) {
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	private, err := ecdh.X25519().NewPrivateKey(unhex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb"))
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(private.PublicKey().Bytes()); got != "4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a" {
		t.Errorf("got public key %s", got)
	}
	key, err := hpke.NewDHKEMPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	r, err := hpke.NewRecipient(unhex("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a"), key, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), unhex("4f6465206f6e2061204772656369616e2055726e"))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := r.Open(unhex("436f756e742d30"), unhex("1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28"))
	if err != nil || hex.EncodeToString(plain) != "4265617574792069732074727574682c20747275746820626561757479" {
		t.Errorf("got %x, %v", plain, err)
	}
	for got, want := range map[uint16]uint16{
		hpke.DHKEM(ecdh.X25519()).ID(): 0x0020, hpke.HKDFSHA256().ID(): 0x0001, hpke.ChaCha20Poly1305().ID(): 0x0003,
	} {
		if got != want {
			t.Errorf("got id %#04x, want %#04x", got, want)
		}
	}
}
