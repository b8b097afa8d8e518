package host

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/zerostate/zerostate/api/nodev1"
	"github.com/zerostate/zerostate/api/nodev1/nodev1connect"
	"github.com/zerostate/zerostate/host/internal/config"
)

func TestATasksContentIsNobodyElses(t *testing.T) {
	l := newLab(t, nil, nil)
	stranger := l.begin("stranger", l.config("stranger", config.RoleEdge), nil)
	r, err := l.run(l.caller, "a secret of the caller's")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []*Node{l.caller, l.provider} {
		if err := stranger.net.Connect(t.Context(), n.DID()); err != nil {
			t.Fatal(err)
		}
	}
	// What is public comes over bitswap: the way is open.
	public := addPublic(t, l.caller, "no secret")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if b, err := stranger.readContent(ctx, public, 100); err != nil || string(b) != "no secret" {
		t.Fatalf("public content: got %q, %v", b, err)
	}
	private := map[string]string{"input": input(t, l.caller, "a secret of the caller's")["doc"].CID}
	for _, o := range r.Outputs {
		private["output "+o.Name] = o.CID
	}
	h, url := api(t, stranger)
	for name, cid := range private {
		for _, n := range []*Node{l.caller, l.provider} {
			if here, public, err := n.net.Content().Has(t.Context(), cid); err != nil || !here || public {
				t.Errorf("%s at %s: got here %v, public %v, %v, want it here and private", name, n.cfg.Node.Name, here, public, err)
			}
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if b, err := stranger.readContent(ctx, cid, 1<<20); err == nil {
				t.Errorf("a stranger got %q over bitswap", b)
			}
			ctx, cancel = context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if b, err := getArtifact(ctx, h, url, cid); err == nil {
				t.Errorf("a stranger's API answered %q", b)
			}
			// The member's own API wants its token.
			_, err := getArtifact(t.Context(), http.DefaultClient, "http://"+l.caller.api.Address(), cid)
			wantCode(t, "the caller's API without its token", err, connect.CodeUnauthenticated)
		})
	}
}

func addPublic(t *testing.T, n *Node, text string) string {
	t.Helper()
	c, err := n.addContent(t.Context(), []byte(text), true)
	if err != nil {
		t.Fatal(err)
	}
	return c.CID
}

func getArtifact(ctx context.Context, h *http.Client, url, cid string) ([]byte, error) {
	stream, err := nodev1connect.NewArtifactServiceClient(h, url).Get(ctx, connect.NewRequest(&nodev1.ArtifactGetRequest{Cid: cid}))
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	var b []byte
	for stream.Receive() {
		b = append(b, stream.Msg().GetData()...)
	}
	if stream.Err() == nil && len(b) == 0 {
		return nil, io.EOF
	}
	return b, stream.Err()
}
