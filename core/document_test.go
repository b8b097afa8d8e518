package core

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/zerostate/zerostate/core/internal/canon"
)

func testAnnouncement() *Announcement {
	return &Announcement{
		Network: "zerostate-test", DID: testDID("agent"), Seq: MillisOf(testNow),
		CID: canon.CIDRaw(nil), Node: testDID("node"), Time: TimeOf(testNow),
	}
}

func TestSignAndVerify(t *testing.T) {
	a := testAnnouncement()
	unsigned, err := Digest(a)
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(a, a.Network); !errors.Is(err, ErrDenied) {
		t.Errorf("without a signature: got %v, want ErrDenied", err)
	}
	if err := VerifyFirst(a, a.Network, 0); !errors.Is(err, ErrDenied) {
		t.Errorf("none wanted: got %v, want ErrDenied", err)
	}
	if err := Sign(a, testSigner("agent")); !errors.Is(err, ErrDenied) {
		t.Errorf("by another: got %v, want ErrDenied", err)
	}
	if err := Sign(a, testSigner("node")); err != nil {
		t.Fatal(err)
	}
	if err := Sign(a, testSigner("node")); !errors.Is(err, ErrDenied) {
		t.Errorf("twice: got %v, want ErrDenied", err)
	}
	if err := Verify(a, a.Network); err != nil {
		t.Errorf("got %v, want no error", err)
	}
	if err := VerifyFirst(a, a.Network, 2); !errors.Is(err, ErrDenied) {
		t.Errorf("more than its signers: got %v, want ErrDenied", err)
	}
	if signed, err := Digest(a); err != nil || signed != unsigned {
		t.Errorf("the digest covers the signatures: got %s, want %s (%v)", signed, unsigned, err)
	}
	bad := *a
	bad.Signatures = []Signature{{Key: testDID("agent"), Sig: a.Signatures[0].Sig}}
	if err := Verify(&bad, a.Network); !errors.Is(err, ErrDenied) {
		t.Errorf("another key: got %v, want ErrDenied", err)
	}
	body, err := unsignedBytes(a)
	if err != nil {
		t.Fatal(err)
	}
	valid, err := testSigner("agent").Sign(SigningInput(TypeAnnouncement, body))
	if err != nil {
		t.Fatal(err)
	}
	bad.Signatures = []Signature{{Key: testDID("agent"), Sig: canon.B64(valid)}}
	if err := Verify(&bad, a.Network); !errors.Is(err, ErrDenied) {
		t.Errorf("a valid signature of another signer: got %v, want ErrDenied", err)
	}
	bad.Signatures = []Signature{{Key: a.Node, Sig: "x"}}
	if err := Verify(&bad, a.Network); !errors.Is(err, ErrInvalid) {
		t.Errorf("not base64: got %v, want ErrInvalid", err)
	}
	bad = *a
	bad.Seq++
	if err := Verify(&bad, a.Network); !errors.Is(err, ErrDenied) {
		t.Errorf("changed: got %v, want ErrDenied", err)
	}
	bad.Seq = 0
	for name, err := range map[string]error{"verify": Verify(&bad, a.Network), "sign": Sign(&Announcement{Node: a.Node}, testSigner("node"))} {
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%s what breaks a rule: got %v, want ErrInvalid", name, err)
		}
	}
	if _, err := Digest(&bad); !errors.Is(err, ErrInvalid) {
		t.Errorf("digest of what breaks a rule: got %v, want ErrInvalid", err)
	}
}

// TestTypesDoNotMix signs the bytes of a document as each other type.
func TestTypesDoNotMix(t *testing.T) {
	a := testAnnouncement()
	body, err := unsignedBytes(a)
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []DocType{
		TypeCardRecord, TypeOffer, TypeAccept, TypeCommit, TypeState, TypeClaim, TypeSummary,
		TypeEvent, TypeAuditEntry, TypeCheckpoint, TypePinRequest, TypeEnvelope,
	} {
		sig, err := testSigner("node").Sign(SigningInput(other, body))
		if err != nil {
			t.Fatal(err)
		}
		a.Signatures = []Signature{{Key: a.Node, Sig: canon.B64(sig)}}
		if err := Verify(a, a.Network); !errors.Is(err, ErrDenied) {
			t.Errorf("signed as %s: got %v, want ErrDenied", other, err)
		}
	}
}

func TestSigningInput(t *testing.T) {
	got := string(SigningInput(TypeState, []byte("{}")))
	if want := "DSSEv1 47 application/vnd.zerostate.channel-state.v1+json 2 {}"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestParseRefuses(t *testing.T) {
	a := testAnnouncement()
	if err := Sign(a, testSigner("node")); err != nil {
		t.Fatal(err)
	}
	data, err := Encode(a)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse[Announcement](data); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"newline":         append(bytes.Clone(data), '\n'),
		"space":           bytes.Replace(data, []byte(`":`), []byte(`": `), 1),
		"unknown field":   append([]byte(`{"Z":1,`), data[1:]...),
		"small order key": bytes.ReplaceAll(data, []byte(testDID("agent")), []byte(DIDOf(make([]byte, 32)))),
		"too large":       append([]byte(`{"a":"`+strings.Repeat("a", maxSmallDocument)+`",`), data[1:]...),
	} {
		if _, err := Parse[Announcement](text); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
}

func TestEncodeTooLarge(t *testing.T) {
	a := testAnnouncement()
	for range 200 {
		a.Signatures = append(a.Signatures, Signature{Key: a.Node, Sig: canon.B64(make([]byte, 64))})
	}
	if _, err := Encode(a); !errors.Is(err, ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}

func ExampleSign() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	node := testSigner("node")
	a := &Announcement{Network: "zerostate-test", DID: testDID("agent"), Seq: MillisOf(now), Node: node.DID(), Time: TimeOf(now)}
	fmt.Println(Sign(a, node), Verify(a, "zerostate-test"))
	a.Seq++
	fmt.Println(errors.Is(Verify(a, "zerostate-test"), ErrDenied))
	// Output:
	// <nil> <nil>
	// true
}
