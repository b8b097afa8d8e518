package p2p

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/boxo/bitswap"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	chunk "github.com/ipfs/boxo/chunker"
	"github.com/ipfs/boxo/exchange/offline"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs/importer/balanced"
	"github.com/ipfs/boxo/ipld/unixfs/importer/helpers"
	uio "github.com/ipfs/boxo/ipld/unixfs/io"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/libp2p/go-libp2p/core/protocol"
	mh "github.com/multiformats/go-multihash"

	"github.com/zerostate/zerostate/core"
)

// How content becomes blocks; part of the protocol, since it fixes the CID.
const (
	chunkBytes = 256 << 10
	maxLinks   = 174
)

// fetchIdle is how long a block may take to come over the network.
const fetchIdle = 30 * time.Second

// ContentInfo names content that was added.
type ContentInfo struct {
	CID       string
	SHA256    string // of the bytes, lower-case hex
	SizeBytes int64
}

// Content keeps content by CID. Public content is answered on bitswap; private
// content is never provided nor answered, only read here.
type Content struct {
	n       *Node
	dir     string
	private *fileBlocks
	public  *fileBlocks
	swap    *bitswap.Bitswap
	remove  bool // dir is ours alone

	publishing sync.Mutex
}

func (n *Node) startContent() error {
	c := &Content{n: n, dir: n.cfg.ContentDir}
	if c.dir == "" {
		dir, err := os.MkdirTemp("", "zerostate-content-")
		if err != nil {
			return fmt.Errorf("content: %w", err)
		}
		c.dir, c.remove = dir, true
	}
	n.content = c
	var err error
	if c.private, err = openBlocks(filepath.Join(c.dir, "private")); err != nil {
		return err
	}
	if c.public, err = openBlocks(filepath.Join(c.dir, "public")); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(c.dir, "provided"), 0o700); err != nil {
		return fmt.Errorf("content: %w", err)
	}
	net := bsnet.NewFromIpfsHost(n.host, bsnet.Prefix(protocol.ID(n.prefix())))
	c.swap = bitswap.New(n.ctx, net, n.dht, blockstore.NewIdStore(c.public))
	net.Start(c.swap)
	return nil
}

func (c *Content) close() error {
	var errs []error
	if c.swap != nil {
		errs = append(errs, c.swap.Close())
	}
	for _, b := range []*fileBlocks{c.private, c.public} {
		if b != nil {
			errs = append(errs, b.close())
		}
	}
	if c.remove {
		errs = append(errs, os.RemoveAll(c.dir))
	}
	return errors.Join(errs...)
}

// Add stores what r gives and returns its CID (UnixFS, raw leaves, 256 KiB
// chunks) with the sha256 and size of the bytes. Public content is provided.
func (c *Content) Add(ctx context.Context, r io.Reader, public bool) (ContentInfo, error) {
	sum := sha256.New()
	counted := &countingReader{r: io.TeeReader(r, sum)}
	dag := merkledag.NewDAGService(blockservice.New(c.private, offline.Exchange(c.private)))
	params := helpers.DagBuilderParams{
		Maxlinks: maxLinks, RawLeaves: true, Dagserv: dag,
		CidBuilder: cid.V1Builder{Codec: cid.DagProtobuf, MhType: mh.SHA2_256},
	}
	builder, err := params.New(chunk.NewSizeSplitter(&contextReader{ctx: ctx, r: counted}, chunkBytes))
	if err != nil {
		return ContentInfo{}, fmt.Errorf("add content: %w", err)
	}
	root, err := balanced.Layout(builder)
	if err != nil {
		return ContentInfo{}, fmt.Errorf("add content: %w", err)
	}
	info := ContentInfo{CID: root.Cid().String(), SHA256: hex.EncodeToString(sum.Sum(nil)), SizeBytes: counted.n}
	if public {
		return info, c.Publish(ctx, info.CID)
	}
	return info, nil
}

// Has says whether the whole content lies here, and whether it is public.
func (c *Content) Has(ctx context.Context, id string) (here, public bool, err error) {
	root, err := parseCID(id)
	if err != nil {
		return false, false, err
	}
	for _, store := range []struct {
		blocks blockstore.Blockstore
		public bool
	}{{c.public, true}, {bothBlocks{c.private, c.public}, false}} {
		err := walk(ctx, store.blocks, root, func(cid.Cid) error { return nil })
		if err == nil {
			return true, store.public, nil
		}
		if !ipld.IsNotFound(err) {
			return false, false, fmt.Errorf("content %s: %w", id, err)
		}
	}
	return false, false, nil
}

// Open reads content of at most maxBytes: from here, or, where it is not here,
// over bitswap from nodes that provide it. The bytes are checked against the
// CID as they are read. Errors, also while reading: core.ErrNotFound,
// core.ErrExhausted for more than maxBytes, core.ErrInvalid for what is no file,
// core.ErrUnavailable where a block does not come within 30 s.
func (c *Content) Open(ctx context.Context, id string, maxBytes int64) (io.ReadCloser, error) {
	return c.open(ctx, id, maxBytes, c.nodes(false), false)
}

