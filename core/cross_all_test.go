package core

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zerostate/zerostate/core/internal/canon"
)

// crossReader is one way into the package for a stranger's bytes: read without, and
// verify with the checks of network, signatures and clock.
type crossReader struct {
	read   func(data []byte) error
	verify func(data []byte, network string) error // nil: nothing is signed
}

// parsed drops what a parser returns.
func parsed[T any](parse func([]byte) (T, error)) func([]byte) error {
	return func(data []byte) error {
		_, err := parse(data)
		return err
	}
}

// allReaders is every reader of documents that come from strangers, by the name
// of what it reads.
func allReaders() map[string]crossReader {
	all := map[string]crossReader{
		"card": {parsed(ParseCard), func(data []byte, network string) error {
			_, err := VerifyCard(data, network, testNow)
			return err
		}},
		"receipt": {parsed(ParseReceipt), func(data []byte, network string) error {
			_, err := VerifyReceipt(data, network, true)
			return err
		}},
		"channel-params": {read: parsed(ParseParams)},
		"resolved":       {read: parsed(ParseResolved)},
		"template":       {read: parsed(ParseTemplate)},
	}
	for kind, parse := range testParsers() {
		all[string(kind)] = crossReader{parsed(parse), func(data []byte, network string) error {
			doc, err := parse(data)
			if err != nil {
				return err
			}
			return Verify(doc, network)
		}}
	}
	all["card-record"] = crossReader{parsed(Parse[CardRecord]), func(data []byte, network string) error {
		_, err := VerifyRecord(data, network, testNow)
		return err
	}}
	all["announcement"] = crossReader{parsed(Parse[Announcement]), func(data []byte, network string) error {
		_, err := VerifyAnnouncement(data, network, testNow)
		return err
	}}
	return all
}

// readerOf says by which reader each golden file is read, "" if by none.
var readerOf = map[string]string{
	"accept.json":                "accept",
	"announcement.json":          "announcement",
	"audit-entry.json":           "audit-entry",
	"card-record-successor.json": "card-record",
	"card-record.json":           "card-record",
	"card.json":                  "card",
	"channel-params.json":        "channel-params",
	"channel-state-0.json":       "channel-state",
	"channel-state-1.json":       "channel-state",
	"checkpoint.json":            "checkpoint",
	"commit.json":                "commit",
	"dispute-claim.json":         "dispute-claim",
	"event.json":                 "event",
	"offer.json":                 "offer",
	"receipt-payload.json":       "", // only inside its envelope
	"receipt.json":               "receipt",
	"resolved-full.json":         "resolved",
	"resolved.json":              "resolved",
	"template.json":              "template",
	"tombstone-successor.json":   "card-record",
	"tombstone.json":             "card-record",
	"work-summary.json":          "work-summary",
}

// allGolden reads every golden file; one that readerOf does not name fails.
func allGolden(t *testing.T) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "golden", "*"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, path := range paths {
		name := filepath.Base(path)
		if _, ok := readerOf[name]; !ok {
			t.Errorf("%s: no reader is named for it", name)
			continue
		}
		if all[name], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	if len(all) != len(readerOf) {
		t.Errorf("got %d golden files, want %d", len(all), len(readerOf))
	}
	return all
}

// signedGolden is allGolden without what nobody signs.
func signedGolden(t *testing.T) map[string][]byte {
	t.Helper()
	all := allGolden(t)
	maps.DeleteFunc(all, func(name string, _ []byte) bool { return allReaders()[readerOf[name]].verify == nil })
	return all
}

// TestGoldenAsEveryOther presents every golden document to every reader: only its
// own takes it.
func TestGoldenAsEveryOther(t *testing.T) {
	for name, data := range allGolden(t) {
		for kind, r := range allReaders() {
			err := r.read(data)
			if own := kind == readerOf[name]; own && err != nil {
				t.Errorf("%s as %s: %v", name, kind, err)
			} else if denies := kind == "template" && errors.Is(err, ErrDenied); !own && !denies && !errors.Is(err, ErrInvalid) {
				t.Errorf("%s as %s: got %v, want ErrInvalid, or ErrDenied of a template", name, kind, err)
			}
		}
	}
}

// seal is one signature of a golden document: by whom, over what, and where it
// stands.
type seal struct {
	at    string
	key   DID
	raw   []byte
	input []byte
}

