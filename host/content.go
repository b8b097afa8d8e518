package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/zerostate/zerostate/core"
)

// maxContent bounds content that is read back without a declared size.
const maxContent = 1 << 40

// emptySHA256 is the digest of content without a byte.
const emptySHA256 = core.EmptyAuditRoot

func sha256Hex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// short is an id as logs and people see it.
func short(id string) string { return id[:min(len(id), 12)] }

// AddContent stores content: private, or public, which is provided and answered
// on bitswap.
func (n *Node) AddContent(ctx context.Context, r io.Reader, public bool) (Content, error) {
	info, err := n.net.Content().Add(ctx, r, public)
	if err != nil {
		return Content{}, err
	}
	if public {
		err = n.audit.append(core.AuditArtifactPublic, info.CID, info.SHA256)
	}
	return Content(info), err
}

// OpenContent opens content that is here or, where it is public, comes over the
// network; at most maxBytes (0: no bound).
func (n *Node) OpenContent(ctx context.Context, cid string, maxBytes int64) (io.ReadCloser, error) {
	if maxBytes <= 0 {
		maxBytes = maxContent
	}
	return n.net.Content().Open(ctx, cid, maxBytes)
}

func (n *Node) addContent(ctx context.Context, data []byte, public bool) (contentRef, error) {
	info, err := n.net.Content().Add(ctx, bytes.NewReader(data), public)
	return contentRef(info), err
}

func (n *Node) readContent(ctx context.Context, cid string, maxBytes int64) ([]byte, error) {
	return readAll(n.net.Content().Open(ctx, cid, maxBytes))
}

func (n *Node) localContent(ctx context.Context, cid string, maxBytes int64) ([]byte, error) {
	return readAll(n.net.Content().OpenLocal(ctx, cid, maxBytes))
}

func readAll(r io.ReadCloser, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	return b, errors.Join(err, r.Close())
}

// digestOf reads content that is here and answers its sha256 and size.
func (n *Node) digestOf(ctx context.Context, cid string) (sum string, size int64, err error) {
	r, err := n.net.Content().OpenLocal(ctx, cid, maxContent)
	if err != nil {
		return "", 0, err
	}
	h := sha256.New()
	size, err = io.Copy(h, r)
	if err = errors.Join(err, r.Close()); err != nil {
		return "", 0, fmt.Errorf("read content: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}