// OpenPublic is Open without the private content that lies here: for a CID that
// somebody else names, who may know no more of the content than its digest.
func (c *Content) OpenPublic(ctx context.Context, id string, maxBytes int64) (io.ReadCloser, error) {
	return c.open(ctx, id, maxBytes, blockservice.New(c.public, c.swap), false)
}

// OpenLocal is Open without the network.
func (c *Content) OpenLocal(ctx context.Context, id string, maxBytes int64) (io.ReadCloser, error) {
	return c.open(ctx, id, maxBytes, c.nodes(true), true)
}

func (c *Content) open(ctx context.Context, id string, maxBytes int64, from blockservice.BlockService, local bool) (io.ReadCloser, error) {
	root, err := parseCID(id)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(c.n.ctx, cancel)
	end := func() { stop(); cancel() }
	var inner ipld.NodeGetter = merkledag.NewDAGService(from)
	if !local {
		inner = merkledag.NewSession(ctx, merkledag.NewDAGService(from))
	}
	nodes := &boundedNodes{inner: inner, left: maxNodes(maxBytes), local: local}
	node, err := nodes.Get(ctx, root)
	if err != nil {
		end()
		return nil, fmt.Errorf("content %s: %w", id, err)
	}
	dag, err := uio.NewDagReader(ctx, node, nodes)
	if err != nil {
		end()
		return nil, fmt.Errorf("content %s is no file (%w): %w", id, err, core.ErrInvalid)
	}
	if size := dag.Size(); size > uint64(max(maxBytes, 0)) { //nolint:gosec // not negative
		end()
		return nil, errors.Join(fmt.Errorf("content %s of %d bytes, at most %d: %w", id, size, maxBytes, core.ErrExhausted), dag.Close())
	}
	return &contentReader{id: id, dag: dag, left: maxBytes, end: end}, nil
}

// nodes reads blocks from both stores, and from the network where not local.
func (c *Content) nodes(local bool) blockservice.BlockService {
	both := bothBlocks{c.private, c.public}
	if local {
		return blockservice.New(both, offline.Exchange(both))
	}
	return blockservice.New(both, c.swap)
}

// Publish makes private content public and provides it. The error is
// core.ErrNotFound where it does not lie here as a whole.
func (c *Content) Publish(ctx context.Context, id string) error {
	root, err := parseCID(id)
	if err != nil {
		return err
	}
	c.publishing.Lock()
	defer c.publishing.Unlock()
	both := bothBlocks{c.private, c.public}
	var all []cid.Cid
	if err := walk(ctx, both, root, func(x cid.Cid) error { all = append(all, x); return nil }); err != nil {
		return fmt.Errorf("publish %s: %w", id, notFound(err))
	}
	for _, block := range slices.Backward(all) { // the root last: what is found there is whole
		if err := c.publishBlock(ctx, block); err != nil {
			return fmt.Errorf("publish %s: %w", id, err)
		}
	}
	mark := filepath.Join(c.dir, "provided", root.String())
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		return fmt.Errorf("publish %s: %w", id, err)
	}
	if c.n.dht.RoutingTable().Size() == 0 {
		return nil // Reprovide tells the others once there are some
	}
	return c.n.Provide(ctx, id)
}

func (c *Content) publishBlock(ctx context.Context, id cid.Cid) error {
	blk, err := bothBlocks{c.private, c.public}.Get(ctx, id)
	if err != nil {
		return err
	}
	if err := c.public.Put(ctx, blk); err != nil {
		return err
	}
	if err := c.swap.NotifyNewBlocks(ctx, blk); err != nil {
		return fmt.Errorf("block %s: %w", id, err)
	}
	return c.private.DeleteBlock(ctx, id)
}

// Reprovide provides all public content that was added here again; the DHT
// forgets after 48 hours.
func (c *Content) Reprovide(ctx context.Context) error {
	marks, err := os.ReadDir(filepath.Join(c.dir, "provided"))
	if err != nil {
		return fmt.Errorf("reprovide: %w", err)
	}
	var errs []error
	for _, m := range marks {
		if ctx.Err() != nil {
			break
		}
		errs = append(errs, c.n.Provide(ctx, m.Name()))
	}
	return errors.Join(errs...)
}

// walk visits every block of a DAG once, parents first.
func walk(ctx context.Context, store blockstore.Blockstore, root cid.Cid, visit func(cid.Cid) error) error {
	dag := merkledag.NewDAGService(blockservice.New(store, offline.Exchange(store)))
	seen := cid.NewSet()
	todo := []cid.Cid{root}
	for len(todo) > 0 {
		next := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if !seen.Visit(next) {
			continue
		}
		if next.Prefix().Codec == cid.Raw {
			has, err := store.Has(ctx, next)
			if err != nil {
				return err
			}
			if !has {
				return ipld.ErrNotFound{Cid: next}
			}
		} else {
			node, err := dag.Get(ctx, next)
			if err != nil {
				return err
			}
			for _, l := range node.Links() {
				todo = append(todo, l.Cid)
			}
		}
		if err := visit(next); err != nil {
			return err
		}
	}
	return nil
}
