package p2p

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"

	"github.com/zerostate/zerostate/core"
)

// someBytes are the same every time, and no two chunks are alike.
func someBytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8*31 + i>>16)
	}
	return b
}

func add(t *testing.T, n *Node, data []byte, public bool) ContentInfo {
	t.Helper()
	info, err := n.Content().Add(t.Context(), bytes.NewReader(data), public)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func read(t *testing.T, n *Node, id string, limit int64) ([]byte, error) {
	t.Helper()
	r, err := n.Content().Open(t.Context(), id, limit)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	return io.ReadAll(r)
}

func TestContentAdd(t *testing.T) {
	n := startNode(t, "a", nil)
	for size, want := range map[int]string{
		0:         "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", // sha256 of nothing, raw
		1000:      "",
		256 << 10: "",
		1 << 20:   "",
	} {
		data := someBytes(size)
		info := add(t, n, data, false)
		sum := sha256.Sum256(data)
		if info.SizeBytes != int64(size) || info.SHA256 != hex.EncodeToString(sum[:]) {
			t.Errorf("%d bytes: got %+v", size, info)
		}
		if want != "" && info.CID != want {
			t.Errorf("%d bytes: got %s, want %s", size, info.CID, want)
		}
		c, err := cid.Decode(info.CID)
		if err != nil {
			t.Fatal(err)
		}
		if size <= chunkBytes {
			one, err := mh.Sum(data, mh.SHA2_256, -1)
			if err != nil {
				t.Fatal(err)
			}
			if !c.Equals(cid.NewCidV1(cid.Raw, one)) {
				t.Errorf("%d bytes: got %s, want one raw block", size, c)
			}
		} else if c.Prefix().Codec != cid.DagProtobuf {
			t.Errorf("%d bytes: got codec %#x, want dag-pb", size, c.Prefix().Codec)
		}
		got, err := read(t, n, info.CID, int64(size))
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: read %d, %v", size, len(got), err)
		}
		if here, public, err := n.Content().Has(t.Context(), info.CID); err != nil || !here || public {
			t.Errorf("%d bytes: got here %t, public %t, %v", size, here, public, err)
		}
	}
}

func TestContentOverBitswap(t *testing.T) {
	nodes := startNetwork(t, 3, nil)
	data := someBytes(2 << 20)
	info := add(t, nodes[1], data, true)
	if here, public, err := nodes[1].Content().Has(t.Context(), info.CID); err != nil || !here || !public {
		t.Errorf("got here %t, public %t, %v", here, public, err)
	}
	got, err := read(t, nodes[2], info.CID, int64(len(data)))
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("read %d bytes, %v", len(got), err)
	}
	_, err = read(t, nodes[0], info.CID, int64(len(data))-1)
	wantErr(t, "more than was allowed", err, core.ErrExhausted)
	if here, _, err := nodes[2].Content().Has(t.Context(), info.CID); err != nil || !here {
		t.Errorf("what was fetched: got here %t, %v", here, err)
	}
	if err := nodes[1].Content().Reprovide(t.Context()); err != nil {
		t.Errorf("reprovide: %v", err)
	}
}

func TestPrivateContentIsNotAnswered(t *testing.T) {
	nodes := startNetwork(t, 2, nil)
	data := someBytes(600 << 10)
	info := add(t, nodes[0], data, false)
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	if r, err := nodes[1].Content().Open(ctx, info.CID, 1<<20); err == nil {
		_, err = io.ReadAll(r)
		t.Errorf("got private content, %v", err)
	}
	_, err := nodes[1].Content().OpenLocal(t.Context(), info.CID, 1<<20)
	wantErr(t, "without the network", err, core.ErrNotFound)
	if found, err := nodes[1].FindProviders(t.Context(), info.CID, 1); err != nil || len(found) != 0 {
		t.Errorf("got providers %v, %v, want none", found, err)
	}
	// Nor is it read here for somebody who knows no more than its CID.
	blind, stop := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer stop()
	if _, err := nodes[0].Content().OpenPublic(blind, info.CID, 1<<20); err == nil {
		t.Error("OpenPublic read private content")
	}
	// Published, it is answered: the same request, nothing else changed.
	if err := nodes[0].Content().Publish(t.Context(), info.CID); err != nil {
		t.Fatal(err)
	}
	got, err := read(t, nodes[1], info.CID, 1<<20)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("once published: read %d bytes, %v", len(got), err)
	}
	r, err := nodes[0].Content().OpenPublic(t.Context(), info.CID, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) || r.Close() != nil {
		t.Errorf("once published: OpenPublic read %d bytes, %v", len(got), err)
	}
	wantErr(t, "publish what is not here", nodes[0].Content().Publish(t.Context(), add(t, nodes[1], []byte("x"), false).CID), core.ErrNotFound)
	wantErr(t, "publish no cid", nodes[0].Content().Publish(t.Context(), "x"), core.ErrInvalid)
}

