package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/zerostate/zerostate/api/nodev1"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/client"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/term"
	"github.com/zerostate/zerostate/core"
)

func (a *app) receiptCommand() *cobra.Command {
	return group("receipt", "Show and check receipts", a.receiptShowCommand(), a.receiptVerifyCommand())
}

// readBounded reads a file of at most limit bytes; "-" is stdin.
func (a *app) readBounded(name string, limit int64) ([]byte, error) {
	in := a.stdin
	if name != "-" {
		f, err := os.Open(name) //nolint:gosec // the operator names the file
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %w", err, core.ErrNotFound)
		}
		if err != nil {
			return nil, err
		}
		defer f.Close() //nolint:errcheck // only read
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s has more than %d bytes: %w", name, limit, core.ErrInvalid)
	}
	return data, nil
}

// receiptOutput is what a receipt says, for receipt show and receipt verify.
type receiptOutput struct {
	Verified      bool             `json:"verified"`
	Countersigned bool             `json:"countersigned"`
	Digest        string           `json:"digest"` // sha256 of the payload
	Network       string           `json:"network"`
	Task          string           `json:"task"`
	Attempt       int64            `json:"attempt"`
	Agent         string           `json:"agent"`
	WorkerNode    string           `json:"worker_node"`
	Requester     string           `json:"requester"`
	RequesterNode string           `json:"requester_node"`
	Outcome       string           `json:"outcome"`
	ExitCode      *int64           `json:"exit_code"`
	Reason        string           `json:"reason"`
	Executor      namedVersion     `json:"executor"`
	Engine        namedVersion     `json:"engine"`
	Module        string           `json:"module"`
	Inputs        []receiptContent `json:"inputs"`
	Outputs       []receiptContent `json:"outputs"` // stdout first
	Price         findPrice        `json:"price"`
	ChargedMicros int64            `json:"charged_micros"`
	MaxMicros     int64            `json:"max_micros"`
	MeteredReq    int64            `json:"metered_req"`
	MeteredBytes  int64            `json:"metered_bytes"`
	PeakPages     int64            `json:"peak_pages"`
	Channel       string           `json:"channel"`
	Guild         string           `json:"guild"`
	StartedAt     string           `json:"started_at"`
	FinishedAt    string           `json:"finished_at"`
}

type namedVersion struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

type receiptContent struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
}

func newReceiptOutput(s *core.SignedReceipt, verified bool) *receiptOutput {
	p := s.Receipt.Predicate
	out := &receiptOutput{
		Verified: verified, Countersigned: s.Countersigned(), Digest: s.Digest(), Network: p.Network, Task: p.Task, Attempt: p.Attempt,
		Agent: string(p.Agent), WorkerNode: string(p.WorkerNode), Requester: string(p.Requester), RequesterNode: string(p.RequesterNode),
		Outcome: string(p.Outcome), ExitCode: p.ExitCode, Reason: p.Reason,
		Executor: namedVersion{p.Executor.Name, p.Executor.Version}, Engine: namedVersion{p.Engine.Name, p.Engine.Version},
		Module: p.ResolvedDependencies[1].Digest.SHA256, Inputs: []receiptContent{},
		Price:         findPrice{Currency: p.Price.Currency, Unit: p.Price.Unit, PriceMicros: p.Price.PriceMicros, PerUnits: p.Price.PerUnits},
		ChargedMicros: p.ChargeMicros, MaxMicros: p.MaxMicros,
		MeteredReq: p.Metering.Verifiable.Req, MeteredBytes: p.Metering.Verifiable.Byte, PeakPages: p.Metering.Verifiable.PeakPages,
		Channel: p.Channel, Guild: p.Guild, StartedAt: p.StartedAt.String(), FinishedAt: p.FinishedAt.String(),
	}
	for _, in := range s.Receipt.Inputs() {
		out.Inputs = append(out.Inputs, receiptContent{in.Name, in.Digest.SHA256})
	}
	for _, o := range s.Receipt.Subject {
		out.Outputs = append(out.Outputs, receiptContent{o.Name, o.Digest.SHA256})
	}
	return out
}

