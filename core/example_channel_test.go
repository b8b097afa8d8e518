package core_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/zerostate/zerostate/core"
)

// channelSigner makes a key from a name, which nobody should do with real ones.
func channelSigner(name string) core.Signer {
	seed := sha256.Sum256([]byte(name))
	return core.NewSigner(ed25519.NewKeyFromSeed(seed[:]))
}

func channelParams() *core.Params {
	nonce := sha256.Sum256([]byte("nonce"))
	return &core.Params{
		Backend: "mock", ChallengeWindowMs: 600_000, Currency: "TEST", DepositMicros: 1_000_000,
		Network: "zerostate-test", Nonce: base64.RawURLEncoding.EncodeToString(nonce[:]),
		Payer: channelSigner("payer").DID(), Payee: channelSigner("payee").DID(), Suite: core.SuiteEd25519,
	}
}

func channelHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// A channel opens with everything at the payer; then a task's price is locked,
// and both sides sign, the payer first.
func ExampleNextState() {
	p := channelParams()
	open, err := core.OpeningState(p, core.EmptyAuditHead())
	if err != nil {
		fmt.Println(err)
		return
	}
	lock := core.Lock{
		Agent: channelSigner("agent").DID(), Attempt: 1, MaxMicros: 20_000,
		Expires:   core.TimeOf(time.Date(2026, 3, 1, 12, 10, 0, 0, time.UTC)),
		PriceHash: channelHash("price"), Task: channelHash("task"),
	}
	next, err := core.NextState(p, open, core.Changes{Add: []core.Lock{lock}, AuditHead: core.EmptyAuditHead()})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, name := range []string{"payer", "payee"} {
		if err := core.Sign(next, channelSigner(name)); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println(next.Version, next.PayerMicros, next.LockedMicros(), next.PayeeMicros)
	fmt.Println(core.CheckFollows(p, open, next, nil), core.Verify(next, "zerostate-test"))
	// Output:
	// 1 980000 20000 0
	// <nil> <nil>
}

// The payee disappears: after the window, everything that no receipt pays goes
// back to the payer.
func ExampleDisputeOutcome() {
	p := channelParams()
	open, err := core.OpeningState(p, core.EmptyAuditHead())
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, name := range []string{"payer", "payee"} {
		if err := core.Sign(open, channelSigner(name)); err != nil {
			fmt.Println(err)
			return
		}
	}
	filed := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, wait := range []time.Duration{0, p.ChallengeWindow()} {
		end, err := core.DisputeOutcome(p, []*core.State{open}, nil, filed, filed.Add(wait))
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(end.Closed, end.PayerMicros, end.PayeeMicros)
	}
	// Output:
	// false 1000000 0
	// true 1000000 0
}

// An audit log is a chain: each entry names the digest of the one before.
func ExampleCheckChain() {
	node := channelSigner("payer")
	first := &core.AuditEntry{
		Kind: core.AuditNodeStart, Network: "zerostate-test", Node: node.DID(), Subject: "node",
		Time: core.TimeOf(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)),
	}
	head, err := first.Head()
	if err != nil {
		fmt.Println(err)
		return
	}
	second := *first
	second.Kind, second.Index, second.Prev = core.AuditNodeStop, head.Size, head.Root
	fmt.Println(core.CheckChain(first, &second))
	second.Index++
	fmt.Println(core.CheckChain(first, &second))
	// Output:
	// <nil>
	// audit entry 2: does not follow entry 0: invalid
}

// A guild's id is the hash of the commit that founds it.
func ExampleGuildID() {
	key := base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	id, err := core.GuildID(&core.Commit{
		GuildKey: key, Network: "zerostate-test", Nonce: key, Suites: []string{core.SuiteX25519}, TTLMs: 60_000,
		Members: []core.Member{
			{Node: channelSigner("payer").DID(), Role: core.RoleRequester},
			{Node: channelSigner("payee").DID(), Role: core.RoleWorker},
		},
	})
	fmt.Println(len(id), err)
	// Output: 64 <nil>
}
