package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/p2p"
	"github.com/zerostate/zerostate/host/internal/peerpb"
)

// keptStdout is how much of stdout and stderr a result keeps for `task logs`.
const keptStdout = 64 << 10

// delivery is what a worker sent back on a task stream.
type delivery struct {
	ring     *ring
	receipt  []byte // the worker's envelope; nil until it came
	summary  []byte
	order    []string
	intakes  map[string]*intake
	refs     map[string]contentRef
	stdout   []byte
	stderr   []byte
	rejoined bool // the stream was lost once and the Offer repeated
}

func (d *delivery) list() []Output {
	out := make([]Output, 0, len(d.order))
	for _, name := range d.order {
		out = append(out, Output{Name: name, Content: Content(d.refs[name])})
	}
	return out
}

func (d *delivery) digests() []core.RunOutputDigest {
	out := make([]core.RunOutputDigest, 0, len(d.order))
	for _, name := range d.order {
		out = append(out, core.RunOutputDigest{Name: name, SHA256: d.refs[name].SHA256, SizeBytes: d.refs[name].SizeBytes})
	}
	if len(out) == 0 { // nothing ran: stdout is empty, and named all the same
		out = append(out, core.RunOutputDigest{Name: core.StdoutName, SHA256: emptySHA256})
	}
	return out
}

// bytes is the size of everything that came back.
func (d *delivery) bytes() int64 {
	var n int64
	for _, r := range d.refs {
		n += r.SizeBytes
	}
	return n
}

// execute sends the Offer, forms the guild with the Accept, pushes the inputs
// and takes what comes back until the receipt. A stream that is lost after the
// Accept is opened once more: the worker joins the run, it does not run twice.
func (t *taskRun) execute(ctx context.Context) (string, error) {
	t.back = &delivery{}
	err := t.exchange(ctx)
	if err != nil && t.session != nil && errors.Is(err, core.ErrUnavailable) && ctx.Err() == nil {
		t.n.logger(ctx).Warn("task stream lost, joining again", "task", short(t.hired.id), "error", err)
		t.leave()
		if _, err = t.form(ctx); err == nil {
			if _, err = t.route(ctx); err == nil {
				t.back = &delivery{rejoined: true}
				err = t.exchange(ctx)
			}
		}
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d bytes in, %d bytes out", t.inputs, t.back.bytes()), nil
}

func (t *taskRun) exchange(ctx context.Context) error {
	if err := t.accept(ctx); err != nil {
		return err
	}
	d := t.back
	d.ring = &ring{frames: t.stream, session: t.session, rand: t.n.rand}
	d.intakes, d.refs = map[string]*intake{}, map[string]contentRef{}
	stop := context.AfterFunc(ctx, func() { t.cancelRun(d.ring) })
	defer stop()
	pushed := make(chan error, 1)
	t.n.work.Go(func() { pushed <- t.push(context.WithoutCancel(ctx), d.ring) })
	// A caller that is gone still gets the receipt: the worker answers Cancel
	// with one, and what was metered is paid. Once the lock has expired nothing
	// is waited for any more.
	patience, end := context.WithTimeout(context.WithoutCancel(ctx), t.lock.Expires.Time().Sub(t.n.now()))
	defer end()
	defer t.stream.ResetOn(patience)()
	err := t.collect(patience)
	if err != nil {
		t.stream.Reset()
	}
	if perr := <-pushed; perr != nil && d.receipt == nil {
		err = errors.Join(err, perr)
	}
	return err
}

// accept sends the Offer and opens the Accept; then the guild lives.
func (t *taskRun) accept(ctx context.Context) error {
	stop := t.stream.ResetOn(ctx)
	defer stop()
	o := &peerpb.Offer{
		Guild: t.sealed.Guild, Sender: string(t.sealed.Sender), Recipient: string(t.sealed.Recipient),
		KeyHash: t.sealed.KeyHash, Sealed: t.sealed.Sealed,
	}
	start := time.Now()
	answer, err := t.stream.Call(injectTrace(ctx, &peerpb.Frame{Body: &peerpb.Frame_Offer{Offer: o}}))
	if err != nil {
		return err
	}
	t.answered = time.Since(start)
	a := answer.GetAccept()
	if a == nil {
		return fmt.Errorf("answered no Accept: %w", errOf(answer))
	}
	doc, session, err := t.draft.OpenAccept(a.GetDocument(), t.n.now)
	if err != nil {
		return err
	}
	if doc.Deadline.After(t.lock.Expires) {
		return fmt.Errorf("the worker promises a receipt only after the lock expires: %w", core.ErrDenied)
	}
	t.session = session
	t.left = t.n.guilds.add(t.draft.Guild, core.RoleRequester, t.hired.node(), t.hired.id, session)
	return t.n.audit.append(core.AuditGuildForm, t.draft.Guild, t.draft.Hash)
}

// push sends every input that is here; of the others it says that they are to
// be fetched.
func (t *taskRun) push(ctx context.Context, r *ring) error {
	for _, in := range t.hired.task.Spec.Inputs {
		cid := cidOf(in.URI)
		content, err := t.n.net.Content().OpenLocal(ctx, cid, t.req.Inputs[in.Name].SizeBytes)
		if absent(err) {
			if err := r.send(&peerpb.Input{Name: in.Name, Cid: cid, Last: true}); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("input %s: %w", in.Name, err)
		}
		err = r.pushInput(in.Name, cid, content)
		if err = errors.Join(err, content.Close()); err != nil {
			return fmt.Errorf("input %s: %w", in.Name, err)
		}
	}
	return nil
}

// cancelRun tells the worker that the caller does not want more.
func (t *taskRun) cancelRun(r *ring) {
	if err := r.send(&peerpb.Cancel{Reason: "the caller cancelled"}); err != nil {
		t.n.log.Debug("cancel not sent", "error", err)
	}
}

// collect takes the worker's messages until the receipt.
func (t *taskRun) collect(ctx context.Context) error {
	d := t.back
	defer func() {
		for _, in := range d.intakes {
			in.abort(core.ErrUnavailable)
		}
	}()
	for d.receipt == nil {
		m, err := d.ring.recv()
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("the worker ended the stream without a receipt: %w", core.ErrUnavailable)
		}
		if err != nil {
			return err
		}
		if err := t.take(ctx, m); err != nil {
			return err
		}
	}
	for _, name := range d.order {
		if !d.intakes[name].last {
			return fmt.Errorf("output %s: the receipt came before its end: %w", name, core.ErrInvalid)
		}
		ref, err := d.intakes[name].wait(ctx)
		if err != nil {
			return fmt.Errorf("output %s: %w", name, err)
		}
		d.refs[name] = ref
	}
	return nil
}

