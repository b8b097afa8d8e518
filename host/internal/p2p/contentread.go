package p2p

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/ipfs/boxo/blockstore"
	uio "github.com/ipfs/boxo/ipld/unixfs/io"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	"github.com/zerostate/zerostate/core"
)

// bothBlocks reads from the private store, then the public one, and writes to
// the public one: what came over the network was public before.
type bothBlocks struct {
	private, public *fileBlocks
}

var _ blockstore.Blockstore = bothBlocks{}

// Has says whether either store has the block.
func (b bothBlocks) Has(ctx context.Context, c cid.Cid) (bool, error) {
	if has, err := b.private.Has(ctx, c); err != nil || has {
		return has, err
	}
	return b.public.Has(ctx, c)
}

// Get reads the block from either store.
func (b bothBlocks) Get(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	blk, err := b.private.Get(ctx, c)
	if err == nil || !ipld.IsNotFound(err) {
		return blk, err
	}
	return b.public.Get(ctx, c)
}

// GetSize returns the block's size in bytes.
func (b bothBlocks) GetSize(ctx context.Context, c cid.Cid) (int, error) {
	size, err := b.private.GetSize(ctx, c)
	if err == nil || !ipld.IsNotFound(err) {
		return size, err
	}
	return b.public.GetSize(ctx, c)
}

// Put writes to the public store.
func (b bothBlocks) Put(ctx context.Context, blk blocks.Block) error { return b.public.Put(ctx, blk) }

// PutMany writes to the public store.
func (b bothBlocks) PutMany(ctx context.Context, blks []blocks.Block) error {
	return b.public.PutMany(ctx, blks)
}

// DeleteBlock deletes from both stores.
func (b bothBlocks) DeleteBlock(ctx context.Context, c cid.Cid) error {
	return errors.Join(b.private.DeleteBlock(ctx, c), b.public.DeleteBlock(ctx, c))
}

// AllKeysChan sends the CIDs of the public store.
func (b bothBlocks) AllKeysChan(ctx context.Context) (<-chan cid.Cid, error) {
	return b.public.AllKeysChan(ctx)
}

// maxNodes bounds the blocks that content of so many bytes may consist of, so
// that a small graph that links to itself ends early.
func maxNodes(maxBytes int64) int64 { return maxBytes/1024 + 1024 }

// boundedNodes reads nodes, each within a time, up to a number, and only of
// CIDs that this network uses.
type boundedNodes struct {
	inner ipld.NodeGetter
	local bool

	mu   sync.Mutex
	left int64
}

func (b *boundedNodes) take(cids ...cid.Cid) error {
	for _, c := range cids {
		if _, err := parseCID(c.String()); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left -= int64(len(cids)); b.left < 0 {
		return fmt.Errorf("too many blocks for its size: %w", core.ErrExhausted)
	}
	return nil
}

// Get reads one node.
func (b *boundedNodes) Get(ctx context.Context, c cid.Cid) (ipld.Node, error) {
	if err := b.take(c); err != nil {
		return nil, err
	}
	one, cancel := context.WithTimeout(ctx, fetchIdle)
	defer cancel()
	node, err := b.inner.Get(one, c)
	if err != nil {
		return nil, b.failure(ctx, c, err)
	}
	return node, nil
}

// GetMany reads nodes side by side.
func (b *boundedNodes) GetMany(ctx context.Context, cids []cid.Cid) <-chan *ipld.NodeOption {
	out := make(chan *ipld.NodeOption, len(cids)+1)
	if err := b.take(cids...); err != nil {
		out <- &ipld.NodeOption{Err: err}
		close(out)
		return out
	}
	go func() {
		defer close(out)
		batch, cancel := context.WithCancel(ctx)
		defer cancel()
		idle := time.AfterFunc(fetchIdle, cancel)
		defer idle.Stop()
		got := 0
		for n := range b.inner.GetMany(batch, cids) {
			idle.Reset(fetchIdle)
			if n.Err != nil {
				n.Err = b.failure(ctx, cids[0], n.Err)
			}
			got++
			out <- n
		}
		if got == 0 && len(cids) > 0 {
			out <- &ipld.NodeOption{Err: b.failure(ctx, cids[0], context.DeadlineExceeded)}
		}
	}()
	return out
}

func (b *boundedNodes) failure(ctx context.Context, c cid.Cid, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case b.local || ipld.IsNotFound(err):
		return notFound(err)
	default:
		return fmt.Errorf("block %s does not come: %w", c, core.ErrUnavailable)
	}
}

func notFound(err error) error {
	if ipld.IsNotFound(err) {
		return fmt.Errorf("%w: %w", err, core.ErrNotFound)
	}
	return err
}

// contentReader reads a file's bytes and refuses more than it announced.
type contentReader struct {
	id   string
	dag  uio.DagReader
	left int64
	end  func()
}

// Read reads the next bytes.
func (r *contentReader) Read(p []byte) (int, error) {
	n, err := r.dag.Read(p)
	if r.left -= int64(n); r.left < 0 {
		return 0, fmt.Errorf("content %s is larger than it said: %w", r.id, core.ErrExhausted)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("content %s: %w", r.id, notFound(err))
	}
	return n, err
}

// Close ends reading and what is still being fetched.
func (r *contentReader) Close() error {
	r.end()
	return r.dag.Close()
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context //nolint:containedctx // a reader has no other way to take one
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}