func (o *receiptOutput) write(w io.Writer) error {
	var t term.Table
	t.Row("task", fmt.Sprintf("%s, attempt %d, network %s", o.Task, o.Attempt, o.Network))
	t.Row("agent", fmt.Sprintf("%s on node %s", short(o.Agent), short(o.WorkerNode)))
	t.Row("requester", fmt.Sprintf("%s on node %s", short(o.Requester), short(o.RequesterNode)))
	outcome := o.Outcome
	if o.Reason != "" {
		outcome += ": " + o.Reason
	}
	if o.ExitCode != nil && *o.ExitCode != 0 {
		outcome += fmt.Sprintf(" (exit code %d)", *o.ExitCode)
	}
	t.Row("outcome", outcome)
	t.Row("ran", fmt.Sprintf("%s %s with %s %s, %s to %s", o.Executor.Name, o.Executor.Version, o.Engine.Name, o.Engine.Version, o.StartedAt, o.FinishedAt))
	t.Row("module", o.Module)
	for _, in := range o.Inputs {
		t.Row("input", in.SHA256+"  "+in.Name)
	}
	for _, out := range o.Outputs {
		t.Row("output", out.SHA256+"  "+out.Name)
	}
	t.Row("price", fmt.Sprintf("%d micros per %d %s", o.Price.PriceMicros, o.Price.PerUnits, o.Price.Unit))
	t.Row("metered", fmt.Sprintf("%d request, %d bytes, %d pages at most", o.MeteredReq, o.MeteredBytes, o.PeakPages))
	t.Row("charged", fmt.Sprintf("%s %s of at most %s", term.Micros(o.ChargedMicros), o.Price.Currency, term.Micros(o.MaxMicros)))
	return t.Write(w)
}

func (a *app) receiptVerifyCommand() *cobra.Command {
	var network string
	var workerOnly bool
	c := &cobra.Command{
		Use: "verify FILE", Short: "Check a receipt: signatures, digests, charge; needs no node",
		Long: `Check a receipt: both signatures, its one spelling, and that the charge is what
price and metering come to. Exits 0 where it holds, and else with what is wrong.`,
		Example: "  zerostate receipt verify out/receipt.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			data, err := a.readBounded(args[0], core.MaxReceiptBytes)
			if err != nil {
				return err
			}
			return a.verifyReceipt(data, network, workerOnly)
		},
	}
	c.Flags().StringVar(&network, "network", "", "network that it must be of (default: the one it names)")
	c.Flags().BoolVar(&workerOnly, "worker-only", false, "accept one that the requester has not countersigned")
	return c
}

func (a *app) verifyReceipt(data []byte, network string, workerOnly bool) error {
	signed, err := core.ParseReceipt(data)
	if err != nil {
		return err
	}
	if network == "" {
		network = signed.Receipt.Predicate.Network
	}
	if _, err := core.VerifyReceipt(data, network, workerOnly && !signed.Countersigned()); err != nil {
		return err
	}
	out := newReceiptOutput(signed, true)
	return a.print(out, func(w io.Writer) error {
		by := "agent and requester"
		if !out.Countersigned {
			by = "the agent alone"
		}
		if _, err := fmt.Fprintf(w, "%s, signed by %s\n", a.style().Good("the receipt holds"), by); err != nil {
			return err
		}
		return out.write(w)
	})
}

func (a *app) receiptShowCommand() *cobra.Command {
	var raw bool
	c := &cobra.Command{
		Use: "show TASK|FILE", Short: "Show the receipt of a task of this node, or of a file",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			data, err := a.readBounded(args[0], core.MaxReceiptBytes)
			if errors.Is(err, core.ErrNotFound) {
				err = a.with(func(n *client.Client) error {
					resp, err := n.Receipt.Show(c.Context(), connect.NewRequest(&nodev1.ReceiptShowRequest{Task: args[0]}))
					if err == nil {
						data = resp.Msg.GetReceipt()
					}
					return err
				})
			}
			if err != nil {
				return err
			}
			return a.showReceipt(data, raw)
		},
	}
	c.Flags().BoolVar(&raw, "raw", false, "write the signed envelope itself, byte for byte")
	return c
}

func (a *app) showReceipt(data []byte, raw bool) error {
	if raw {
		a.printed = true
		_, err := a.stdout.Write(data)
		return err
	}
	signed, err := core.ParseReceipt(data)
	if err != nil {
		return err
	}
	_, err = core.VerifyReceipt(data, signed.Receipt.Predicate.Network, !signed.Countersigned())
	out := newReceiptOutput(signed, err == nil)
	return a.print(out, func(w io.Writer) error {
		if err != nil {
			a.note("it does not hold: %v", err)
		}
		return out.write(w)
	})
}
