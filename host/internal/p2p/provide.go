package p2p

import (
	"context"
	"fmt"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"

	"github.com/zerostate/zerostate/core"
)

// CapabilityCID returns the CID under which providers of a capability are
// found: raw, sha2-256 of "zerostate/cap/v1/<skill>/<region>".
func CapabilityCID(skill, region string) (string, error) {
	sum, err := mh.Sum([]byte("zerostate/cap/v1/"+skill+"/"+region), mh.SHA2_256, -1)
	if err != nil {
		return "", fmt.Errorf("capability %s/%s: %w", skill, region, err)
	}
	return cid.NewCidV1(cid.Raw, sum).String(), nil
}

// Provide tells the DHT that this node has what a CID names; the record lasts
// 48 hours.
func (n *Node) Provide(ctx context.Context, id string) error {
	c, err := parseCID(id)
	if err != nil {
		return err
	}
	if err := n.dht.Provide(ctx, c, true); err != nil {
		return unavailable(ctx, fmt.Errorf("provide %s: %w", id, err))
	}
	return nil
}

// FindProviders returns up to limit other nodes that provide a CID, in the
// order they were found, and keeps their addresses. None found is no error.
func (n *Node) FindProviders(ctx context.Context, id string, limit int) ([]core.DID, error) {
	c, err := parseCID(id)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var found []core.DID
	for info := range n.dht.FindProvidersAsync(ctx, c, limit+1) {
		did, err := DIDOfPeer(info.ID)
		if err != nil || info.ID == n.host.ID() || !n.gater.peerOK(info.ID) {
			continue
		}
		if found = append(found, did); len(found) == limit {
			break
		}
	}
	return found, nil
}

func parseCID(id string) (cid.Cid, error) {
	c, err := cid.Decode(id)
	if err != nil {
		return cid.Undef, fmt.Errorf("cid %q (%w): %w", id, err, core.ErrInvalid)
	}
	p := c.Prefix()
	if p.Version != 1 || p.MhType != mh.SHA2_256 || p.MhLength != 32 || (p.Codec != cid.Raw && p.Codec != cid.DagProtobuf) {
		return cid.Undef, fmt.Errorf("cid %q is not v1, sha2-256, raw or dag-pb: %w", id, core.ErrInvalid)
	}
	if c.String() != id {
		return cid.Undef, fmt.Errorf("cid %q is not in base32: %w", id, core.ErrInvalid)
	}
	return c, nil
}