// sealsOf finds every signature of a golden document, and the bytes that a
// reader would hand to another type's signing input.
func sealsOf(t *testing.T, name string, data []byte) (seals []seal, body []byte) {
	t.Helper()
	var err error
	switch kind := readerOf[name]; kind {
	case "card":
		var c *Card
		if c, err = ParseCard(data); err != nil {
			t.Fatal(err)
		}
		if body, err = c.unproven(); err != nil {
			t.Fatal(err)
		}
		seals = cardSeals(t, c, body)
	case "receipt":
		s, err := ParseReceipt(data)
		if err != nil {
			t.Fatal(err)
		}
		body = s.Payload
		for _, sig := range s.Signatures {
			raw, err := canon.FromB64(sig.Sig)
			if err != nil {
				t.Fatal(err)
			}
			seals = append(seals, seal{"receipt", sig.KeyID, raw, canon.PAE(ReceiptPayloadType, body)})
		}
	default:
		doc, err := testParsers()[DocType(kind)](data)
		if err != nil {
			t.Fatal(err)
		}
		if body, err = unsignedBytes(doc); err != nil {
			t.Fatal(err)
		}
		for _, sig := range *doc.sigs() {
			raw, err := sig.bytes()
			if err != nil {
				t.Fatal(err)
			}
			seals = append(seals, seal{kind, sig.Key, raw, SigningInput(doc.Type(), body)})
		}
	}
	return seals, body
}

func cardSeals(t *testing.T, c *Card, body []byte) []seal {
	t.Helper()
	_, input, err := c.jwsInput()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := canon.FromB64URL(c.Signatures[0].Signature)
	if err != nil {
		t.Fatal(err)
	}
	seals := []seal{{"card JWS", c.ID, raw, input}}
	for i, p := range c.Proof {
		hash, err := p.hash(body)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := p.signature()
		if err != nil {
			t.Fatal(err)
		}
		seals = append(seals, seal{"card proof", c.prover(i), raw, hash})
	}
	return seals
}

// TestSignatureOfOneThingOnly holds every signature of every golden document
// against its own bytes under every type, and against every other document's
// signing inputs: it verifies over what it was made for and nothing else.
func TestSignatureOfOneThingOnly(t *testing.T) {
	docs := signedGolden(t)
	kinds := append(slices.Collect(maps.Keys(testParsers())), TypePinRequest, TypeEnvelope)
	inputs := map[string]string{} // signing input: whose
	for name, data := range docs {
		seals, _ := sealsOf(t, name, data)
		for _, s := range seals {
			if other, ok := inputs[string(s.input)]; ok && other != name {
				t.Errorf("%s and %s: one signing input", name, other)
			}
			inputs[string(s.input)] = name
		}
	}
	for name, data := range docs {
		seals, body := sealsOf(t, name, data)
		for _, s := range seals {
			if err := VerifySignature(s.key, s.input, s.raw); err != nil {
				t.Errorf("%s, %s: %v", name, s.at, err)
			}
			strange := [][]byte{body, canon.PAE(ReceiptPayloadType, body), canon.PAE("", body)}
			for _, kind := range kinds {
				strange = append(strange, SigningInput(kind, body))
			}
			for input := range inputs {
				strange = append(strange, []byte(input))
			}
			for _, input := range strange {
				if !bytes.Equal(input, s.input) && VerifySignature(s.key, input, s.raw) == nil {
					t.Errorf("%s, %s: verifies over %.80q", name, s.at, input)
				}
			}
		}
	}
}

// TestSignatureMovedToAnother puts every signature of every document in the place
// of each signature by the same key in every other: none of these verifies.
func TestSignatureMovedToAnother(t *testing.T) {
	docs := signedGolden(t)
	moved := 0
	for to, data := range docs {
		kind := readerOf[to]
		if kind == "card" {
			continue // its proofs are spelled otherwise, and nothing else is signed as they are
		}
		own, _ := sealsOf(t, to, data)
		for from, source := range docs {
			others, _ := sealsOf(t, from, source)
			for _, place := range own {
				for _, s := range others {
					if s.key != place.key || bytes.Equal(s.raw, place.raw) {
						continue
					}
					moved++
					changed := bytes.ReplaceAll(data, []byte(canon.B64(place.raw)), []byte(canon.B64(s.raw)))
					if err := allReaders()[kind].verify(changed, testNetwork); !errors.Is(err, ErrDenied) {
						t.Errorf("%s's signature in %s: got %v, want ErrDenied", from, to, err)
					}
				}
			}
		}
	}
	if moved < 50 {
		t.Errorf("moved %d signatures: the documents share no keys", moved)
	}
}

