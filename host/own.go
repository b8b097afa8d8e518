package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/zerostate/zerostate/core"
)

// A node does not hire itself: nobody signs a channel with himself, and a receipt
// that both sides sign needs two sides. So an agent of this very node runs
// without escrow, guild and receipt: find, execute, and nothing to settle.

// isOwn reports whether a candidate runs on this node.
func (t *taskRun) isOwn(c candidate) bool { return c.listing.card.Params().Node == t.n.DID() }

// runOwn runs an agent of this node on its own executor, unpaid.
func (t *taskRun) runOwn(ctx context.Context, c candidate) error {
	return t.step(ctx, "execute", func(ctx context.Context) (string, error) {
		h, err := t.hireFor(ctx, c)
		if err != nil {
			return "", err
		}
		t.hired = h
		r := t.result
		r.Task, r.Attempt, r.Agent, r.AgentName, r.Node = h.id, 1, h.agent(), h.name(), h.node()
		r.Manifest, r.Module, r.Path = h.manifest, h.task.Spec.Module.Digest.SHA256, "local"
		r.Currency, r.Settled = h.task.Spec.Settlement.Currency, "own agent: nothing to pay, no receipt"
		result, outputs, err := t.runHere(ctx)
		if err != nil {
			return "", err
		}
		r.Outcome, r.ExitCode, r.Reason = result.Outcome, int64(result.ExitCode), result.Reason
		for _, o := range outputs {
			r.Outputs = append(r.Outputs, Output{Name: o.Name, Content: Content(o.contentRef)})
		}
		detail := fmt.Sprintf("%s on this node: nothing to pay, no receipt", result.Outcome)
		if result.Outcome != core.OutcomeOK {
			return detail, &ExitError{Outcome: result.Outcome, Code: r.ExitCode, Reason: result.Reason}
		}
		return detail, nil
	})
}

// runHere runs the task in this node's executor.
func (t *taskRun) runHere(ctx context.Context) (core.RunResult, []storedOutput, error) {
	w := t.n.worker
	if w == nil {
		return core.RunResult{}, nil, fmt.Errorf("this node serves no tasks: %w", core.ErrUnsupported)
	}
	var inputs []contentRef
	for _, in := range t.hired.task.Spec.Inputs {
		inputs = append(inputs, contentRef(t.req.Inputs[in.Name]))
	}
	run := &workerRun{
		entry: &journalEntry{Manifest: t.hired.manifest, Terms: core.ReceiptTerms{Guild: "own-" + t.nonce}},
		task:  t.hired.task, done: make(chan struct{}),
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	result, outputs, err := w.runGuest(ctx, run, inputs, t.showOwn)
	if err == nil && ctx.Err() != nil {
		err = errors.Join(context.Cause(ctx))
	}
	return result, outputs, err
}

// showOwn passes on what the guest prints.
func (t *taskRun) showOwn(stream string, data []byte) error {
	t.ob.Output(stream, data)
	switch stream {
	case "stdout":
		t.result.Stdout = appendKept(t.result.Stdout, data)
	case "stderr":
		t.result.Stderr = appendKept(t.result.Stderr, data)
	}
	return nil
}
