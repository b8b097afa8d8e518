package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/peerpb"
)

// desk is where a worker takes in what the requester sends on one task stream.
type desk struct {
	w       *worker
	run     *workerRun
	intakes []*intake // of each input
	unsent  []bool    // the requester said that it does not push an input
	settled chan []byte
}

// arrival is one input of a run, whichever stream of its requester brings it: a
// stream may be lost in the middle, and the one that joins the run pushes again.
type arrival struct {
	here   chan struct{} // closed when ref or err stands
	unsent chan struct{} // closed when the requester says that it does not push it
	end    sync.Once
	skip   sync.Once
	ref    contentRef
	err    error
}

func newArrival() *arrival { return &arrival{here: make(chan struct{}), unsent: make(chan struct{})} }

func (a *arrival) settle(ref contentRef, err error) {
	a.end.Do(func() {
		a.ref, a.err = ref, err
		close(a.here)
	})
}

func (w *worker) newDesk(ctx context.Context, run *workerRun) *desk {
	d := &desk{w: w, run: run, settled: make(chan []byte, 1), unsent: make([]bool, len(run.task.Spec.Inputs))}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range run.task.Spec.Inputs {
		d.intakes = append(d.intakes, w.n.newIntake(context.WithoutCancel(ctx), int64(w.n.cfg.Serve.MaxInput)))
		if i == len(run.arrivals) {
			run.arrivals = append(run.arrivals, newArrival())
		}
	}
	return d
}

// read takes messages until the stream ends.
func (d *desk) read(r *ring) {
	for {
		m, err := r.recv()
		lost := errors.Is(err, core.ErrUnavailable) || errors.Is(err, io.EOF) || errors.Is(err, context.DeadlineExceeded)
		if err == nil {
			err = d.take(m)
		}
		if err != nil {
			d.leave(fmt.Errorf("the requester's stream ended: %w", errors.Join(err, core.ErrUnavailable)), lost)
			return
		}
	}
}

// leave ends what this stream did not bring in full. After a stream that was
// lost the inputs are waited for: the requester may join again.
func (d *desk) leave(err error, lost bool) {
	for i, in := range d.intakes {
		in.abort(err)
		if !lost {
			d.run.arrivals[i].settle(contentRef{}, err)
		}
	}
}

func (d *desk) take(m any) error {
	switch m := m.(type) {
	case *peerpb.Input:
		return d.takeInput(m)
	case *peerpb.Settle:
		select {
		case d.settled <- m.GetReceipt():
		default:
		}
		return nil
	case *peerpb.Cancel:
		d.w.stop(d.run)
		return nil
	default:
		return fmt.Errorf("a requester does not send %T: %w", m, core.ErrDenied)
	}
}

func (d *desk) takeInput(m *peerpb.Input) error {
	for i, in := range d.run.task.Spec.Inputs {
		if in.Name != m.GetName() {
			continue
		}
		if m.GetLast() && m.GetOffset() == 0 && len(m.GetBytes()) == 0 && m.GetCid() != emptyCID {
			return d.notPushed(i)
		}
		if err := d.intakes[i].take(m.GetOffset(), m.GetBytes(), m.GetLast()); err != nil {
			return fmt.Errorf("input %s: %w", in.Name, err)
		}
		if m.GetLast() {
			<-d.intakes[i].done
			d.run.arrivals[i].settle(d.intakes[i].ref, d.intakes[i].err)
		}
		return nil
	}
	return fmt.Errorf("the task has no input %q: %w", m.GetName(), core.ErrInvalid)
}

// notPushed notes that input i is to be fetched; a requester says so once on a
// stream.
func (d *desk) notPushed(i int) error {
	if d.unsent[i] {
		return fmt.Errorf("input %s was said not to come before: %w", d.run.task.Spec.Inputs[i].Name, core.ErrInvalid)
	}
	d.unsent[i] = true
	a := d.run.arrivals[i]
	a.skip.Do(func() { close(a.unsent) })
	return nil
}

// inputs answers the content of every input, pushed or fetched, once all of it
// is here and is what the manifest names.
func (d *desk) inputs(ctx context.Context) ([]contentRef, error) {
	var total int64
	var out []contentRef
	for i, in := range d.run.task.Spec.Inputs {
		ref, err := d.input(ctx, i, in)
		if err != nil {
			return nil, refusal(err, fmt.Sprintf("input %s: %s", in.Name, told(err)))
		}
		if ref.CID != cidOf(in.URI) || ref.SHA256 != in.Digest.SHA256 {
			return nil, refusal(core.ErrDenied, fmt.Sprintf("input %s is not the content that the manifest names", in.Name))
		}
		if total += ref.SizeBytes; total > int64(d.w.n.cfg.Serve.MaxInput) {
			return nil, refusal(core.ErrExhausted, "the inputs are larger than serve.max_input")
		}
		out = append(out, ref)
	}
	return out, nil
}

