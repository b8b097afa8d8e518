package host

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/zerostate/zerostate/api/nodev1"
	"github.com/zerostate/zerostate/core"
)

const (
	// maxHistory bounds one answer: the newest events are in it.
	maxHistory = 10000
	// checkpointKey is where the last checkpoint that this node signed lies.
	checkpointKey = "reputation/checkpoint"
	priorBudget   = time.Second
)

// reputationService reads the reputation log.
type reputationService struct{ n *Node }

// Show scores an agent in our eyes and explains that.
func (s reputationService) Show(ctx context.Context, req *connect.Request[nodev1.ReputationShowRequest]) (*connect.Response[nodev1.ReputationShowResponse], error) {
	agent, err := s.n.agentArg("agent", req.Msg.GetAgent())
	if err != nil {
		return nil, err
	}
	scores, err := s.n.scores(ctx, []core.Subject{{Agent: agent, Node: s.nodeOf(ctx, agent)}})
	if err != nil {
		return nil, err
	}
	sc := scores[0]
	return connect.NewResponse(&nodev1.ReputationShowResponse{
		Agent: string(agent), Score: sc.Value, Prior: sc.Prior, Events: int64(sc.Events), Explanation: sc.Explanation,
	}), nil
}

// nodeOf is the agent's node, for its prior, or empty where its card can not be
// had in a moment: the agent then counts as one of a new node.
func (s reputationService) nodeOf(ctx context.Context, agent core.DID) core.DID {
	ctx, cancel := context.WithTimeout(ctx, priorBudget)
	defer cancel()
	l, err := s.n.directory.resolve(ctx, agent, 0, false)
	if err != nil {
		s.n.log.Debug("node of an agent not known", "agent", agent.Short(), "error", err)
		return ""
	}
	return l.card.Params().Node
}

// History shows the newest events about an agent, or all of them.
func (s reputationService) History(ctx context.Context, req *connect.Request[nodev1.ReputationHistoryRequest]) (*connect.Response[nodev1.ReputationHistoryResponse], error) {
	var agent core.DID
	if a := req.Msg.GetAgent(); a != "" {
		var err error
		if agent, err = s.n.agentArg("agent", a); err != nil {
			return nil, err
		}
	}
	out := &nodev1.ReputationHistoryResponse{}
	for e, err := range s.n.reputation.History(ctx, agent) {
		if err != nil {
			return nil, err
		}
		out.Entries = append(out.Entries, &nodev1.ReputationHistoryResponse_Entry{Index: e.Index, Event: e.Event})
		if len(out.Entries) >= 2*maxHistory {
			out.Entries = append(out.Entries[:0:0], out.Entries[maxHistory:]...)
		}
	}
	if extra := len(out.Entries) - maxHistory; extra > 0 {
		out.Entries = out.Entries[extra:]
	}
	return connect.NewResponse(out), nil
}

// Verify checks every event, its place in the tree and a signed checkpoint.
func (s reputationService) Verify(ctx context.Context, _ *connect.Request[nodev1.ReputationVerifyRequest]) (*connect.Response[nodev1.ReputationVerifyResponse], error) {
	c, err := s.n.checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	signed, err := core.Encode(c)
	if err != nil {
		return nil, err
	}
	checked, err := s.n.proveEvents(ctx, c)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&nodev1.ReputationVerifyResponse{Size: c.Size, Root: c.Root, Checkpoint: signed, Checked: checked}), nil
}

// checkpoint signs the head of the reputation log in the plugin's two calls. One
// that is pending is finished first.
func (n *Node) checkpoint(ctx context.Context) (*core.Checkpoint, error) {
	key := rand.Text()
	pending, err := n.reputation.Checkpoint(ctx, core.CheckpointRequest{Key: key, Node: n.DID(), Time: core.TimeOf(n.now())})
	if other, ok := errors.AsType[*core.PendingError](err); ok {
		if _, err := n.commitCheckpoint(ctx, other.Key, other.Document); err != nil {
			return nil, fmt.Errorf("finish the pending checkpoint: %w", err)
		}
		pending, err = n.reputation.Checkpoint(ctx, core.CheckpointRequest{Key: key, Node: n.DID(), Time: core.TimeOf(n.now())})
	}
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	return n.commitCheckpoint(ctx, key, pending.Document)
}

// commitCheckpoint checks the plugin's document, signs it and hands it back. The
// node signs only a root that it has computed itself from the log, and only a
// log that goes on from the last one it signed.
func (n *Node) commitCheckpoint(ctx context.Context, key string, document []byte) (*core.Checkpoint, error) {
	c, err := core.Parse[core.Checkpoint](document)
	if err != nil {
		return nil, fmt.Errorf("reputation plugin's checkpoint: %w", err)
	}
	if c.Log != core.LogReputation || c.Network != n.cfg.Network.ID || c.Node != n.DID() || len(c.Signatures) > 0 {
		return nil, fmt.Errorf("reputation plugin's checkpoint is not ours to sign: %w", core.ErrDenied)
	}
	if err := n.checkRoot(ctx, c); err != nil {
		return nil, err
	}
	if err := core.Sign(c, n.keys.signer()); err != nil {
		return nil, err
	}
	signed, err := core.Encode(c)
	if err != nil {
		return nil, err
	}
	if err := n.store.Set(checkpointKey, signed); err != nil {
		return nil, err
	}
	_, err = n.reputation.Checkpoint(ctx, core.CheckpointRequest{Key: key, Node: c.Node, Time: c.Time, Signed: signed})
	if err != nil {
		return nil, fmt.Errorf("commit checkpoint: %w", err)
	}
	return c, core.Verify(c, n.cfg.Network.ID)
}

