package interop

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/a2aproject/a2a-go/v2/a2a"
	a2apb "github.com/a2aproject/a2a-go/v2/a2apb/v1"
	"github.com/a2aproject/a2a-go/v2/a2apb/v1/pbconv"
	"github.com/gowebpki/jcs"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/zerostate/zerostate/core"
)

// draft is a card with all that a card may have, twice where it may be had twice.
func draft(t *testing.T) core.CardDraft {
	t.Helper()
	next, err := signer("agent-next").DID().NextHash()
	if err != nil {
		t.Fatal(err)
	}
	price := core.Price{Currency: "TEST", Unit: core.UnitByte, PriceMicros: 1<<53 - 1, PerUnits: 1000}
	return core.CardDraft{
		CardSpec: core.CardSpec{
			Name: `Büro <b>&amp; "Söhne"</b> 文書 🙂`, Description: "Line one?\\ It's <html> & more.", Version: "1.2.0",
			Region: "eu-west", DocumentationURL: "https://example.org/docs?a=1&b=2", IconURL: "https://example.org/icon.png",
			Provider:           &core.AgentProvider{Organization: "Example & Co", URL: "https://example.org/?q=<x>"},
			DefaultInputModes:  []string{"text/markdown", "text/plain"},
			DefaultOutputModes: []string{"text/html"},
			Skills: []core.Skill{
				{
					ID: "markdown-html", Name: "Markdown to HTML", Description: "One page from one document.",
					Tags: []string{"markdown", "html", "z", "a"}, Examples: []string{"turn this into a page", "0", "null"},
					InputModes: []string{"text/markdown"}, OutputModes: []string{"text/html", "application/xhtml+xml"},
				},
				{ID: "count", Name: "Count", Description: "Counts words.", Tags: []string{"text"}},
			},
		},
		Network: network, Next: next, Prev: strings.Repeat("0a", 32),
		Addresses: []string{"/ip4/127.0.0.1/udp/4001/quic-v1", "/dns4/example.org/tcp/4001"},
		Offerings: []core.Offering{
			{Skill: "markdown-html", Manifest: core.RefOf([]byte("a template")), Price: price},
			{Skill: "count", Manifest: core.RefOf([]byte("another")), Price: core.Price{Currency: "TEST", Unit: core.UnitRequest, PerUnits: 1}},
		},
		Limits:         &core.CardLimits{InputBytes: 1<<53 - 1, OutputBytes: 1, Parallel: 4},
		EmbeddingModel: &core.CardModel{ID: "ngram", Digest: strings.Repeat("b0", 32)},
		Extensions: []core.AgentExtension{
			{
				URI: "https://example.org/other", Description: "not ours", Required: true,
				Params: json.RawMessage(`{"":"","a":[],"b":{},"c":[null,false,0,-9007199254740991],"d":null,"e":{"@type":"x"}}`),
			},
			{URI: "https://example.org/bare"},
		},
	}
}

// least drops all that a card need not have.
func least(d core.CardDraft) core.CardDraft {
	spec := d.CardSpec
	spec.Region, spec.DocumentationURL, spec.IconURL, spec.Provider = "", "", "", nil
	spec.Skills = spec.Skills[1:]
	return core.CardDraft{CardSpec: spec, Network: d.Network, Next: d.Next}
}

// cards are signed cards by name.
func cards(t *testing.T) map[string][]byte {
	t.Helper()
	all := map[string][]byte{"golden": golden(t, "card.json")}
	revoked := least(draft(t))
	revoked.Status, revoked.Life = core.CardRevoked, time.Hour
	for name, d := range map[string]core.CardDraft{"rich": draft(t), "least": least(draft(t)), "revoked": revoked} {
		data, err := core.BuildCard(d, signer("agent"), signer("node"), signed)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[name] = data
	}
	return all
}

// projection is what an A2A endpoint serves of a card: all but the members of
// JSON-LD and Data Integrity.
func projection(card []byte) ([]byte, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(card, &members); err != nil {
		return nil, err
	}
	for _, name := range []string{"@context", "id", "type", "proof"} {
		delete(members, name)
	}
	return json.Marshal(members)
}

