package p2p

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	mh "github.com/multiformats/go-multihash"
)

// fileBlocks is a blockstore of one file a block, named by its CID, in 1,024
// directories. A block is checked against its CID whenever it is read, so a
// file that a crash cut short is a block that is not there.
type fileBlocks struct {
	root *os.Root
	dir  string
}

func openBlocks(dir string) (*fileBlocks, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("block directory: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("block directory: %w", err)
	}
	return &fileBlocks{root: root, dir: dir}, nil
}

func (b *fileBlocks) close() error { return b.root.Close() }

func blockPath(c cid.Cid) (shard, name string) {
	name = c.String()
	return name[len(name)-2:], filepath.Join(name[len(name)-2:], name)
}

// Has says whether the block is there.
func (b *fileBlocks) Has(_ context.Context, c cid.Cid) (bool, error) {
	_, name := blockPath(c)
	_, err := b.root.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Get reads a block; ipld.ErrNotFound where it is not there or damaged.
func (b *fileBlocks) Get(_ context.Context, c cid.Cid) (blocks.Block, error) {
	_, name := blockPath(c)
	data, err := b.root.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ipld.ErrNotFound{Cid: c}
	}
	if err != nil {
		return nil, fmt.Errorf("block %s: %w", c, err)
	}
	sum, err := mh.Sum(data, c.Prefix().MhType, -1)
	if err != nil {
		return nil, fmt.Errorf("block %s: %w", c, err)
	}
	if string(sum) != string(c.Hash()) {
		return nil, errors.Join(ipld.ErrNotFound{Cid: c}, b.root.Remove(name))
	}
	return blocks.NewBlockWithCid(data, c)
}

// GetSize returns a block's size in bytes.
func (b *fileBlocks) GetSize(_ context.Context, c cid.Cid) (int, error) {
	_, name := blockPath(c)
	info, err := b.root.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return -1, ipld.ErrNotFound{Cid: c}
	}
	if err != nil {
		return -1, fmt.Errorf("block %s: %w", c, err)
	}
	return int(info.Size()), nil
}

// Put writes a block: to a file beside, then under its name.
func (b *fileBlocks) Put(ctx context.Context, blk blocks.Block) error {
	if has, err := b.Has(ctx, blk.Cid()); err != nil || has {
		return err
	}
	shard, name := blockPath(blk.Cid())
	if err := b.root.Mkdir(shard, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("block %s: %w", blk.Cid(), err)
	}
	f, err := os.CreateTemp(filepath.Join(b.dir, shard), ".new-")
	if err != nil {
		return fmt.Errorf("block %s: %w", blk.Cid(), err)
	}
	_, err = f.Write(blk.RawData())
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(b.dir, name))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("block %s: %w", blk.Cid(), err), os.Remove(f.Name()))
	}
	return nil
}

// PutMany writes blocks, one after the other.
func (b *fileBlocks) PutMany(ctx context.Context, blks []blocks.Block) error {
	for _, blk := range blks {
		if err := b.Put(ctx, blk); err != nil {
			return err
		}
	}
	return nil
}

// DeleteBlock removes a block; one that is not there is no error.
func (b *fileBlocks) DeleteBlock(_ context.Context, c cid.Cid) error {
	_, name := blockPath(c)
	if err := b.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete block %s: %w", c, err)
	}
	return nil
}

// AllKeysChan sends the CID of every block.
func (b *fileBlocks) AllKeysChan(ctx context.Context) (<-chan cid.Cid, error) {
	out := make(chan cid.Cid)
	go func() {
		defer close(out)
		_ = fs.WalkDir(b.root.FS(), ".", func(_ string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || strings.HasPrefix(e.Name(), ".") {
				return err
			}
			c, err := cid.Decode(e.Name())
			if err != nil {
				return nil //nolint:nilerr // a stray file is no block
			}
			select {
			case out <- c:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	return out, nil
}
