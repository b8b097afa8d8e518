package host

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/zerostate/zerostate/api/nodev1"
	"github.com/zerostate/zerostate/api/nodev1/nodev1connect"
	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/host/internal/config"
	"github.com/zerostate/zerostate/plugin/sdk"
	"github.com/zerostate/zerostate/plugin/sdk/sdktest/fake"
)

// withToken sends the token of a node's home with every request.
type withToken struct{ token string }

func (w withToken) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+w.token)
	return http.DefaultTransport.RoundTrip(r)
}

// api is what a client with the token needs to reach a node.
func api(t *testing.T, n *Node) (*http.Client, string) {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(n.cfg.Node.Home, TokenName))
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Transport: withToken{strings.TrimSpace(string(token))}}, "http://" + n.api.Address()
}

// must answers what a call answered.
func must[T any](t *testing.T) func(*connect.Response[T], error) *T {
	t.Helper()
	return func(r *connect.Response[T], err error) *T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return r.Msg
	}
}

func wantCode(t *testing.T, what string, err error, want connect.Code) {
	t.Helper()
	if got := connect.CodeOf(err); err == nil || got != want {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func addContent(t *testing.T, n *Node, chunks ...string) *nodev1.ArtifactAddResponse {
	t.Helper()
	h, url := api(t, n)
	stream := nodev1connect.NewArtifactServiceClient(h, url).Add(t.Context())
	for _, c := range chunks {
		if err := stream.Send(&nodev1.ArtifactAddRequest{Data: []byte(c)}); err != nil {
			t.Fatal(err)
		}
	}
	return must[nodev1.ArtifactAddResponse](t)(stream.CloseAndReceive())
}

// runAPI runs a task over the API and collects what the stream said.
func runAPI(ctx context.Context, t *testing.T, n *Node, req *nodev1.RunRequest, each func(*nodev1.RunEvent)) (*nodev1.TaskResult, error) {
	t.Helper()
	h, url := api(t, n)
	stream, err := nodev1connect.NewTaskServiceClient(h, url).Run(ctx, connect.NewRequest(req))
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	var result *nodev1.TaskResult
	for stream.Receive() {
		if each != nil {
			each(stream.Msg())
		}
		if r := stream.Msg().GetResult(); r != nil {
			result = r
		}
	}
	return result, stream.Err()
}

func TestAPITakesATask(t *testing.T) {
	w, provider, caller := small(t)
	shout := provider.cards.list()[0].signer.DID()
	eventually(t, "the card is indexed", func() bool {
		f, err := caller.Find(t.Context(), FindQuery{Text: "upper case"})
		return err == nil && len(f.Hits) == 1
	})
	ref := addContent(t, caller, "hel", "", "lo")
	if ref.GetSizeBytes() != 5 || ref.GetSha256() != sha256Hex([]byte("hello")) {
		t.Errorf("got content %v, want the digest of hello", ref)
	}
	var steps []string
	result, err := runAPI(t.Context(), t, caller, &nodev1.RunRequest{
		What: &nodev1.RunRequest_Query{Query: "make this text upper case"}, Inputs: []*nodev1.InputRef{{Name: "doc", Cid: ref.GetCid()}},
	}, func(e *nodev1.RunEvent) {
		if s := e.GetStep(); s != nil {
			steps = append(steps, s.GetName())
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(steps, " "), "find escrow form route execute settle dissolve verify"; got != want {
		t.Errorf("got steps %q, want %q", got, want)
	}
	if result.GetAgent() != string(shout) || result.GetOutcome() != "ok" || result.GetState() != TaskDone || result.GetChargedMicros() <= 0 {
		t.Errorf("got %v", result)
	}
	if _, err := core.VerifyReceipt(result.GetReceipt(), "zerostate-unit", false); err != nil {
		t.Error(err)
	}
	t.Run("task", func(t *testing.T) { afterTask(t, caller, result) })
	t.Run("papers", func(t *testing.T) { afterPapers(t, caller, provider, result) })
	t.Run("node", func(t *testing.T) { aboutNode(t, w.nodes["index"], caller, provider) })
}

func afterTask(t *testing.T, n *Node, result *nodev1.TaskResult) {
	t.Helper()
	h, url := api(t, n)
	tasks := nodev1connect.NewTaskServiceClient(h, url)
	got := must[nodev1.TaskStatusResponse](t)(tasks.Status(t.Context(), connect.NewRequest(&nodev1.TaskStatusRequest{Task: result.GetTask()[:10]})))
	if got.GetResult().GetTask() != result.GetTask() || !bytes.Equal(got.GetResult().GetReceipt(), result.GetReceipt()) {
		t.Errorf("status: got %v, want the result", got.GetResult())
	}
	list := must[nodev1.TaskListResponse](t)(tasks.List(t.Context(), connect.NewRequest(&nodev1.TaskListRequest{})))
	if len(list.GetTasks()) != 1 || list.GetTasks()[0].GetTask() != result.GetTask() || list.GetTasks()[0].GetManifest() != nil {
		t.Errorf("list: got %v, want the task without its documents", list.GetTasks())
	}
	_, err := tasks.Logs(t.Context(), connect.NewRequest(&nodev1.TaskLogsRequest{Task: result.GetTask()}))
	if err != nil {
		t.Error(err)
	}
	_, err = tasks.Cancel(t.Context(), connect.NewRequest(&nodev1.TaskCancelRequest{Task: result.GetTask()}))
	wantCode(t, "cancel what has ended", err, connect.CodeFailedPrecondition)
	_, err = tasks.Cancel(t.Context(), connect.NewRequest(&nodev1.TaskCancelRequest{Task: "ffffffff"}))
	wantCode(t, "cancel nothing", err, connect.CodeNotFound)
	for _, limit := range []int64{-1, maxTaskList + 1} {
		_, err = tasks.List(t.Context(), connect.NewRequest(&nodev1.TaskListRequest{Limit: limit}))
		wantCode(t, "list", err, connect.CodeInvalidArgument)
	}
	out := result.GetOutputs()[len(result.GetOutputs())-1]
	stream, err := nodev1connect.NewArtifactServiceClient(h, url).Get(t.Context(), connect.NewRequest(&nodev1.ArtifactGetRequest{Cid: out.GetCid()}))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	var content []byte
	for stream.Receive() {
		content = append(content, stream.Msg().GetData()...)
	}
	if stream.Err() != nil || sha256Hex(content) != out.GetSha256() {
		t.Errorf("output: got %q, %v, want the digest %s", content, stream.Err(), out.GetSha256())
	}
}

func afterPapers(t *testing.T, n, provider *Node, result *nodev1.TaskResult) {
	t.Helper()
	h, url := api(t, n)
	ctx := t.Context()
	for _, of := range []*Node{n, provider} {
		h, url := api(t, of)
		got := must[nodev1.ReceiptShowResponse](t)(nodev1connect.NewReceiptServiceClient(h, url).Show(ctx,
			connect.NewRequest(&nodev1.ReceiptShowRequest{Task: result.GetTask()[:12]})))
		if _, err := core.ParseReceipt(got.GetReceipt()); err != nil {
			t.Errorf("receipt of %s: %v", of.cfg.Node.Name, err)
		}
	}
	_, err := nodev1connect.NewReceiptServiceClient(h, url).Show(ctx, connect.NewRequest(&nodev1.ReceiptShowRequest{Task: "ff/.."}))
	wantCode(t, "receipt of no task id", err, connect.CodeInvalidArgument)

	rep := nodev1connect.NewReputationServiceClient(h, url)
	score := must[nodev1.ReputationShowResponse](t)(rep.Show(ctx, connect.NewRequest(&nodev1.ReputationShowRequest{Agent: result.GetAgent()})))
	if score.GetEvents() != 1 || score.GetScore() != result.GetReputationAfter() {
		t.Errorf("score: got %v, want %v of one event", score, result.GetReputationAfter())
	}
	history := must[nodev1.ReputationHistoryResponse](t)(rep.History(ctx, connect.NewRequest(&nodev1.ReputationHistoryRequest{})))
	if len(history.GetEntries()) != 1 {
		t.Errorf("history: got %d events, want 1", len(history.GetEntries()))
	}
	for range 2 { // the second goes on from the first
		v := must[nodev1.ReputationVerifyResponse](t)(rep.Verify(ctx, connect.NewRequest(&nodev1.ReputationVerifyRequest{})))
		c, err := core.Parse[core.Checkpoint](v.GetCheckpoint())
		if err != nil || core.Verify(c, "zerostate-unit") != nil || v.GetSize() != 1 || v.GetChecked() != 1 || c.Root != v.GetRoot() {
			t.Errorf("verify: got %v, %v, want one proven event under a signed checkpoint", v, err)
		}
	}

	channels := nodev1connect.NewChannelServiceClient(h, url)
	list := must[nodev1.ChannelListResponse](t)(channels.List(ctx, connect.NewRequest(&nodev1.ChannelListRequest{}))).GetChannels()
	if len(list) != 1 || list[0].GetPeer() != string(provider.DID()) || list[0].GetPayeeMicros() != result.GetChargedMicros() ||
		list[0].GetPayerMicros()+list[0].GetPayeeMicros()+list[0].GetLockedMicros() != list[0].GetDepositMicros() {
		t.Fatalf("channels: got %v, want one that paid %d", list, result.GetChargedMicros())
	}
	id := list[0].GetChannel()
	must[nodev1.ChannelUpdateResponse](t)(channels.Update(ctx, connect.NewRequest(&nodev1.ChannelUpdateRequest{Channel: id[:8]})))
	ph, purl := api(t, provider)
	payee := nodev1connect.NewChannelServiceClient(ph, purl)
	_, err = payee.Update(ctx, connect.NewRequest(&nodev1.ChannelUpdateRequest{Channel: id}))
	wantCode(t, "update by the payee", err, connect.CodePermissionDenied)
	closed := must[nodev1.ChannelCloseResponse](t)(channels.Close(ctx, connect.NewRequest(&nodev1.ChannelCloseRequest{Channel: id[:8]})))
	if !closed.GetChannel().GetClosed() {
		t.Errorf("close: got %v", closed)
	}
	_, err = channels.Dispute(ctx, connect.NewRequest(&nodev1.ChannelDisputeRequest{Channel: id}))
	wantCode(t, "dispute of a closed channel", err, connect.CodeFailedPrecondition)
	_, err = channels.Close(ctx, connect.NewRequest(&nodev1.ChannelCloseRequest{Channel: "ffffffffff"}))
	wantCode(t, "close of no channel", err, connect.CodeNotFound)
	opened := must[nodev1.ChannelOpenResponse](t)(channels.Open(ctx, connect.NewRequest(&nodev1.ChannelOpenRequest{
		Peer: string(provider.DID()), DepositMicros: 12345,
	}))).GetChannel()
	if opened.GetDepositMicros() != 12345 || opened.GetPayerMicros() != 12345 {
		t.Errorf("open: got %v, want a deposit of 12345", opened)
	}
	disputed := must[nodev1.ChannelDisputeResponse](t)(channels.Dispute(ctx, connect.NewRequest(&nodev1.ChannelDisputeRequest{Channel: opened.GetChannel()})))
	if !disputed.GetChannel().GetDisputed() {
		t.Errorf("dispute: got %v", disputed)
	}
	_, err = channels.Open(ctx, connect.NewRequest(&nodev1.ChannelOpenRequest{Peer: string(n.DID())}))
	wantCode(t, "channel to oneself", err, connect.CodeInvalidArgument)

	audit := nodev1connect.NewAuditServiceClient(h, url)
	anchor := must[nodev1.AuditAnchorResponse](t)(audit.Anchor(ctx, connect.NewRequest(&nodev1.AuditAnchorRequest{})))
	verified := must[nodev1.AuditVerifyResponse](t)(audit.Verify(ctx, connect.NewRequest(&nodev1.AuditVerifyRequest{
		Heads: []*nodev1.AuditHead{{Size: anchor.GetSize(), Root: anchor.GetRoot(), From: "the anchor"}},
	})))
	if len(verified.GetAnchors()) != 1 || verified.GetSize() <= anchor.GetSize() {
		t.Errorf("audit: got %v", verified)
	}
	_, err = audit.Verify(ctx, connect.NewRequest(&nodev1.AuditVerifyRequest{Heads: []*nodev1.AuditHead{{Size: 2, Root: anchor.GetRoot(), From: "a forged receipt"}}}))
	wantCode(t, "audit against another log", err, connect.CodePermissionDenied)
	if err == nil || !strings.Contains(err.Error(), "a forged receipt") {
		t.Errorf("got %v, want the paper named", err)
	}
	shown := must[nodev1.AuditShowResponse](t)(audit.Show(ctx, connect.NewRequest(&nodev1.AuditShowRequest{From: 1, Limit: 2})))
	if len(shown.GetEntries()) != 2 || shown.GetSize() != verified.GetSize() {
		t.Errorf("audit show: got %d entries of %d", len(shown.GetEntries()), shown.GetSize())
	}
}

func aboutNode(t *testing.T, index, caller, provider *Node) {
	t.Helper()
	ctx := t.Context()
	h, url := api(t, caller)
	ih, iurl := api(t, index)
	eventually(t, "the index node is ready", func() bool { return len(index.notReady()) == 0 })
	st := must[nodev1.StatusResponse](t)(nodev1connect.NewNodeServiceClient(ih, iurl).Status(ctx, connect.NewRequest(&nodev1.StatusRequest{})))
	if !st.GetReady() || st.GetDid() != string(index.DID()) || st.GetIndexItems() != 1 || st.GetApiAddress() != index.api.Address() || st.GetPid() != int64(os.Getpid()) {
		t.Errorf("status: got %v", st)
	}
	plugins := must[nodev1.PluginListResponse](t)(nodev1connect.NewPluginServiceClient(h, url).List(ctx, connect.NewRequest(&nodev1.PluginListRequest{}))).GetPlugins()
	if len(plugins) != 4 || plugins[0].GetState() != "ready" || plugins[0].GetConfined() != "in-process" {
		t.Errorf("plugins: got %v, want four in process", plugins)
	}
	routes := nodev1connect.NewRouteServiceClient(h, url)
	d := must[nodev1.RouteExplainResponse](t)(routes.Explain(ctx, connect.NewRequest(&nodev1.RouteExplainRequest{Node: string(provider.DID())})))
	if d.GetDecision().GetPath() != "direct" {
		t.Errorf("route: got %v, want direct", d)
	}
	must[nodev1.RouteShowResponse](t)(routes.Show(ctx, connect.NewRequest(&nodev1.RouteShowRequest{})))
	_, err := routes.Explain(ctx, connect.NewRequest(&nodev1.RouteExplainRequest{Node: "nobody"}))
	wantCode(t, "route to nobody", err, connect.CodeInvalidArgument)

	ix := nodev1connect.NewIndexServiceClient(ih, iurl)
	shout := provider.cards.list()[0].signer.DID()
	if up := must[nodev1.IndexUpsertResponse](t)(ix.Upsert(ctx, connect.NewRequest(&nodev1.IndexUpsertRequest{Did: string(shout)}))); up.GetItems() != 1 {
		t.Errorf("upsert: got %v, want one offer", up)
	}
	hits := must[nodev1.IndexQueryResponse](t)(ix.Query(ctx, connect.NewRequest(&nodev1.IndexQueryRequest{Text: "upper case"}))).GetHits()
	if len(hits) != 1 || hits[0].GetDid() != string(shout) {
		t.Errorf("query: got %v, want %s", hits, shout)
	}
	if stats := must[nodev1.IndexStatsResponse](t)(ix.Stats(ctx, connect.NewRequest(&nodev1.IndexStatsRequest{}))); stats.GetItems() != 1 || stats.GetCards() != 1 {
		t.Errorf("stats: got %v, want one item of one card", stats)
	}
	no := nodev1connect.NewIndexServiceClient(h, url)
	_, err = no.Stats(ctx, connect.NewRequest(&nodev1.IndexStatsRequest{}))
	wantCode(t, "stats without an index", err, connect.CodeUnimplemented)
	_, err = no.Query(ctx, connect.NewRequest(&nodev1.IndexQueryRequest{Text: "x"}))
	wantCode(t, "query without an index", err, connect.CodeUnimplemented)
	_, err = no.Upsert(ctx, connect.NewRequest(&nodev1.IndexUpsertRequest{Did: string(shout)}))
	wantCode(t, "upsert without an index", err, connect.CodeUnimplemented)
	_, err = nodev1connect.NewChannelServiceClient(ih, iurl).List(ctx, connect.NewRequest(&nodev1.ChannelListRequest{}))
	wantCode(t, "channels without the edge role", err, connect.CodeUnimplemented)

	guilds := nodev1connect.NewGuildServiceClient(h, url)
	if g := must[nodev1.GuildListResponse](t)(guilds.List(ctx, connect.NewRequest(&nodev1.GuildListRequest{}))); len(g.GetGuilds()) != 0 {
		t.Errorf("guilds: got %v, want none after the task", g)
	}
	_, err = guilds.Dissolve(ctx, connect.NewRequest(&nodev1.GuildDissolveRequest{Guild: "ff"}))
	wantCode(t, "dissolve no guild", err, connect.CodeNotFound)

	resp, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	metrics, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Contains(metrics, []byte("zerostate_step_seconds")) {
		t.Errorf("metrics: got %.200s, %v", metrics, err)
	}
}

func TestAPIServesCardsAndSearchWithoutAToken(t *testing.T) {
	_, provider, caller := small(t)
	shout := provider.cards.list()[0].signer.DID()
	url := "http://" + caller.api.Address()
	cards := nodev1connect.NewCardServiceClient(http.DefaultClient, url)
	eventually(t, "the card is found", func() bool {
		f, err := nodev1connect.NewFindServiceClient(http.DefaultClient, url).Find(t.Context(), connect.NewRequest(&nodev1.FindRequest{Text: "upper case"}))
		return err == nil && len(f.Msg.GetHits()) == 1 && f.Msg.GetHits()[0].GetDid() == string(shout) && f.Msg.GetTraceId() != ""
	})
	got := must[nodev1.ResolveResponse](t)(cards.Resolve(t.Context(), connect.NewRequest(&nodev1.ResolveRequest{Did: string(shout)})))
	if c, err := core.ParseCard(got.GetCard()); err != nil || c.Name != "shout" || !got.GetEvidence().GetConfirmed() {
		t.Errorf("resolve: got %v, %v", got.GetEvidence(), err)
	}
	must[nodev1.CardListResponse](t)(cards.List(t.Context(), connect.NewRequest(&nodev1.CardListRequest{})))
	_, err := cards.Revoke(t.Context(), connect.NewRequest(&nodev1.RevokeRequest{Agent: "shout"}))
	wantCode(t, "revoke without a token", err, connect.CodeUnauthenticated)
	_, err = cards.Resolve(t.Context(), connect.NewRequest(&nodev1.ResolveRequest{Did: "did:key:z6"}))
	wantCode(t, "resolve of too little", err, connect.CodeInvalidArgument)
	_, err = cards.Resolve(t.Context(), connect.NewRequest(&nodev1.ResolveRequest{Did: string(shout[:20])}))
	if err != nil {
		t.Errorf("resolve by the start of a known did: %v", err)
	}
	_, err = cards.Resolve(t.Context(), connect.NewRequest(&nodev1.ResolveRequest{Did: string(shout), MinSeq: -1}))
	wantCode(t, "negative seq", err, connect.CodeInvalidArgument)
}

func TestAPIPublishesAndRevokes(t *testing.T) {
	_, provider, caller := small(t)
	h, url := api(t, provider)
	cards := nodev1connect.NewCardServiceClient(h, url)
	path := agentFiles(t, "whisper", "turns a text into lower case", 2)
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(path), name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	req := &nodev1.PublishRequest{Agent: "whisper", CardSpec: read("card.yaml"), Manifest: read("task.yaml"), Module: read("agent.wasm"), OnlyUpdate: true}
	_, err := cards.Publish(t.Context(), connect.NewRequest(req))
	wantCode(t, "update of nothing", err, connect.CodeNotFound)
	req.OnlyUpdate = false
	p := must[nodev1.PublishResponse](t)(cards.Publish(t.Context(), connect.NewRequest(req)))
	again := must[nodev1.PublishResponse](t)(cards.Publish(t.Context(), connect.NewRequest(&nodev1.PublishRequest{Agent: "shout"})))
	if p.GetDid() == again.GetDid() || p.GetSeq() <= 0 || p.GetHolders() < 1 {
		t.Errorf("publish: got %v", p)
	}
	_, err = cards.Publish(t.Context(), connect.NewRequest(&nodev1.PublishRequest{Agent: "nobody"}))
	wantCode(t, "publish of no agent", err, connect.CodeNotFound)
	revoked := must[nodev1.RevokeResponse](t)(cards.Revoke(t.Context(), connect.NewRequest(&nodev1.RevokeRequest{Agent: "whisper"})))
	if revoked.GetSeq() <= p.GetSeq() {
		t.Errorf("revoke: got seq %d after %d", revoked.GetSeq(), p.GetSeq())
	}
	ch, curl := api(t, caller)
	_, err = nodev1connect.NewCardServiceClient(ch, curl).Resolve(t.Context(), connect.NewRequest(&nodev1.ResolveRequest{Did: p.GetDid()}))
	wantCode(t, "resolve of a revoked card", err, connect.CodePermissionDenied)
	list := must[nodev1.CardListResponse](t)(cards.List(t.Context(), connect.NewRequest(&nodev1.CardListRequest{}))).GetCards()
	if len(list) != 2 || list[0].GetStatus() != "active" || list[1].GetStatus() != "revoked" || list[1].GetCard() != nil {
		t.Errorf("list: got %v", list)
	}
}

// hired is a network whose provider runs one agent with a program of the test.
func hired(t *testing.T, program fake.Program) (caller *Node, req *nodev1.RunRequest) {
	t.Helper()
	w := newWorld(t)
	w.deps.Executor = map[string]sdk.Plugin[core.Executor]{
		"fake": fake.ExecutorPlugin(map[string]fake.Program{sha256Hex([]byte("\x00asm\x01\x00\x00\x00odd")): program}),
	}
	cfg := w.config("provider", config.RoleEdge, config.RoleBootstrap)
	cfg.Agent = map[string]config.Agent{"odd": {Card: agentFiles(t, "odd", "does something odd", 2)}}
	provider := w.start(cfg)
	caller = w.start(w.config("caller", config.RoleEdge))
	did := provider.cards.list()[0].signer.DID()
	return caller, &nodev1.RunRequest{
		What: &nodev1.RunRequest_Agent{Agent: string(did)}, Inputs: []*nodev1.InputRef{{Name: "doc", Cid: addContent(t, caller, "x").GetCid()}},
	}
}

func TestAPIGuestFailureIsAResult(t *testing.T) {
	caller, req := hired(t, func(context.Context, *fake.Process) int { return 3 })
	result, err := runAPI(t.Context(), t, caller, req, nil)
	if err != nil {
		t.Fatal(err)
	}
	if result.GetOutcome() != "exit" || result.GetExitCode() != 3 || result.GetReceipt() == nil {
		t.Errorf("got %v, want exit code 3 with its receipt", result)
	}
}

func TestAPICancelsATask(t *testing.T) {
	began := make(chan struct{}, 4)
	caller, req := hired(t, func(ctx context.Context, _ *fake.Process) int {
		began <- struct{}{}
		<-ctx.Done()
		return 1
	})
	h, url := api(t, caller)
	tasks := nodev1connect.NewTaskServiceClient(h, url)
	id := make(chan string, 1)
	ended := make(chan error, 1)
	go func() {
		_, err := runAPI(context.Background(), t, caller, req, func(e *nodev1.RunEvent) {
			if s := e.GetStep(); s.GetName() == "escrow" {
				id <- s.GetTask()
			}
		})
		ended <- err
	}()
	task := <-id
	<-began
	st := must[nodev1.TaskStatusResponse](t)(tasks.Status(t.Context(), connect.NewRequest(&nodev1.TaskStatusRequest{Task: task[:8]}))).GetResult()
	if st.GetState() != TaskRunning || len(st.GetSteps()) < 2 {
		t.Errorf("status: got %v, want a running task with its steps", st)
	}
	list := must[nodev1.TaskListResponse](t)(tasks.List(t.Context(), connect.NewRequest(&nodev1.TaskListRequest{}))).GetTasks()
	if len(list) != 1 || list[0].GetTask() != task {
		t.Errorf("list: got %v, want the running task", list)
	}
	must[nodev1.TaskCancelResponse](t)(tasks.Cancel(t.Context(), connect.NewRequest(&nodev1.TaskCancelRequest{Task: task[:8]})))
	err := <-ended
	if err != nil && connect.CodeOf(err) != connect.CodeCanceled {
		t.Errorf("got %v, want canceled, or the cancelled guest's result", err)
	}
	settled(t, caller, task)

	// A client that goes away ends its task as well.
	req.Nonce = ""
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	go func() {
		_, err := runAPI(ctx, t, caller, req, func(e *nodev1.RunEvent) {
			if s := e.GetStep(); s.GetName() == "escrow" {
				id <- s.GetTask()
			}
		})
		ended <- err
	}()
	task = <-id
	<-began
	leave()
	if err := <-ended; err == nil {
		t.Error("got no error after the client left")
	}
	settled(t, caller, task)
}

// settled waits until a task has ended and nothing is locked for it.
func settled(t *testing.T, n *Node, task string) {
	t.Helper()
	eventually(t, "task "+task[:8]+" ended", func() bool {
		r, err := n.tasks.find(task)
		return err == nil && r.State != TaskRunning
	})
	for _, ch := range n.channels.list() {
		if i := ch.info(); i.LockedMicros != 0 {
			t.Errorf("%d micros are locked after the cancel", i.LockedMicros)
		}
	}
}

func TestAPIRefusesBadRequests(t *testing.T) {
	n := newWorld(t).start(newWorld(t).config("alone", config.RoleEdge))
	query := &nodev1.RunRequest_Query{Query: "x"}
	for name, req := range map[string]*nodev1.RunRequest{
		"nothing":           {},
		"negative charge":   {What: query, MaxChargeMicros: -1},
		"negative timeout":  {What: query, TimeoutMs: -1},
		"long timeout":      {What: query, TimeoutMs: 1 << 40},
		"inputs":            {What: query, Inputs: make([]*nodev1.InputRef, maxTaskInputs+1)},
		"input twice":       {What: query, Inputs: []*nodev1.InputRef{{Name: "a", Cid: "c", Sha256: "s", SizeBytes: 1}, {Name: "a"}}},
		"input unnamed":     {What: query, Inputs: []*nodev1.InputRef{{Cid: "c"}}},
		"manifest too long": {What: &nodev1.RunRequest_Manifest{Manifest: make([]byte, core.MaxManifestBytes+1)}},
		"many regions":      {What: query, Regions: make([]string, maxFilter+1)},
		"empty tag":         {What: query, Tags: []string{""}},
		"agent":             {What: &nodev1.RunRequest_Agent{Agent: "z6"}},
		"provider":          {What: query, Provider: "z6"},
	} {
		_, err := runAPI(t.Context(), t, n, req, nil)
		wantCode(t, name, err, connect.CodeInvalidArgument)
	}
	_, err := runAPI(t.Context(), t, n, &nodev1.RunRequest{What: &nodev1.RunRequest_Agent{Agent: "z6MkUnknownUnknown"}}, nil)
	wantCode(t, "unknown agent", err, connect.CodeNotFound)
	h, url := api(t, n)
	find := nodev1connect.NewFindServiceClient(h, url)
	for name, req := range map[string]*nodev1.FindRequest{
		"no text": {}, "negative k": {Text: "x", K: -1}, "large k": {Text: "x", K: 101}, "long skill": {Text: "x", Skills: []string{strings.Repeat("s", 257)}},
	} {
		_, err := find.Find(t.Context(), connect.NewRequest(req))
		wantCode(t, name, err, connect.CodeInvalidArgument)
	}
	artifacts := nodev1connect.NewArtifactServiceClient(h, url)
	get, err := artifacts.Get(t.Context(), connect.NewRequest(&nodev1.ArtifactGetRequest{Cid: "x", MaxBytes: -1}))
	if err == nil {
		get.Receive()
		err = errors.Join(get.Err(), get.Close())
	}
	wantCode(t, "negative size", err, connect.CodeInvalidArgument)
	big := artifacts.Add(t.Context())
	if err := big.Send(&nodev1.ArtifactAddRequest{Data: make([]byte, maxMessage+2048)}); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	_, err = big.CloseAndReceive()
	wantCode(t, "message beyond 1 MiB", err, connect.CodeResourceExhausted)
}

func TestSecondNodeInAHomeIsRefused(t *testing.T) {
	w := newWorld(t)
	cfg := w.config("first", config.RoleEdge)
	w.start(cfg)
	if n, err := New(t.Context(), cfg, Deps{Builtins: w.deps}); err == nil {
		t.Errorf("got a second node in one home: %v", n.Close())
	}
}