// through are the ways of a card through a2a-go and back to JSON.
func through() map[string]func(card []byte) ([]byte, error) {
	return map[string]func([]byte) ([]byte, error){
		"a2a.AgentCard": func(card []byte) ([]byte, error) {
			var c a2a.AgentCard
			if err := json.Unmarshal(card, &c); err != nil {
				return nil, err
			}
			return json.Marshal(&c)
		},
		"strict protojson of the projection": func(card []byte) ([]byte, error) {
			served, err := projection(card)
			if err != nil {
				return nil, err
			}
			return throughProto(protojson.UnmarshalOptions{}, served)
		},
		"lenient protojson of the whole card": func(card []byte) ([]byte, error) {
			return throughProto(protojson.UnmarshalOptions{DiscardUnknown: true}, card)
		},
		"protobuf, then a2a.AgentCard": func(card []byte) ([]byte, error) {
			var p a2apb.AgentCard
			if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(card, &p); err != nil {
				return nil, err
			}
			c, err := pbconv.FromProtoAgentCard(&p)
			if err != nil {
				return nil, err
			}
			return json.Marshal(c)
		},
	}
}

func throughProto(options protojson.UnmarshalOptions, card []byte) ([]byte, error) {
	var p a2apb.AgentCard
	if err := options.Unmarshal(card, &p); err != nil {
		return nil, err
	}
	return protojson.Marshal(&p)
}

// verifyJWS verifies the one JWS of a card as a stranger does who knows A2A
// section 8.4, RFC 7515 and did:key, and none of our rules: over the card that it
// has, without `signatures`, canonical. It uses core for the key of a did only.
func verifyJWS(card []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(card, &members); err != nil {
		return err
	}
	var jws []struct{ Protected, Signature string }
	if err := json.Unmarshal(members["signatures"], &jws); err != nil {
		return fmt.Errorf("signatures: %w", err)
	}
	if len(jws) != 1 {
		return fmt.Errorf("%d signatures, want 1", len(jws))
	}
	delete(members, "signatures")
	rest, err := json.Marshal(members)
	if err != nil {
		return err
	}
	payload, err := jcs.Transform(rest)
	if err != nil {
		return err
	}
	key, err := keyOf(jws[0].Protected)
	if err != nil {
		return err
	}
	sig, err := base64.RawURLEncoding.DecodeString(jws[0].Signature)
	if err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	if !ed25519.Verify(key, []byte(jws[0].Protected+"."+base64.RawURLEncoding.EncodeToString(payload)), sig) {
		return fmt.Errorf("the JWS does not verify over %s", payload)
	}
	return nil
}

// keyOf reads a protected header and returns the key that its kid names.
func keyOf(protected string) (ed25519.PublicKey, error) {
	data, err := base64.RawURLEncoding.DecodeString(protected)
	if err != nil {
		return nil, fmt.Errorf("protected: %w", err)
	}
	var header struct{ Alg, Kid, Typ string }
	if err := json.Unmarshal(data, &header); err != nil {
		return nil, fmt.Errorf("protected: %w", err)
	}
	if header.Alg != "EdDSA" || header.Typ != "JOSE" {
		return nil, fmt.Errorf("header %s, want alg EdDSA and typ JOSE", data)
	}
	did, _, _ := strings.Cut(header.Kid, "#")
	return core.DID(did).PublicKey()
}

// TestCardThroughA2A sends each card through each of a2a-go's types: none loses a
// member or adds a default value, so the JWS verifies over what comes back.
func TestCardThroughA2A(t *testing.T) {
	for name, card := range cards(t) {
		served, err := projection(card)
		if err != nil {
			t.Fatal(err)
		}
		want, err := jcs.Transform(served)
		if err != nil {
			t.Fatal(err)
		}
		if err := verifyJWS(want); err != nil {
			t.Errorf("%s as it is: %v", name, err)
		}
		for way, send := range through() {
			t.Run(name+"/"+way, func(t *testing.T) {
				back, err := send(card)
				if err != nil {
					t.Fatal(err)
				}
				if err := verifyJWS(back); err != nil {
					t.Error(err)
				}
				got, err := jcs.Transform(back)
				if err != nil {
					t.Fatal(err)
				}
				if string(got) != string(want) {
					t.Errorf("got\n%s\nwant\n%s", got, want)
				}
			})
		}
	}
}

