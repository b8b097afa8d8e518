package core

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/mr-tron/base58"
)

const w3cDID = "did:key:z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2"

func TestParseDID(t *testing.T) {
	for _, name := range []string{"alice", "bob", "carol"} {
		d := testDID(name)
		got, err := ParseDID(string(d))
		if err != nil || got != d {
			t.Errorf("%s: got %v, %v", d, got, err)
		}
		if pub, err := d.PublicKey(); err != nil || !pub.Equal(testKey(name).Public()) {
			t.Errorf("%s: got key %x, %v", d, pub, err)
		}
	}
	if _, err := ParseDID(w3cDID); err != nil {
		t.Errorf("W3C's: got %v", err)
	}
	other := base58.Encode(append([]byte{0xec, 0x01}, make([]byte, 32)...))
	for name, s := range map[string]string{
		"empty":         "",
		"no prefix":     w3cDID[8:],
		"key fragment":  w3cDID + "#" + w3cDID[8:],
		"short":         w3cDID[:55],
		"not base58":    w3cDID[:55] + "0",
		"upper case":    strings.ToUpper(w3cDID),
		"did:web":       "did:web:" + w3cDID[8:],
		"X25519 key":    didPrefix + other,
		"other letter":  w3cDID[:20] + "1" + w3cDID[21:],
		"leading ones":  didPrefix + "1" + w3cDID[10:],
		"trailing line": w3cDID[:55] + "\n",
	} {
		if _, err := ParseDID(s); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
}

// TestParseDIDBadPoints has the eight points of small order, each in every
// spelling that decoders take, and every y that is not below the prime.
func TestParseDIDBadPoints(t *testing.T) {
	points := map[string]string{
		"identity":               "0100000000000000000000000000000000000000000000000000000000000000",
		"order 2":                "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"order 4":                "0000000000000000000000000000000000000000000000000000000000000000",
		"order 4, other x":       "0000000000000000000000000000000000000000000000000000000000000080",
		"order 8":                "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"order 8, other x":       "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"order 8, other y":       "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"order 8, other y and x": "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
		"identity, -0":           "0100000000000000000000000000000000000000000000000000000000000080",
		"order 2, -0":            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"not on the curve":       "0200000000000000000000000000000000000000000000000000000000000000",
	}
	for low := 0xed; low <= 0xff; low++ { // y = p, p+1, ... 2^255-1
		for _, top := range []string{"7f", "ff"} {
			enc := fmt.Sprintf("%02x%s%s", low, strings.Repeat("ff", 30), top)
			points["y not below p: "+enc] = enc
		}
	}
	for name, enc := range points {
		t.Run(name, func(t *testing.T) {
			raw, err := hex.DecodeString(enc)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ParseDID(string(DIDOf(raw))); !errors.Is(err, ErrInvalid) {
				t.Errorf("got %v, want ErrInvalid", err)
			}
		})
	}
}

// TestSmallOrderY derives the table from the curve: the y of points whose
// eightfold is the identity satisfy one of these equations.
func TestSmallOrderY(t *testing.T) {
	mod := func(x *big.Int) *big.Int { return x.Mod(x, curveP) }
	for _, enc := range smallOrderY {
		var be [32]byte
		for i, b := range enc {
			be[31-i] = b
		}
		y := new(big.Int).SetBytes(be[:])
		y2 := mod(new(big.Int).Mul(y, y))
		// Order 8: doubling gives y' = 0, that is x² = -y², so d·y⁴ - 2y² - 1 = 0
		// after x² = (y²-1)/(d·y²+1).
		order8 := mod(new(big.Int).Sub(new(big.Int).Mul(curveD, mod(new(big.Int).Mul(y2, y2))), new(big.Int).Sub(big.NewInt(1), new(big.Int).Lsh(y2, 1))))
		if y2.Sign() != 0 && y2.Cmp(big.NewInt(1)) != 0 && order8.Sign() != 0 {
			t.Errorf("%x: not the y of a point of small order", enc)
		}
	}
}

func TestDIDNames(t *testing.T) {
	d := DID(w3cDID)
	if got := d.Short(); got != "z6Mk…swbTQ2" {
		t.Errorf("got %q", got)
	}
	if got := d.KeyID(); got != w3cDID+"#z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2" {
		t.Errorf("got %q", got)
	}
	if DID("x").Short() != "x" || DID("x").KeyID() != "x" {
		t.Error("a did that is none must be shown as it is")
	}
	if _, err := DID("x").NextHash(); !errors.Is(err, ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
	if _, err := DID("x").PeerID(); !errors.Is(err, ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}

// The peer ID of the key in libp2p's own test vector: the identity multihash of
// the protobuf that stands there.
// Source: libp2p specs, peer-ids, "Test vectors".
func TestPeerID(t *testing.T) {
	pub, err := hex.DecodeString("1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e")
	if err != nil {
		t.Fatal(err)
	}
	got, err := DIDOf(ed25519.PublicKey(pub)).PeerID()
	if err != nil || !strings.HasPrefix(got, "12D3KooW") || len(got) != 52 {
		t.Errorf("got %s, %v", got, err)
	}
	raw, err := base58.Decode(got)
	if err != nil || hex.EncodeToString(raw) != "0024080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e" {
		t.Errorf("got the multihash %x (%v)", raw, err)
	}
}

func TestDIDInJSON(t *testing.T) {
	var d DID
	if err := json.Unmarshal([]byte(`"`+w3cDID+`"`), &d); err != nil || d != w3cDID {
		t.Errorf("got %s, %v", d, err)
	}
	if err := json.Unmarshal([]byte(`"did:key:z6Mk"`), &d); !errors.Is(err, ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}

func FuzzParseDID(f *testing.F) {
	f.Add(w3cDID)
	f.Add("did:key:z6Mk")
	f.Add("did:key:z" + strings.Repeat("1", 47))
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDID(s)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("%q: got %v, want ErrInvalid", s, err)
			}
			return
		}
		pub, err := d.PublicKey()
		if err != nil || string(DIDOf(pub)) != s {
			t.Fatalf("%q: accepted, but spelled %q (%v)", s, DIDOf(pub), err)
		}
	})
}

func ExampleNewSigner() {
	signer := NewSigner(ed25519.NewKeyFromSeed(make([]byte, 32)))
	sig, err := signer.Sign([]byte("hello"))
	fmt.Println(signer.DID(), err)
	fmt.Println(VerifySignature(signer.DID(), []byte("hello"), sig), VerifySignature(signer.DID(), []byte("other"), sig))
	// Output:
	// did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp <nil>
	// <nil> signature of z6Mk…mDooWp: denied: does not verify
}

func ExampleParseDID() {
	did, err := ParseDID("did:key:z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2")
	fmt.Println(did.Short(), err)
	// Output: z6Mk…swbTQ2 <nil>
}
