package core_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/zerostate/zerostate/core"
)

// A caller takes an agent's offer, fills in what only a caller may say, and gets
// the id of the task.
func ExampleFillTemplate() {
	m, err := core.ParseManifest([]byte(`
spec:
  module: {uri: file:upper.wasm}
  inputs: [{name: text}]
  settlement: {priceMicros: 250}
`), "task.yaml")
	if err != nil {
		fmt.Println(err)
		return
	}
	offer, err := m.Template(contentRef("a module"))
	if err != nil {
		fmt.Println(err)
		return
	}
	nonce, seed := core.TaskNonce([32]byte{1}), core.TaskSeed([32]byte{2})
	task, err := core.FillTemplate(offer, map[string]core.InputRef{"text": contentRef("hello")}, nonce, seed)
	if err != nil {
		fmt.Println(err)
		return
	}
	id, err := task.TaskID()
	fmt.Println(id, err)
	fmt.Println("the worker agrees:", core.SameTemplate(task, offer) == nil)
	// Output:
	// c9ccc15de08319402f4ba699dd58ce0db7f0755ca64a5e5fa970fe0455a342b0 <nil>
	// the worker agrees: true
}

// What is wrong with a manifest comes back at once, with its place.
func ExampleParseManifest() {
	_, err := core.ParseManifest([]byte(`spec:
  module: {uri: file:upper.wasm}
  limit: {memory: 1MiB}
  outputs: [{name: stdout}]
`), "task.yaml")
	fmt.Println(err)
	fmt.Println(errors.Is(err, core.ErrInvalid))
	// Output:
	// task.yaml:3:3: spec.limit: is not a field of a task manifest, did you mean "limits"?
	// task.yaml:4:20: spec.outputs[0].name: "stdout" is the name of standard output
	// true
}

func ExampleCharge() {
	price := core.Price{Currency: "TEST", Unit: core.UnitByte, PriceMicros: 2, PerUnits: 1000}
	used := core.Metering{Verifiable: core.VerifiableMetering{Req: 1, Byte: 2501}}
	micros, err := core.Charge(price, used, 20_000)
	fmt.Println(micros, err)
	// Output: 6 <nil>
}

// A worker whose process died signs `lost` from what it journalled; the
// requester countersigns, and anyone verifies.
func ExampleNewReceipt() {
	agent, requester := taskSigner("agent"), taskSigner("requester")
	r, err := core.NewReceipt(exampleTask(), core.ReceiptTerms{
		Network: "zerostate-test", RequesterNode: requester.DID(), WorkerNode: taskSigner("worker").DID(),
		Agent: agent.DID(), CardCID: contentRef("card").CID, Requester: requester.DID(), Attempt: 1,
		Guild: contentRef("guild").SHA256, Executor: core.ReceiptExecutor{Name: "wasm", Version: "0.1.0"},
		MaxMicros: 250, Channel: contentRef("channel").SHA256, Lock: contentRef("lock").SHA256,
	}, core.RunResult{Outcome: core.OutcomeLost}, core.ReceiptTimes{Started: 1_800_000_000, Finished: 1_800_000_001}, core.EmptyAuditHead())
	if err != nil {
		fmt.Println(err)
		return
	}
	data, err := core.SignReceipt(r, agent)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = core.VerifyReceipt(data, "zerostate-test", false)
	fmt.Println(err)
	if data, err = core.Countersign(data, requester); err != nil {
		fmt.Println(err)
		return
	}
	r, err = core.VerifyReceipt(data, "zerostate-test", false)
	fmt.Println(r.Predicate.Outcome, r.Predicate.ChargeMicros, err)
	// Output:
	// receipt: the requester has not countersigned: denied
	// lost 0 <nil>
}

func taskSigner(name string) core.Signer {
	seed := sha256.Sum256([]byte("zerostate-test-" + name))
	return core.NewSigner(ed25519.NewKeyFromSeed(seed[:]))
}

// contentRef is content of one block, as a node's store would name it.
func contentRef(content string) core.InputRef {
	return core.InputRef(core.RefOf([]byte(content)))
}

func exampleTask() *core.Resolved {
	m, err := core.ParseManifest([]byte("spec: {module: {uri: file:upper.wasm}}"), "task.yaml")
	if err != nil {
		panic(err)
	}
	task, err := m.Resolve(core.Contents{Module: contentRef("a module"), Nonce: core.TaskNonce([32]byte{1}), Seed: core.TaskSeed([32]byte{2})})
	if err != nil {
		panic(err)
	}
	return task
}