// inside applies change to a document's text, also to the payload of a receipt,
// which is in base64.
func inside(t *testing.T, name string, data []byte, change func([]byte) []byte) []byte {
	t.Helper()
	if readerOf[name] != "receipt" {
		return change(data)
	}
	var e struct{ Payload string }
	if err := json.Unmarshal(data, &e); err != nil {
		t.Fatal(err)
	}
	payload, err := canon.FromB64(e.Payload)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Replace(change(data), []byte(e.Payload), []byte(canon.B64(change(payload))), 1)
}

// TestGoldenOnAnotherNetwork presents every signed document on another network,
// as it is and with the network's name changed in it.
func TestGoldenOnAnotherNetwork(t *testing.T) {
	const other = "zerostate-main"
	for name, data := range signedGolden(t) {
		r := allReaders()[readerOf[name]]
		if err := r.verify(data, testNetwork); err != nil {
			t.Errorf("%s at home: %v", name, err)
		}
		if err := r.verify(data, other); !errors.Is(err, ErrDenied) {
			t.Errorf("%s elsewhere: got %v, want ErrDenied", name, err)
		}
		moved := inside(t, name, data, func(b []byte) []byte {
			return bytes.ReplaceAll(b, []byte(`"`+testNetwork+`"`), []byte(`"`+other+`"`))
		})
		if bytes.Equal(moved, data) {
			t.Errorf("%s does not name its network", name)
		}
		for _, network := range []string{testNetwork, other} {
			if err := r.verify(moved, network); !errors.Is(err, ErrDenied) && !errors.Is(err, ErrInvalid) {
				t.Errorf("%s, moved, on %s: got %v, want it refused", name, network, err)
			}
		}
	}
}

// TestGoldenBySmallOrderKeys gives every document a signer of small order, and
// the signature that Go accepts under the identity over any message.
func TestGoldenBySmallOrderKeys(t *testing.T) {
	universal := append([]byte{1}, make([]byte, 63)...) // R is the identity, S is 0
	identity := append([]byte{1}, make([]byte, 31)...)
	if !ed25519.Verify(identity, []byte("any message"), universal) {
		t.Fatal("Go refuses the identity now: this test shows nothing")
	}
	docs := signedGolden(t)
	for _, enc := range []string{
		hex.EncodeToString(identity),
		"0100000000000000000000000000000000000000000000000000000000000080",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"0000000000000000000000000000000000000000000000000000000000000000",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	} {
		point, err := hex.DecodeString(enc)
		if err != nil {
			t.Fatal(err)
		}
		bad := DIDOf(point)
		if err := VerifySignature(bad, []byte("any message"), universal); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: signature: got %v, want ErrInvalid", enc, err)
		}
		for name, data := range docs {
			seals, _ := sealsOf(t, name, data)
			for _, s := range seals {
				forged := inside(t, name, data, func(b []byte) []byte {
					b = bytes.ReplaceAll(b, []byte(canon.B64(s.raw)), []byte(canon.B64(universal)))
					return bytes.ReplaceAll(b, []byte(s.key[len("did:key:"):]), []byte(bad[len("did:key:"):]))
				})
				err := allReaders()[readerOf[name]].verify(forged, testNetwork)
				if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "small order") {
					t.Errorf("%s by %s: got %v, want ErrInvalid for a point of small order", name, enc, err)
				}
			}
		}
	}
}

// TestSmallOrderKeyInMemory skips the parsers: Verify refuses the key too.
func TestSmallOrderKeyInMemory(t *testing.T) {
	point := append([]byte{1}, make([]byte, 31)...)
	universal := append([]byte{1}, make([]byte, 63)...)
	c := testCheckpoint()
	c.Node = DIDOf(point)
	c.Signatures = []Signature{{Key: c.Node, Sig: canon.B64(universal)}}
	if err := Verify(c, testNetwork); !errors.Is(err, ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}

// TestVerifyNothing asks for no signature at all: that is no verification.
func TestVerifyNothing(t *testing.T) {
	for _, n := range []int{0, -1} {
		if err := VerifyFirst(testCheckpoint(), testNetwork, n); !errors.Is(err, ErrDenied) {
			t.Errorf("%d signatures: got %v, want ErrDenied", n, err)
		}
	}
}
