package core

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zerostate/zerostate/core/internal/canon"
)

// testDraft is a card with everything that a card may have.
func testDraft() CardDraft {
	next, err := testDID("agent-next").NextHash()
	if err != nil {
		panic(err)
	}
	return CardDraft{
		CardSpec: CardSpec{
			Name: "Markdown to HTML", Description: "Turns Markdown documents into web pages.", Version: "1.2.0", Region: "eu-west",
			DocumentationURL: "https://example.org/docs", IconURL: "https://example.org/icon.png",
			Provider:          &AgentProvider{Organization: "Example", URL: "https://example.org"},
			DefaultInputModes: []string{"text/markdown"}, DefaultOutputModes: []string{"text/html"},
			Skills: []Skill{{
				ID: "markdown-html", Name: "Markdown to HTML", Description: "One page of HTML from one document.",
				Tags: []string{"markdown", "html"}, Examples: []string{"turn this document into a web page"},
				InputModes: []string{"text/markdown"}, OutputModes: []string{"text/html"},
			}},
		},
		Network: "zerostate-test", Next: next, Prev: canon.SHA256Hex([]byte("the last card")),
		Addresses: []string{"/ip4/127.0.0.1/udp/4001/quic-v1"},
		Offerings: []Offering{{
			Skill: "markdown-html", Manifest: RefOf([]byte("a template")),
			Price: Price{Currency: "TEST", Unit: UnitByte, PriceMicros: 2, PerUnits: 1000},
		}},
		Limits:         &CardLimits{InputBytes: 1 << 20, Parallel: 4},
		EmbeddingModel: &CardModel{ID: "ngram", Digest: canon.SHA256Hex([]byte("model"))},
		Extensions: []AgentExtension{{
			URI: "https://example.org/other", Description: "not ours", Required: true,
			Params: json.RawMessage(`{"deep":{"list":[1,null,true,{"a":"b"}]},"name":"x"}`),
		}},
	}
}