func TestContentIsRefused(t *testing.T) {
	n := startNode(t, "a", nil)
	for _, bad := range []string{"", "x", "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnMqEN", "bafkqaaa"} {
		_, err := n.Content().Open(t.Context(), bad, 1)
		wantErr(t, bad, err, core.ErrInvalid)
		_, _, err = n.Content().Has(t.Context(), bad)
		wantErr(t, bad, err, core.ErrInvalid)
	}
	info := add(t, n, someBytes(10), false)
	_, err := n.Content().OpenLocal(t.Context(), info.CID, 9)
	wantErr(t, "larger than allowed", err, core.ErrExhausted)

	// A directory is no file.
	dir := unixfs.EmptyDirNode()
	dir.SetCidBuilder(cid.V1Builder{Codec: cid.DagProtobuf, MhType: mh.SHA2_256})
	if err := n.Content().private.Put(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	_, err = n.Content().OpenLocal(t.Context(), dir.Cid().String(), 100)
	wantErr(t, "a directory", err, core.ErrInvalid)

	// Adding ends with its context, and with its reader.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = n.Content().Add(ctx, bytes.NewReader(someBytes(10)), false)
	wantErr(t, "a caller that gave up", err, context.Canceled)
	broken := errors.New("broken")
	_, err = n.Content().Add(t.Context(), io.MultiReader(bytes.NewReader(someBytes(300<<10)), brokenReader{broken}), false)
	wantErr(t, "a reader that breaks", err, broken)
}

type brokenReader struct{ err error }

func (b brokenReader) Read([]byte) (int, error) { return 0, b.err }

// A block that lies on disk damaged is not content.
func TestDamagedBlock(t *testing.T) {
	n := startNode(t, "a", nil)
	info := add(t, n, someBytes(1000), false)
	c, err := cid.Decode(info.CID)
	if err != nil {
		t.Fatal(err)
	}
	_, name := blockPath(c)
	if err := os.WriteFile(filepath.Join(n.cfg.ContentDir, "private", name), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = n.Content().OpenLocal(t.Context(), info.CID, 1000)
	wantErr(t, "read", err, core.ErrNotFound)
	if here, _, err := n.Content().Has(t.Context(), info.CID); err != nil || here {
		t.Errorf("got here %t, %v", here, err)
	}
	if again := add(t, n, someBytes(1000), false); again.CID != info.CID {
		t.Errorf("got %s, want %s", again.CID, info.CID)
	}
	if got, err := read(t, n, info.CID, 1000); err != nil || len(got) != 1000 {
		t.Errorf("added again: read %d bytes, %v", len(got), err)
	}
}

// A few nodes that link to one another many times and hold no bytes.
func TestContentBomb(t *testing.T) {
	n := startNode(t, "a", nil)
	builder := cid.V1Builder{Codec: cid.DagProtobuf, MhType: mh.SHA2_256}
	empty := merkledag.NodeWithData(unixfs.FilePBData(nil, 0))
	empty.SetCidBuilder(builder)
	node := empty
	for range 10 {
		file := unixfs.NewFSNode(unixfs.TFile)
		parent := merkledag.NodeWithData(nil)
		parent.SetCidBuilder(builder)
		for range 64 {
			if err := parent.AddNodeLink("", node); err != nil {
				t.Fatal(err)
			}
			file.AddBlockSize(0)
		}
		data, err := file.GetBytes()
		if err != nil {
			t.Fatal(err)
		}
		parent.SetData(data)
		if err := errors.Join(n.Content().private.Put(t.Context(), node), n.Content().private.Put(t.Context(), parent)); err != nil {
			t.Fatal(err)
		}
		node = parent
	}
	r, err := n.Content().OpenLocal(t.Context(), node.Cid().String(), 100)
	if err == nil {
		_, err = io.ReadAll(r)
		err = errors.Join(err, r.Close())
	}
	wantErr(t, "64^10 empty blocks", err, core.ErrExhausted)
}

func TestBlocks(t *testing.T) {
	n := startNode(t, "a", func(c *Config) { c.ContentDir = "" })
	c := n.Content()
	info := add(t, n, []byte("hello"), false)
	id, err := cid.Decode(info.CID)
	if err != nil {
		t.Fatal(err)
	}
	both := bothBlocks{c.private, c.public}
	if size, err := both.GetSize(t.Context(), id); err != nil || size != 5 {
		t.Errorf("got size %d, %v", size, err)
	}
	if err := c.Publish(t.Context(), info.CID); err != nil {
		t.Fatal(err)
	}
	if has, err := c.private.Has(t.Context(), id); err != nil || has {
		t.Errorf("still private: %t, %v", has, err)
	}
	keys, err := both.AllKeysChan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for k := range keys {
		if !k.Equals(id) {
			t.Errorf("got %s", k)
		}
		count++
	}
	if count != 1 {
		t.Errorf("got %d public blocks, want 1", count)
	}
	if err := both.DeleteBlock(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if _, err := both.GetSize(t.Context(), id); err == nil {
		t.Error("a deleted block has a size")
	}
	if _, err := os.Stat(c.dir); err != nil {
		t.Errorf("the temporary directory: %v", err)
	}
}
