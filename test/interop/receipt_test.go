package interop

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"testing"

	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/zerostate/zerostate/core"
)

// didKey is a verifier of the DSSE library whose KeyID is a did.
type didKey struct {
	did core.DID
	pub ed25519.PublicKey
}

func (k didKey) KeyID() (string, error)   { return string(k.did), nil }
func (k didKey) Public() crypto.PublicKey { return k.pub }

func (k didKey) Verify(_ context.Context, data, sig []byte) error {
	if !ed25519.Verify(k.pub, data, sig) {
		return errors.New("the signature does not verify")
	}
	return nil
}

func keys(t *testing.T, dids ...core.DID) []dsse.Verifier {
	t.Helper()
	var all []dsse.Verifier
	for _, d := range dids {
		pub, err := d.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, didKey{d, pub})
	}
	return all
}

// receiptSigners reads who must sign the golden receipt out of its payload.
func receiptSigners(t *testing.T) (agent, requester core.DID) {
	t.Helper()
	r, err := core.VerifyReceipt(golden(t, "receipt.json"), network, false)
	if err != nil {
		t.Fatal(err)
	}
	return r.Predicate.Agent, r.Predicate.Requester
}

func envelope(t *testing.T) *dsse.Envelope {
	t.Helper()
	e := &dsse.Envelope{}
	if err := json.Unmarshal(golden(t, "receipt.json"), e); err != nil {
		t.Fatal(err)
	}
	return e
}

// verify asks the stock library for the signatures of both.
func verify(t *testing.T, e *dsse.Envelope, dids ...core.DID) error {
	t.Helper()
	v, err := dsse.NewMultiEnvelopeVerifier(len(dids), keys(t, dids...)...)
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := v.Verify(t.Context(), e)
	if err == nil && len(accepted) != len(dids) {
		t.Errorf("got %d accepted keys, want %d", len(accepted), len(dids))
	}
	return err
}

func TestReceiptInDSSE(t *testing.T) {
	agent, requester := receiptSigners(t)
	for name, dids := range map[string][]core.DID{
		"both": {agent, requester}, "both, turned": {requester, agent}, "the worker": {agent}, "the requester": {requester},
	} {
		if err := verify(t, envelope(t), dids...); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	v, err := dsse.NewEnvelopeVerifier(keys(t, agent)...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), envelope(t)); err != nil {
		t.Errorf("one verifier: %v", err)
	}
}

// TestTamperedReceiptInDSSE changes a receipt: the stock library counts fewer
// than two signatures.
func TestTamperedReceiptInDSSE(t *testing.T) {
	agent, requester := receiptSigners(t)
	for name, change := range map[string]func(*dsse.Envelope){
		"payload": func(e *dsse.Envelope) {
			payload, err := e.DecodeB64Payload()
			if err != nil {
				t.Fatal(err)
			}
			cheaper := bytes.Replace(payload, []byte(`"chargeMicros":6`), []byte(`"chargeMicros":9`), 1)
			if bytes.Equal(cheaper, payload) {
				t.Fatal("the receipt has no charge of 6")
			}
			e.Payload = base64.StdEncoding.EncodeToString(cheaper)
		},
		"payload type":     func(e *dsse.Envelope) { e.PayloadType = "application/json" },
		"one signature":    func(e *dsse.Envelope) { e.Signatures = e.Signatures[:1] },
		"the same twice":   func(e *dsse.Envelope) { e.Signatures[1] = e.Signatures[0] },
		"keyids turned":    func(e *dsse.Envelope) { s := e.Signatures; s[0].KeyID, s[1].KeyID = s[1].KeyID, s[0].KeyID },
		"signatures moved": func(e *dsse.Envelope) { s := e.Signatures; s[0].Sig, s[1].Sig = s[1].Sig, s[0].Sig },
		"requester's zero": func(e *dsse.Envelope) { e.Signatures[1].Sig = base64.StdEncoding.EncodeToString(make([]byte, 64)) },
	} {
		e := envelope(t)
		change(e)
		if err := verify(t, e, agent, requester); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := verify(t, envelope(t), agent, signer("stranger").DID()); err == nil {
		t.Error("a stranger stands for the requester")
	}
}

// TestReceiptInInToto reads the payload with in-toto's own type, strictly.
func TestReceiptInInToto(t *testing.T) {
	payload, err := envelope(t).DecodeB64Payload()
	if err != nil {
		t.Fatal(err)
	}
	st := &intoto.Statement{}
	if err := protojson.Unmarshal(payload, st); err != nil {
		t.Fatal(err)
	}
	if err := st.Validate(); err != nil {
		t.Fatal(err)
	}
	if got, want := st.GetPredicateType(), "https://zerostate.dev/receipt/v1"; got != want {
		t.Errorf("predicate type: got %s, want %s", got, want)
	}
	for _, s := range st.GetSubject() {
		if s.GetName() == "" || len(s.GetDigest()["sha256"]) != 64 {
			t.Errorf("subject: got %v, want a name and a sha256", s)
		}
	}
	dependencies := st.GetPredicate().GetFields()["resolvedDependencies"].GetListValue().GetValues()
	if len(dependencies) < 2 {
		t.Errorf("got %d dependencies, want manifest and module at least", len(dependencies))
	}
	for _, d := range dependencies {
		data, err := d.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		rd := &intoto.ResourceDescriptor{}
		if err := protojson.Unmarshal(data, rd); err != nil {
			t.Errorf("dependency %s: %v", data, err)
			continue
		}
		if err := rd.Validate(); err != nil {
			t.Errorf("dependency %s: %v", data, err)
		}
	}
}