// TestCardChangedInA2A changes one thing in a2a-go's type: the JWS must notice.
func TestCardChangedInA2A(t *testing.T) {
	for name, change := range map[string]func(*a2a.AgentCard){
		"name":         func(c *a2a.AgentCard) { c.Name += "!" },
		"description":  func(c *a2a.AgentCard) { c.Description = "" },
		"a tag":        func(c *a2a.AgentCard) { c.Skills[0].Tags[0] = "other" },
		"no tags":      func(c *a2a.AgentCard) { c.Skills[0].Tags = nil },
		"a capability": func(c *a2a.AgentCard) { c.Capabilities.Streaming = true },
		"the network":  func(c *a2a.AgentCard) { c.Capabilities.Extensions[0].Params["network"] = "other" },
		"the price": func(c *a2a.AgentCard) {
			offers := c.Capabilities.Extensions[0].Params["offers"].([]any)
			offers[0].(map[string]any)["price"].(map[string]any)["priceMicros"] = 1
		},
		"the interface": func(c *a2a.AgentCard) { c.SupportedInterfaces[0].URL = "https://example.org" },
		"the signature": func(c *a2a.AgentCard) {
			c.Signatures[0].Signature = base64.RawURLEncoding.EncodeToString(make([]byte, ed25519.SignatureSize))
		},
	} {
		var c a2a.AgentCard
		if err := json.Unmarshal(golden(t, "card.json"), &c); err != nil {
			t.Fatal(err)
		}
		change(&c)
		back, err := json.Marshal(&c)
		if err != nil {
			t.Fatal(err)
		}
		if err := verifyJWS(back); err == nil {
			t.Errorf("%s: the JWS still verifies", name)
		}
	}
}

// TestStrictProtojsonRefusesLinkedData shows why an A2A endpoint serves the
// projection and not the card.
func TestStrictProtojsonRefusesLinkedData(t *testing.T) {
	if _, err := throughProto(protojson.UnmarshalOptions{}, golden(t, "card.json")); err == nil {
		t.Error("strict protojson accepts @context now: serve the whole card")
	}
}

// TestConversionToProtobufAddsDefaults pins a fault of a2a-go's: its conversion
// from AgentCard to protobuf marks members as present that the card does not
// have (streaming, iconUrl...), so no JWS of any card survives it. Whoever
// forwards our cards keeps to one of the two types.
func TestConversionToProtobufAddsDefaults(t *testing.T) {
	var c a2a.AgentCard
	if err := json.Unmarshal(golden(t, "card.json"), &c); err != nil {
		t.Fatal(err)
	}
	p, err := pbconv.ToProtoAgentCard(&c)
	if err != nil {
		t.Fatal(err)
	}
	back, err := protojson.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := verifyJWS(back); err == nil {
		t.Error("the conversion keeps cards as they are now: move it to `through`")
	}
}

// TestCardRefusesDefaults has what a2a-go's types would drop or rewrite: core
// does not sign it.
func TestCardRefusesDefaults(t *testing.T) {
	for name, change := range map[string]func(*core.CardDraft){
		"no tags":                    func(d *core.CardDraft) { d.Skills[0].Tags = nil },
		"empty tags":                 func(d *core.CardDraft) { d.Skills[0].Tags = []string{} },
		"no skills":                  func(d *core.CardDraft) { d.Skills, d.Offerings = nil, nil },
		"no description":             func(d *core.CardDraft) { d.Description = "" },
		"no input modes":             func(d *core.CardDraft) { d.DefaultInputModes = nil },
		"a provider without a URL":   func(d *core.CardDraft) { d.Provider.URL = "" },
		"empty params of an unknown": func(d *core.CardDraft) { d.Extensions[1].Params = json.RawMessage(`{}`) },
		"null params of an unknown":  func(d *core.CardDraft) { d.Extensions[1].Params = json.RawMessage(`null`) },
		"a fraction in params":       func(d *core.CardDraft) { d.Extensions[1].Params = json.RawMessage(`{"a":0.1}`) },
		"a number above 2^53-1":      func(d *core.CardDraft) { d.Extensions[1].Params = json.RawMessage(`{"a":9007199254740993}`) },
	} {
		d := draft(t)
		change(&d)
		if data, err := core.BuildCard(d, signer("agent"), signer("node"), signed); err == nil {
			t.Errorf("%s: core signs it: %s", name, data)
		}
	}
}