// testCard builds a card of the agent "agent" on the node "node".
func testCard(tb testing.TB, change func(*CardDraft), now time.Time) []byte {
	tb.Helper()
	d := testDraft()
	if change != nil {
		change(&d)
	}
	data, err := BuildCard(d, testSigner("agent"), testSigner("node"), now)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// forgeCard signs a card as BuildCard does, after change, without its checks.
func forgeCard(t *testing.T, change func(*Card), agent, node Signer) []byte {
	t.Helper()
	c, err := testDraft().card(testDID("agent"), testDID("node"), testNow)
	if err != nil {
		t.Fatal(err)
	}
	change(c)
	for i, e := range c.Capabilities.Extensions {
		if e.URI == CardExtension && e.Params != nil {
			if c.Capabilities.Extensions[i].Params, err = canon.Encode(c.params); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(c.addJWS(agent), c.addProofs(agent, node)); err != nil {
		t.Fatal(err)
	}
	data, err := canon.Encode(c)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestBuildCard(t *testing.T) {
	data := testCard(t, nil, testNow)
	golden(t, "card.json", data)
	c, err := VerifyCard(data, "zerostate-test", testNow)
	if err != nil {
		t.Fatal(err)
	}
	p := c.Params()
	if c.ID != testDID("agent") || p.Node != testDID("node") || p.Status != CardActive || p.Seq != MillisOf(testNow) {
		t.Errorf("got %+v", p)
	}
	if p.Expires != p.Issued.Add(MaxCardLife) || len(c.Proof) != 2 || len(c.Signatures) != 1 {
		t.Errorf("got expires %s, %d proofs, %d signatures", p.Expires, len(c.Proof), len(c.Signatures))
	}
	if got := string(c.Capabilities.Extensions[1].Params); got != string(testDraft().Extensions[0].Params) {
		t.Errorf("params that are not ours: got %s", got)
	}
	if got := CardCID(data); canon.CheckCID(got) != nil {
		t.Errorf("CID: got %s", got)
	}
	if c.Skill("none") != nil || c.Skill("markdown-html").Name != "Markdown to HTML" {
		t.Error("Skill does not find skills by id")
	}
}

// onlyRequired drops all that a card need not have.
func onlyRequired(d *CardDraft) {
	*d = CardDraft{CardSpec: d.CardSpec, Network: d.Network, Next: d.Next}
	d.Region, d.DocumentationURL, d.IconURL, d.Provider = "", "", "", nil
	d.Skills = []Skill{{ID: "a", Name: "a", Description: "a", Tags: []string{"a"}}}
}

// TestCardStaysSmall checks that nothing is emitted with a default value.
func TestCardStaysSmall(t *testing.T) {
	data := testCard(t, onlyRequired, testNow)
	for _, word := range []string{`""`, "null", "[]", "{}", "false", `":0`} {
		if bytes.Contains(data, []byte(word)) {
			t.Errorf("the card holds %s: %s", word, data)
		}
	}
}

// TestCardEveryBit flips each bit of a card, and of a card with everything one
// bit of each byte.
func TestCardEveryBit(t *testing.T) {
	flip := func(data []byte, i, bit int) {
		flipped := bytes.Clone(data)
		flipped[i] ^= 1 << bit
		_, err := VerifyCard(flipped, "zerostate-test", testNow)
		if err == nil {
			t.Fatalf("bit %d of byte %d flipped (%q to %q): the card still verifies", bit, i, data[i], flipped[i])
		}
		if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrDenied) && !errors.Is(err, ErrUnsupported) {
			t.Fatalf("byte %d: got %v, want one of our errors", i, err)
		}
	}
	small, data := testCard(t, onlyRequired, testNow), testCard(t, nil, testNow)
	for _, card := range [][]byte{small, data} {
		for i := range card {
			for bit := range 8 {
				if !raceSkips(i, bit) {
					flip(card, i, bit)
				}
			}
		}
	}
	for _, tail := range []string{"\n", " ", "{}", "\x00"} {
		if _, err := VerifyCard(append(bytes.Clone(data), tail...), "zerostate-test", testNow); !errors.Is(err, ErrInvalid) {
			t.Errorf("with %q after it: got %v, want ErrInvalid", tail, err)
		}
	}
}

func TestVerifyCardTimes(t *testing.T) {
	data := testCard(t, func(d *CardDraft) { d.Life = time.Hour }, testNow)
	for name, c := range map[string]struct {
		now  time.Time
		want error
	}{
		"signed 2 minutes ahead": {testNow.Add(-2 * time.Minute), nil},
		"signed further ahead":   {testNow.Add(-2*time.Minute - time.Millisecond), ErrDenied},
		"last moment":            {testNow.Add(time.Hour - time.Nanosecond), nil},
		"expired":                {testNow.Add(time.Hour), ErrDenied},
	} {
		if _, err := VerifyCard(data, "zerostate-test", c.now); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	if _, err := VerifyCard(data, "other", testNow); !errors.Is(err, ErrDenied) {
		t.Errorf("another network: got %v, want ErrDenied", err)
	}
}

func TestCardRefuses(t *testing.T) {
	stranger := testSigner("stranger")
	other := testDID("stranger")
	cases := map[string]struct {
		change      func(*Card)
		agent, node Signer
		want        error
	}{
		"id of another":            {change: func(c *Card) { c.ID = other }, want: ErrInvalid},
		"did of another":           {change: func(c *Card) { c.params.DID = other }, want: ErrInvalid},
		"node of another":          {change: func(c *Card) { c.params.Node = other }, want: ErrInvalid},
		"agent's proof by another": {change: func(*Card) {}, agent: stranger, want: ErrInvalid},
		"node's proof by another":  {change: func(*Card) {}, node: stranger, want: ErrInvalid},
		"peer of another":          {change: func(c *Card) { c.params.Peer = "12D3KooW" }, want: ErrInvalid},
		"context":                  {change: func(c *Card) { c.Context = c.Context[:1] }, want: ErrInvalid},
		"type":                     {change: func(c *Card) { c.Type = "Card" }, want: ErrInvalid},
		"no extension":             {change: func(c *Card) { c.Capabilities.Extensions = c.Capabilities.Extensions[1:] }, want: ErrInvalid},
		"no params":                {change: func(c *Card) { c.Capabilities.Extensions[0].Params = nil }, want: ErrInvalid},
		"our extension twice": {change: func(c *Card) {
			c.Capabilities.Extensions = append(c.Capabilities.Extensions, c.Capabilities.Extensions[0])
		}, want: ErrInvalid},
		"params of others no object": {change: func(c *Card) { c.Capabilities.Extensions[1].Params = json.RawMessage(`[]`) }, want: ErrInvalid},
		"params of others empty":     {change: func(c *Card) { c.Capabilities.Extensions[1].Params = json.RawMessage(`{}`) }, want: ErrInvalid},
		"no name":                    {change: func(c *Card) { c.Name = "" }, want: ErrInvalid},
		"long name":                  {change: func(c *Card) { c.Name = strings.Repeat("a", 129) }, want: ErrInvalid},
		"no description":             {change: func(c *Card) { c.Description = "" }, want: ErrInvalid},
		"no skills":                  {change: func(c *Card) { c.Skills, c.params.Offers = nil, nil }, want: ErrInvalid},
		"no tags":                    {change: func(c *Card) { c.Skills[0].Tags = nil }, want: ErrInvalid},
		"empty tag":                  {change: func(c *Card) { c.Skills[0].Tags = []string{""} }, want: ErrInvalid},
		"skill twice":                {change: func(c *Card) { c.Skills = append(c.Skills, c.Skills[0]) }, want: ErrInvalid},
		"skill id":                   {change: func(c *Card) { c.Skills[0].ID, c.params.Offers = "a/b", nil }, want: ErrInvalid},
		"no modes":                   {change: func(c *Card) { c.DefaultInputModes = nil }, want: ErrInvalid},
		"no interface":               {change: func(c *Card) { c.SupportedInterfaces = nil }, want: ErrInvalid},
		"seq and issued differ":      {change: func(c *Card) { c.params.Seq += 1000 }, want: ErrInvalid},
		"expires too late":           {change: func(c *Card) { c.params.Expires = c.params.Issued.Add(MaxCardLife + time.Second) }, want: ErrInvalid},
		"expires before issued":      {change: func(c *Card) { c.params.Expires = c.params.Issued }, want: ErrInvalid},
		"status":                     {change: func(c *Card) { c.params.Status = "gone" }, want: ErrInvalid},
		"no next":                    {change: func(c *Card) { c.params.Next = "" }, want: ErrInvalid},
		"prev":                       {change: func(c *Card) { c.params.Prev = "x" }, want: ErrInvalid},
		"address":                    {change: func(c *Card) { c.params.Addresses = []string{"host:1"} }, want: ErrInvalid},
		"nine addresses":             {change: func(c *Card) { c.params.Addresses = slices.Repeat(c.params.Addresses, 9) }, want: ErrInvalid},
		"nine offers":                {change: func(c *Card) { c.params.Offers = slices.Repeat(c.params.Offers, 9) }, want: ErrInvalid},
		"offer of no skill":          {change: func(c *Card) { c.params.Offers[0].Skill = "none" }, want: ErrInvalid},
		"offer's sha256":             {change: func(c *Card) { c.params.Offers[0].Manifest.SHA256 = canon.SHA256Hex(nil) }, want: ErrInvalid},
		"offer's price":              {change: func(c *Card) { c.params.Offers[0].Price.PerUnits = 0 }, want: ErrInvalid},
		"empty limits":               {change: func(c *Card) { c.params.Limits = &CardLimits{} }, want: ErrInvalid},
		"no proofs listed":           {change: func(c *Card) { c.params.Proofs = nil }, want: ErrInvalid},
		"a suite twice":              {change: func(c *Card) { c.params.Proofs = []string{ProofEdDSA, ProofEdDSA} }, want: ErrInvalid},
		"a suite that is not made":   {change: func(c *Card) { c.params.Proofs = []string{ProofEdDSA, "mldsa44-jcs-2024"} }, want: ErrInvalid},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			agent, node := testSigner("agent"), testSigner("node")
			if c.agent != nil {
				agent = c.agent
			}
			if c.node != nil {
				node = c.node
			}
			if _, err := VerifyCard(forgeCard(t, c.change, agent, node), "zerostate-test", testNow); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	if _, err := VerifyCard(forgeCard(t, func(*Card) {}, testSigner("agent"), testSigner("node")), "zerostate-test", testNow); err != nil {
		t.Errorf("unchanged: got %v, want no error", err)
	}
}

// editCard changes the encoded card after it was signed.
func editCard(t *testing.T, change func(*Card)) []byte {
	t.Helper()
	c, err := ParseCard(testCard(t, nil, testNow))
	if err != nil {
		t.Fatal(err)
	}
	change(c)
	data, err := canon.Encode(c)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestCardProofsExact(t *testing.T) {
	cases := map[string]struct {
		change func(*Card)
		want   error
	}{
		"node's proof stripped": {func(c *Card) { c.Proof = c.Proof[:1] }, ErrInvalid},
		"all stripped":          {func(c *Card) { c.Proof = nil }, ErrInvalid},
		"one more":              {func(c *Card) { c.Proof = append(c.Proof, c.Proof[0]) }, ErrInvalid},
		"other order":           {func(c *Card) { slices.Reverse(c.Proof) }, ErrInvalid},
		"created":               {func(c *Card) { c.Proof[0].Created++ }, ErrInvalid},
		"purpose":               {func(c *Card) { c.Proof[0].ProofPurpose = "authentication" }, ErrInvalid},
		"context":               {func(c *Card) { c.Proof[1].Context = nil }, ErrInvalid},
		"type":                  {func(c *Card) { c.Proof[1].Type = "Ed25519Signature2020" }, ErrInvalid},
		"values swapped": {func(c *Card) {
			c.Proof[0].ProofValue, c.Proof[1].ProofValue = c.Proof[1].ProofValue, c.Proof[0].ProofValue
		}, ErrDenied},
		"node's value is the agent's": {func(c *Card) { c.Proof[1].ProofValue = c.Proof[0].ProofValue }, ErrDenied},
		"JWS stripped":                {func(c *Card) { c.Signatures = nil }, ErrDenied}, // the proofs cover it
		"JWS twice":                   {func(c *Card) { c.Signatures = slices.Repeat(c.Signatures, 2) }, ErrInvalid},
		"a name changed":              {func(c *Card) { c.Name += "!" }, ErrDenied},
		"others' params":              {func(c *Card) { c.Capabilities.Extensions[1].Params = json.RawMessage(`{"name":"x"}`) }, ErrDenied},
		"post-quantum too":            {func(c *Card) { c.Proof = append(c.Proof, c.Proof...) }, ErrInvalid},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := VerifyCard(editCard(t, c.change), "zerostate-test", testNow); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// TestCardJWS signs cards with a wrong JWS and right proofs over it.
func TestCardJWS(t *testing.T) {
	cases := map[string]struct {
		change func(*CardSignature)
		want   error
	}{
		"right":           {func(*CardSignature) {}, nil},
		"wrong signature": {func(s *CardSignature) { s.Signature = canon.B64URL(make([]byte, 64)) }, ErrDenied},
		"wrong header":    {func(s *CardSignature) { s.Protected = canon.B64URL([]byte(`{"alg":"none"}`)) }, ErrDenied},
		"not base64url":   {func(s *CardSignature) { s.Signature += "=" }, ErrInvalid},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			data := editCard(t, func(card *Card) {
				c.change(&card.Signatures[0])
				card.Proof = nil
				if err := card.addProofs(testSigner("agent"), testSigner("node")); err != nil {
					t.Fatal(err)
				}
			})
			if _, err := VerifyCard(data, "zerostate-test", testNow); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	data := editCard(t, func(card *Card) {
		card.Signatures, card.Proof = nil, nil
		if err := card.addProofs(testSigner("agent"), testSigner("node")); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := VerifyCard(data, "zerostate-test", testNow); err != nil {
		t.Errorf("without a JWS: got %v, want no error", err)
	}
}

// TestCardPostQuantum has a card with a suite that is only reserved: it must
// not pass, and the error must say why.
func TestCardPostQuantum(t *testing.T) {
	data := forgeCard(t, func(c *Card) { c.params.Proofs = []string{ProofEdDSA, "mldsa44-jcs-2024"} }, testSigner("agent"), testSigner("node"))
	c := new(Card)
	if err := json.Unmarshal(data, c); err != nil {
		t.Fatal(err)
	}
	for i := 2; i < 4; i++ {
		c.Proof[i].Cryptosuite, c.Proof[i].VerificationMethod = "mldsa44-jcs-2024", "did:key:z…#z…"
	}
	data, err := canon.Encode(c)
	if err != nil {
		t.Fatal(err)
	}
	_, err = VerifyCard(data, "zerostate-test", testNow)
	if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "mldsa44-jcs-2024") {
		t.Errorf("got %v, want ErrUnsupported that names the suite", err)
	}
}

func TestBuildCardRefuses(t *testing.T) {
	cases := map[string]struct {
		change func(*CardDraft)
		want   error
	}{
		"no name":      {func(d *CardDraft) { d.Name = "" }, ErrInvalid},
		"life":         {func(d *CardDraft) { d.Life = MaxCardLife + time.Hour }, ErrInvalid},
		"price in gas": {func(d *CardDraft) { d.Offerings[0].Price.Unit = "gas" }, ErrUnsupported},
		"text":         {func(d *CardDraft) { d.Description = "a\nb" }, ErrInvalid},
		"too large": {func(d *CardDraft) {
			d.Extensions[0].Params = json.RawMessage(`{"a":"` + strings.Repeat("x", MaxCardBytes) + `"}`)
		}, ErrInvalid},
		"bad params": {func(d *CardDraft) { d.Region = "a\nb" }, ErrInvalid},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := testDraft()
			c.change(&d)
			if _, err := BuildCard(d, testSigner("agent"), testSigner("node"), testNow); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	boom := errors.New("no key")
	for name, pair := range map[string][2]Signer{
		"agent": {brokenSigner{testDID("agent"), boom}, testSigner("node")},
		"node":  {testSigner("agent"), brokenSigner{testDID("node"), boom}},
		"dids":  {testSigner("agent"), brokenSigner{"did:key:zno", boom}},
	} {
		if _, err := BuildCard(testDraft(), pair[0], pair[1], testNow); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

// brokenSigner is a signer whose key can not be used.
type brokenSigner struct {
	did DID
	err error
}

func (s brokenSigner) DID() DID                    { return s.did }
func (s brokenSigner) Sign([]byte) ([]byte, error) { return nil, s.err }

func TestOfferText(t *testing.T) {
	c, err := ParseCard(testCard(t, nil, testNow))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.OfferText(0); !strings.Contains(got, "markdown html") || !strings.Contains(got, "web pages") {
		t.Errorf("got %q", got)
	}
	c, err = ParseCard(testCard(t, func(d *CardDraft) { d.Description = strings.Repeat("é", 1000) }, testNow))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.OfferText(0); len(got) > 1024 || len(got) < 1022 || !strings.HasSuffix(got, "é") {
		t.Errorf("got %d bytes, want at most 1024, cut between characters", len(got))
	}
}

func TestCheckCardFollows(t *testing.T) {
	parse := func(data []byte) *Card {
		c, err := ParseCard(data)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := parse(testCard(t, nil, testNow))
	later := testNow.Add(time.Second)
	for name, c := range map[string]struct {
		next *Card
		want error
	}{
		"next":            {parse(testCard(t, nil, later)), nil},
		"same seq":        {first, ErrConflict},
		"other next":      {parse(testCard(t, func(d *CardDraft) { d.Next = canon.SHA256Hex(nil) }, later)), ErrDenied},
		"another network": {parse(testCard(t, func(d *CardDraft) { d.Network = "other" }, later)), ErrDenied},
	} {
		if err := CheckCardFollows(first, c.next); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

func TestCardDigest(t *testing.T) {
	data := testCard(t, nil, testNow)
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		t.Fatal(err)
	}
	delete(members, "signatures")
	bare, err := canon.Encode(members)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := CardDigest(data); err != nil || got != canon.SHA256Hex(bare) {
		t.Errorf("got %s, %v, want the sha256 without signatures, %s", got, err, canon.SHA256Hex(bare))
	}
	if _, err := CardDigest(data[1:]); !errors.Is(err, ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}

func TestDoubleSigned(t *testing.T) {
	a := testCard(t, nil, testNow)
	b := testCard(t, func(d *CardDraft) { d.Version = "6.6.6" }, testNow)
	forged := bytes.Replace(b, []byte("6.6.6"), []byte("7.7.7"), 1)
	for name, c := range map[string]struct {
		a, b []byte
		want bool
	}{
		"two of one seq":   {a, b, true},
		"the same":         {a, a, false},
		"two of two seqs":  {a, testCard(t, nil, testNow.Add(time.Millisecond)), false},
		"forged":           {a, forged, false},
		"forged first":     {forged, a, false},
		"not a card":       {a, []byte("{}"), false},
		"not a card first": {nil, a, false},
		"other network":    {a, testCard(t, func(d *CardDraft) { d.Network = "other" }, testNow), false},
	} {
		if got := DoubleSigned(c.a, c.b); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

func FuzzParseCard(f *testing.F) {
	data := testCard(f, nil, testNow)
	f.Add(data)
	f.Add([]byte(`{}`))
	f.Add(bytes.Replace(data, []byte("eu-west"), []byte("us-east"), 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseCard(data)
		if err != nil {
			return
		}
		again, err := canon.Encode(c)
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("accepted\n%s\nbut encoded\n%s\n(%v)", data, again, err)
		}
	})
}

func ExampleVerifyCard() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	agent, node := testSigner("agent"), testSigner("node")
	next, err := testDID("agent-next").NextHash()
	if err != nil {
		fmt.Println(err)
		return
	}
	data, err := BuildCard(CardDraft{
		CardSpec: CardSpec{
			Name: "QR codes", Description: "Draws QR codes.", Version: "1.0.0",
			DefaultInputModes: []string{"text/plain"}, DefaultOutputModes: []string{"image/png"},
			Skills: []Skill{{ID: "qr", Name: "QR code", Description: "A PNG from a text.", Tags: []string{"qr"}}},
		},
		Network: "zerostate-test", Next: next,
	}, agent, node, now)
	if err != nil {
		fmt.Println(err)
		return
	}
	card, err := VerifyCard(data, "zerostate-test", now)
	fmt.Println(card.Name, card.Params().Status, err)
	_, err = VerifyCard(data, "zerostate-test", now.Add(MaxCardLife))
	fmt.Println(err)
	// Output:
	// QR codes active <nil>
	// agent card: denied: expired at 2026-03-31T12:00:00Z
}