// input waits for the push of an input; one that is not pushed within its
// timeout is fetched by CID.
func (d *desk) input(ctx context.Context, i int, in core.TaskInput) (contentRef, error) {
	timer := time.NewTimer(in.Timeout())
	defer timer.Stop()
	a := d.run.arrivals[i]
	select {
	case <-a.here:
		return a.ref, a.err
	case <-a.unsent:
	case <-timer.C:
	case <-ctx.Done():
		return contentRef{}, context.Cause(ctx)
	}
	return d.fetch(ctx, in)
}

// fetch gets an input that the requester does not push, within its timeout and
// retries.
func (d *desk) fetch(ctx context.Context, in core.TaskInput) (ref contentRef, err error) {
	for range in.Retries + 1 {
		if ref, err = d.tryFetch(ctx, in); err == nil || ctx.Err() != nil {
			break
		}
	}
	return ref, err
}

func (d *desk) tryFetch(ctx context.Context, in core.TaskInput) (contentRef, error) {
	ctx, cancel := context.WithTimeout(ctx, in.Timeout())
	defer cancel()
	content := d.w.n.net.Content()
	r, err := content.OpenPublic(ctx, cidOf(in.URI), int64(d.w.n.cfg.Serve.MaxInput))
	if err != nil {
		return contentRef{}, err
	}
	info, err := content.Add(ctx, r, false)
	return contentRef(info), errors.Join(err, r.Close())
}

// takings stores what a guest writes and shows stdout and stderr to the
// requester as they come.
type takings struct {
	w      *worker
	show   showFunc
	byName map[string]*intake
	order  []string
	stderr []byte
	lost   bool // nobody listens any more: store only
}

// showFunc is told what a guest prints, as it comes.
type showFunc func(stream string, data []byte) error

// maxStderr is how much of stderr the worker passes on.
const maxStderr = 1 << 20

func (w *worker) newTakings(ctx context.Context, task *core.Resolved, show showFunc) *takings {
	t := &takings{w: w, show: show, byName: map[string]*intake{}}
	add := func(name string, limit int64) {
		t.byName[name] = w.n.newIntake(ctx, limit)
		t.order = append(t.order, name)
	}
	add(core.StdoutName, task.Spec.Limits.StdoutBytes)
	for _, o := range task.Spec.Outputs {
		add(o.Name, o.MaxBytes)
	}
	return t
}

// take is the executor's emit.
func (t *takings) take(e core.RunEvent) error {
	name := e.Name
	switch e.Stream {
	case core.RunStderr:
		if len(t.stderr)+len(e.Data) <= maxStderr {
			t.stderr = append(t.stderr, e.Data...)
			t.pass("stderr", e.Data)
		}
		return nil
	case core.RunStdout:
		name = core.StdoutName
		t.pass("stdout", e.Data)
	case core.RunOutput:
	}
	in, ok := t.byName[name]
	if !ok {
		return fmt.Errorf("the task declares no output %q: %w", name, core.ErrInvalid)
	}
	for data := e.Data; len(data) > 0; {
		n := min(len(data), chunkSize)
		if err := in.take(in.next, data[:n], false); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// pass passes on what the guest prints; a requester that is gone does not stop
// the guest.
func (t *takings) pass(stream string, data []byte) {
	for len(data) > 0 && !t.lost {
		n := min(len(data), chunkSize)
		if err := t.show(stream, data[:n]); err != nil {
			t.lost = true
		}
		data = data[n:]
	}
}

// finish ends every output and checks that what was stored is what the executor
// says it produced.
func (t *takings) finish(result core.RunResult) ([]storedOutput, error) {
	defer t.abort() // what is complete is not touched by it
	want := map[string]core.RunOutputDigest{}
	for _, o := range result.Outputs {
		want[o.Name] = o
	}
	var out []storedOutput
	for _, name := range t.order {
		in := t.byName[name]
		digest, produced := want[name]
		if !produced {
			continue
		}
		if err := in.take(in.next, nil, true); err != nil {
			return nil, fmt.Errorf("output %s: %w", name, err)
		}
		<-in.done
		if in.err != nil {
			return nil, fmt.Errorf("output %s: %w", name, in.err)
		}
		if in.ref.SHA256 != digest.SHA256 {
			return nil, fmt.Errorf("output %s is not what the executor says it is: %w", name, core.ErrInvalid)
		}
		out = append(out, storedOutput{Name: name, contentRef: in.ref})
	}
	return out, nil
}

// abort ends the storing of every output that is not complete.
func (t *takings) abort() {
	for _, in := range t.byName {
		in.abort(core.ErrNotFound)
	}
}

// cidOf is the CID of an ipfs:// URI.
func cidOf(uri string) string { return strings.TrimPrefix(uri, "ipfs://") }

// emptyCID is the CID of content without a byte.
const emptyCID = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