// checkRoot walks the log: every event verifies, the root of the first c.Size is
// the checkpoint's, and that of the last checkpoint is what we signed then.
func (n *Node) checkRoot(ctx context.Context, c *core.Checkpoint) error {
	last, err := n.lastCheckpoint()
	if err != nil {
		return err
	}
	if last != nil && last.Size > c.Size {
		return fmt.Errorf("the reputation log has %d events, %d were signed for before: it was cut: %w", c.Size, last.Size, core.ErrDenied)
	}
	tree := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	if err := errors.Join(checkHead(tree, last), checkHead(tree, c)); err != nil {
		return err
	}
	for e, err := range n.reputation.History(ctx, "") {
		if err != nil {
			return err
		}
		if tree.End() == uint64(c.Size) { //nolint:gosec // not negative
			return nil // appended since
		}
		if err := n.checkEntry(e, int64(tree.End())); err != nil { //nolint:gosec // at most c.Size
			return err
		}
		if err := tree.Append(rfc6962.DefaultHasher.HashLeaf(e.Event), nil); err != nil {
			return fmt.Errorf("reputation log: %w", err)
		}
		if err := errors.Join(checkHead(tree, last), checkHead(tree, c)); err != nil {
			return err
		}
	}
	if tree.End() < uint64(c.Size) { //nolint:gosec // not negative
		return fmt.Errorf("the reputation log shows %d events of %d: %w", tree.End(), c.Size, core.ErrDenied)
	}
	return nil
}

// checkEntry holds one event to its place, its form and its signatures.
func (n *Node) checkEntry(e core.HistoryEntry, index int64) error {
	if e.Index != index {
		return fmt.Errorf("reputation event %d stands where %d belongs: %w", e.Index, index, core.ErrDenied)
	}
	event, err := core.Parse[core.Event](e.Event)
	if err == nil {
		err = core.CheckEvent(event, n.cfg.Network.ID, n.now())
	}
	if err != nil {
		return fmt.Errorf("reputation event %d: %w", index, err)
	}
	return nil
}

// checkHead compares the tree with a checkpoint of its size; of another size, or
// of none, there is nothing to compare.
func checkHead(tree *compact.Range, c *core.Checkpoint) error {
	if c == nil || tree.End() != uint64(c.Size) { //nolint:gosec // not negative
		return nil
	}
	root, err := rootOf(tree)
	if err != nil {
		return err
	}
	if root != c.Root {
		return fmt.Errorf("the reputation log of %d events is not the one that the checkpoint shows: it was rewritten: %w", c.Size, core.ErrDenied)
	}
	return nil
}

func rootOf(tree *compact.Range) (string, error) {
	if tree.End() == 0 {
		return hex.EncodeToString(rfc6962.DefaultHasher.EmptyRoot()), nil
	}
	root, err := tree.GetRootHash(nil)
	if err != nil {
		return "", fmt.Errorf("reputation log: %w", err)
	}
	return hex.EncodeToString(root), nil
}

// lastCheckpoint answers the last checkpoint that this node signed, nil before
// the first.
func (n *Node) lastCheckpoint() (*core.Checkpoint, error) {
	raw, err := n.store.Get(checkpointKey)
	if isAbsent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c, err := core.Parse[core.Checkpoint](raw)
	if err != nil {
		return nil, fmt.Errorf("last checkpoint: %w", err)
	}
	return c, nil
}

// proveEvents asks the plugin for the proof of every event under a checkpoint and
// checks each against the checkpoint's root. It answers how many.
func (n *Node) proveEvents(ctx context.Context, c *core.Checkpoint) (int64, error) {
	root, err := hex.DecodeString(c.Root)
	if err != nil {
		return 0, fmt.Errorf("checkpoint: %w", err)
	}
	var checked int64
	for e, err := range n.reputation.History(ctx, "") {
		if err != nil {
			return checked, err
		}
		if checked == c.Size {
			break
		}
		p, err := n.reputation.Prove(ctx, core.ProveRequest{Index: e.Index, Size: c.Size})
		if err != nil {
			return checked, fmt.Errorf("proof of event %d: %w", e.Index, err)
		}
		path := make([][]byte, len(p.Path))
		for i, h := range p.Path {
			if path[i], err = hex.DecodeString(h); err != nil {
				return checked, fmt.Errorf("proof of event %d (%w): %w", e.Index, err, core.ErrDenied)
			}
		}
		leaf := rfc6962.DefaultHasher.HashLeaf(e.Event)
		err = proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(e.Index), uint64(c.Size), leaf, path, root) //nolint:gosec // checkEntry held the index
		if err != nil {
			return checked, fmt.Errorf("proof of event %d (%w): %w", e.Index, err, core.ErrDenied)
		}
		checked++
	}
	return checked, nil
}
