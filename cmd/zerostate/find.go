package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/zerostate/zerostate/api/nodev1"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/client"
	"github.com/zerostate/zerostate/cmd/zerostate/internal/term"
)

// findOutput is what find --json prints.
type findOutput struct {
	Query      string     `json:"query"`
	Hits       []findHit  `json:"hits"`
	Dropped    []findDrop `json:"dropped"`
	IndexNodes []string   `json:"index_nodes"`
	LatencyMs  int64      `json:"latency_ms"`
	TraceID    string     `json:"trace_id"`
}

type findHit struct {
	DID         string          `json:"did"`
	Node        string          `json:"node"`
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Skill       string          `json:"skill"`
	Offer       int64           `json:"offer"`
	Similarity  float64         `json:"similarity"`
	Score       float64         `json:"score"`
	Rank        float64         `json:"rank"`
	Price       findPrice       `json:"price"`
	Region      string          `json:"region"`
	Evidence    json.RawMessage `json:"evidence"`
	Reason      string          `json:"reason"`
	Record      json.RawMessage `json:"record"`
	Card        json.RawMessage `json:"card"`
}

type findPrice struct {
	Currency    string `json:"currency"`
	Unit        string `json:"unit"`
	PriceMicros int64  `json:"price_micros"`
	PerUnits    int64  `json:"per_units"`
}

type findDrop struct {
	DID       string `json:"did"`
	IndexNode string `json:"index_node"`
	Reason    string `json:"reason"`
}

func (a *app) findCommand() *cobra.Command {
	req := &nodev1.FindRequest{}
	c := &cobra.Command{
		Use: "find TEXT", Short: "Find agents by meaning, with the evidence for each",
		Example: `  zerostate find "turn this document into a web page"
  zerostate find --k 10 --tag csv "summarise a spreadsheet"`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			req.Text = strings.Join(args, " ")
			return a.with(func(n *client.Client) error { return a.find(c.Context(), n, req) })
		},
	}
	c.Flags().Int64Var(&req.K, "k", 5, "how many hits")
	c.Flags().StringArrayVar(&req.Regions, "region", nil, "only agents of this region; may be repeated")
	c.Flags().StringArrayVar(&req.Skills, "skill", nil, "only this skill; may be repeated")
	c.Flags().StringArrayVar(&req.Tags, "tag", nil, "only skills with this tag; may be repeated")
	c.Flags().BoolVar(&req.NoCache, "no-cache", false, "ask the DHT anew for each card")
	return c
}

func (a *app) find(ctx context.Context, n *client.Client, req *nodev1.FindRequest) error {
	resp, err := n.Find.Find(ctx, connect.NewRequest(req))
	if err != nil {
		return err
	}
	out, err := newFindOutput(req.GetText(), resp.Msg)
	if err != nil {
		return err
	}
	return a.print(out, func(w io.Writer) error { return a.showHits(w, resp.Msg) })
}

func newFindOutput(query string, r *nodev1.FindResponse) (*findOutput, error) {
	out := &findOutput{
		Query: query, Hits: []findHit{}, Dropped: []findDrop{}, IndexNodes: r.GetIndexNodes(),
		LatencyMs: r.GetLatencyMs(), TraceID: r.GetTraceId(),
	}
	for _, h := range r.GetHits() {
		evidence, err := json.Marshal(message{h.GetEvidence()})
		if err != nil {
			return nil, err
		}
		out.Hits = append(out.Hits, findHit{
			DID: h.GetDid(), Node: h.GetNode(), Name: h.GetName(), Description: h.GetDescription(), Skill: h.GetSkill(), Offer: h.GetOffer(),
			Similarity: h.GetSimilarity(), Score: h.GetScore(), Rank: h.GetRank(), Region: h.GetRegion(), Evidence: evidence, Reason: h.GetReason(),
			Price:  findPrice{Currency: h.GetCurrency(), Unit: h.GetUnit(), PriceMicros: h.GetPriceMicros(), PerUnits: h.GetPerUnits()},
			Record: document(h.GetRecord()), Card: document(h.GetCard()),
		})
	}
	for _, d := range r.GetDropped() {
		out.Dropped = append(out.Dropped, findDrop{DID: d.GetDid(), IndexNode: d.GetIndexNode(), Reason: d.GetReason()})
	}
	return out, nil
}

func (a *app) showHits(w io.Writer, r *nodev1.FindResponse) error {
	var t term.Table
	for _, h := range r.GetHits() {
		price := fmt.Sprintf("%d micros/%s", h.GetPriceMicros(), h.GetUnit())
		if h.GetPerUnits() != 1 {
			price = fmt.Sprintf("%d micros/%d %s", h.GetPriceMicros(), h.GetPerUnits(), h.GetUnit())
		}
		t.Row(fmt.Sprintf("%.3f", h.GetRank()), short(h.GetDid()), h.GetName(), h.GetSkill(), price, h.GetReason())
	}
	if err := t.Write(w); err != nil {
		return err
	}
	for _, d := range r.GetDropped() {
		if _, err := fmt.Fprintln(w, a.style().Dim("dropped "+term.Escape(short(d.GetDid())+": "+d.GetReason()))); err != nil {
			return err
		}
	}
	if len(r.GetHits()) == 0 {
		a.note("no agent found; try other words, or fewer filters")
		return nil
	}
	a.note("%d ms. Hire the best: zerostate task run --query TEXT --in NAME=FILE --out DIR", r.GetLatencyMs())
	return nil
}