func (t *taskRun) take(ctx context.Context, m any) error {
	d := t.back
	switch m := m.(type) {
	case *peerpb.Output:
		return t.takeOutput(ctx, m)
	case *peerpb.Event:
		t.ob.Output(m.GetStream(), m.GetBytes())
		switch m.GetStream() {
		case "stdout":
			d.stdout = appendKept(d.stdout, m.GetBytes())
		case "stderr":
			d.stderr = appendKept(d.stderr, m.GetBytes())
		}
		return nil
	case *peerpb.Receipt:
		d.receipt, d.summary = m.GetReceipt(), m.GetWorkSummary()
		return nil
	case *peerpb.Error:
		return p2p.DecodeError(m)
	default:
		return fmt.Errorf("a worker does not send %T: %w", m, core.ErrDenied)
	}
}

func (t *taskRun) takeOutput(ctx context.Context, m *peerpb.Output) error {
	d := t.back
	in, ok := d.intakes[m.GetName()]
	if !ok {
		limit, declared := t.outputLimit(m.GetName())
		if !declared {
			return fmt.Errorf("the task declares no output %.70q: %w", m.GetName(), core.ErrDenied)
		}
		in = t.n.newIntake(ctx, limit)
		d.intakes[m.GetName()] = in
		d.order = append(d.order, m.GetName())
	}
	if err := in.take(m.GetOffset(), m.GetBytes(), m.GetLast()); err != nil {
		return fmt.Errorf("output %s: %w", m.GetName(), err)
	}
	return nil
}

func (t *taskRun) outputLimit(name string) (int64, bool) {
	if name == core.StdoutName {
		return t.hired.task.Spec.Limits.StdoutBytes, true
	}
	for _, o := range t.hired.task.Spec.Outputs {
		if o.Name == name {
			return o.MaxBytes, true
		}
	}
	return 0, false
}

// appendKept appends what of src still fits into what a result keeps.
func appendKept(dst, src []byte) []byte {
	return append(dst, src[:min(len(src), max(keptStdout-len(dst), 0))]...)
}
