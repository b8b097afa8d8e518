package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk/internal/pluginpb/pluginpb"
)

// Drainer is an implementation that wants to know when calls have ended before
// it is replaced.
type Drainer interface {
	// Drain finishes what goes on in the background.
	Drain(ctx context.Context) error
}

// Snapshotter is an implementation whose state moves to another process.
type Snapshotter interface {
	// Snapshot writes the whole state; changes that come meanwhile may be missing.
	Snapshot(ctx context.Context, w io.Writer) error
	// Restore replaces the whole state; a bad snapshot is core.ErrInvalid and
	// changes nothing.
	Restore(ctx context.Context, r io.Reader) error
}

// HealthChecker is an implementation that knows when it is not well.
type HealthChecker interface {
	// Health returns nil when all is well; the error's text is shown to people.
	// It must return at once.
	Health() error
}

// retryAfter is what a draining plugin tells callers: by then another serves.
const retryAfter = 200 * time.Millisecond

// instance is the plugin's side of the base service and the keeper of the one
// implementation.
type instance[T any] struct {
	pluginpb.UnimplementedPluginServiceServer
	kind   Kind[T]
	plugin Plugin[T]
	log    hclog.Logger
	now    func() time.Time
	tracer *exporter

	mu          sync.Mutex
	impl        T
	configured  bool
	configuring bool
	draining    bool
	closed      bool
	inFlight    int
	panics      int
	changed     chan struct{} // closed and replaced at each change
}

func newInstance[T any](k Kind[T], p Plugin[T], log hclog.Logger, now func() time.Time) *instance[T] {
	return &instance[T]{kind: k, plugin: p, log: log, now: now, changed: make(chan struct{})}
}

// register adds the base service and the kind's service to a server.
func (i *instance[T]) register(s *grpc.Server) {
	pluginpb.RegisterPluginServiceServer(s, i)
	i.kind.register(s, i.implementation)
}

// implementation returns what Configure made; core.ErrConflict before it.
func (i *instance[T]) implementation() (T, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.configured {
		var none T
		return none, fmt.Errorf("%s plugin %s: %w: not configured", i.kind.kind, i.plugin.Name, core.ErrConflict)
	}
	return i.impl, nil
}

// notify tells health streams and Drain that something has changed. The
// caller holds mu.
func (i *instance[T]) notify() {
	close(i.changed)
	i.changed = make(chan struct{})
}

// enter counts a call of the kind in; it refuses while the plugin is draining.
func (i *instance[T]) enter(method string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.isKindCall(method) {
		return nil
	}
	if i.draining || i.closed {
		return &core.RetryError{Err: fmt.Errorf("%s plugin %s: %w: it is being replaced", i.kind.kind, i.plugin.Name, core.ErrUnavailable), After: retryAfter}
	}
	i.inFlight++
	return nil
}

func (i *instance[T]) leave(method string, panicked bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if panicked {
		i.panics++
		i.notify()
	}
	if !i.isKindCall(method) {
		return
	}
	if i.inFlight--; i.inFlight == 0 && i.draining {
		i.notify()
	}
}

func (i *instance[T]) isKindCall(method string) bool {
	return strings.HasPrefix(method, "/"+i.kind.APIVersion()+".")
}

// Describe answers what the plugin is.
func (i *instance[T]) Describe(context.Context, *pluginpb.DescribeRequest) (*pluginpb.DescribeResponse, error) {
	schema, err := SchemaOf(i.plugin.Config)
	if err != nil {
		return nil, err
	}
	settings, err := schemaToPB(schema)
	if err != nil {
		return nil, err
	}
	return &pluginpb.DescribeResponse{
		Name: i.plugin.Name, Kind: string(i.kind.kind), Version: i.plugin.Version, Capabilities: i.plugin.Capabilities,
		ApiVersions: []string{"zerostate.plugin.v1", i.kind.APIVersion()},
		StateMode:   stateModes[i.plugin.State], ConfigSchema: settings,
	}, nil
}

func infoFromPB(resp *pluginpb.DescribeResponse) (Info, error) {
	schema, err := schemaFromPB(resp.GetConfigSchema())
	if err != nil {
		return Info{}, err
	}
	return Info{
		Name: resp.GetName(), Kind: core.Kind(resp.GetKind()), Version: resp.GetVersion(), APIVersions: resp.GetApiVersions(),
		Capabilities: resp.GetCapabilities(), State: stateModeFromPB(resp.GetStateMode()), Schema: schema,
	}, nil
}

// Configure checks the settings and makes the implementation.
func (i *instance[T]) Configure(ctx context.Context, req *pluginpb.ConfigureRequest) (*pluginpb.ConfigureResponse, error) {
	if err := i.beginConfigure(); err != nil {
		return nil, err
	}
	impl, err := i.build(ctx, req)
	i.mu.Lock()
	i.configuring = false
	if err == nil {
		i.impl, i.configured = impl, true
	}
	i.notify()
	i.mu.Unlock()
	if fields := fieldErrors(err); len(fields) > 0 {
		return &pluginpb.ConfigureResponse{Diagnostics: mapSlice(fields, func(f core.FieldError) *pluginpb.Diagnostic {
			return &pluginpb.Diagnostic{Severity: pluginpb.Severity_SEVERITY_ERROR, Path: f.Path, Summary: f.Problem}
		})}, nil
	}
	if err != nil {
		return nil, err
	}
	return &pluginpb.ConfigureResponse{}, nil
}

func (i *instance[T]) beginConfigure() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.configured || i.configuring || i.closed {
		return fmt.Errorf("%s plugin %s: %w: configured already", i.kind.kind, i.plugin.Name, core.ErrConflict)
	}
	i.configuring = true
	return nil
}

// build decodes the settings and calls New; a panic of New is an error.
func (i *instance[T]) build(ctx context.Context, req *pluginpb.ConfigureRequest) (impl T, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			i.log.Error("new panicked", "panic", fmt.Sprint(cause))
			err = fmt.Errorf("plugin panicked while it was configured: %v", cause)
		}
	}()
	config, err := i.settings(req)
	if err != nil {
		return impl, err
	}
	node := req.GetNode()
	if level := hclog.LevelFromString(node.GetLogLevel()); level != hclog.NoLevel {
		i.log.SetLevel(level)
	}
	if i.tracer != nil && node.GetOtlpEndpoint() != "" {
		if err := i.tracer.start(ctx, node.GetOtlpEndpoint(), i.plugin.Name, i.plugin.Version); err != nil {
			return impl, err
		}
	}
	return i.plugin.New(ctx, Env{
		Node: core.DID(node.GetNodeDid()), Network: node.GetNetwork(), Region: node.GetRegion(),
		StateDir: node.GetStateDir(), CacheDir: node.GetCacheDir(), Log: i.log, Config: config, Now: i.now,
	})
}

func (i *instance[T]) settings(req *pluginpb.ConfigureRequest) (any, error) {
	config := map[string]any{}
	if len(req.GetConfigJson()) > 0 {
		if err := unmarshalJSON(req.GetConfigJson(), &config); err != nil {
			return nil, core.FieldError{Problem: "settings are not a JSON object: " + err.Error()}
		}
	}
	for name, value := range req.GetSecrets() {
		config[name] = value
	}
	return Decode(i.plugin.Config, config)
}

// Health streams the state.
func (i *instance[T]) Health(req *pluginpb.HealthRequest, stream grpc.ServerStreamingServer[pluginpb.HealthResponse]) error {
	interval := 2 * time.Second
	if d := req.GetInterval().AsDuration(); d > 0 {
		interval = max(d, 10*time.Millisecond)
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		resp, changed, closed := i.health()
		if closed {
			return nil
		}
		if err := stream.Send(resp); err != nil {
			return streamError(stream.Context(), err)
		}
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case <-changed:
		case <-ticker.C:
		}
	}
}

func (i *instance[T]) health() (resp *pluginpb.HealthResponse, changed <-chan struct{}, closed bool) {
	i.mu.Lock()
	resp = &pluginpb.HealthResponse{
		State: pluginpb.HealthResponse_STATE_READY, InFlight: int64(i.inFlight), Panics: int64(i.panics),
	}
	impl, configured := any(i.impl), i.configured
	switch {
	case !configured:
		resp.State = pluginpb.HealthResponse_STATE_STARTING
	case i.draining:
		resp.State = pluginpb.HealthResponse_STATE_DRAINING
	}
	changed, closed = i.changed, i.closed
	i.mu.Unlock()
	checker, ok := impl.(HealthChecker)
	if ok && resp.GetState() == pluginpb.HealthResponse_STATE_READY {
		if err := checker.Health(); err != nil {
			resp.State, resp.Reason = pluginpb.HealthResponse_STATE_DEGRADED, cleanText(err.Error())
		}
	}
	return resp, changed, closed
}

// Drain refuses new calls and waits for those in flight.
func (i *instance[T]) Drain(ctx context.Context, _ *pluginpb.DrainRequest) (*pluginpb.DrainResponse, error) {
	i.mu.Lock()
	if !i.draining {
		i.draining = true
		i.notify()
	}
	for i.inFlight > 0 {
		changed := i.changed
		i.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		}
		i.mu.Lock()
	}
	impl := any(i.impl)
	i.mu.Unlock()
	if drainer, ok := impl.(Drainer); ok {
		if err := drainer.Drain(ctx); err != nil {
			return nil, err
		}
	}
	return &pluginpb.DrainResponse{}, nil
}

func (i *instance[T]) snapshotter() (Snapshotter, error) {
	impl, err := i.implementation()
	if err != nil {
		return nil, err
	}
	s, ok := any(impl).(Snapshotter)
	if !ok {
		return nil, fmt.Errorf("%s plugin %s: %w: it has no snapshots", i.kind.kind, i.plugin.Name, core.ErrUnsupported)
	}
	return s, nil
}

// Snapshot streams the state.
func (i *instance[T]) Snapshot(_ *pluginpb.SnapshotRequest, stream grpc.ServerStreamingServer[pluginpb.SnapshotResponse]) error {
	s, err := i.snapshotter()
	if err != nil {
		return err
	}
	return s.Snapshot(stream.Context(), chunkWriter(func(chunk []byte) error {
		return streamError(stream.Context(), stream.Send(&pluginpb.SnapshotResponse{Chunk: chunk}))
	}))
}

// Restore replaces the state.
func (i *instance[T]) Restore(stream grpc.ClientStreamingServer[pluginpb.RestoreRequest, pluginpb.RestoreResponse]) error {
	s, err := i.snapshotter()
	if err != nil {
		return err
	}
	if err := s.Restore(stream.Context(), &chunkReader{recv: stream.Recv, ctx: stream.Context}); err != nil {
		return err
	}
	return stream.SendAndClose(&pluginpb.RestoreResponse{})
}

// chunkReader reads the chunks of Restore.
type chunkReader struct {
	recv func() (*pluginpb.RestoreRequest, error)
	ctx  func() context.Context
	rest []byte
}

func (r *chunkReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		req, err := r.recv()
		if errors.Is(err, io.EOF) {
			return 0, io.EOF
		}
		if err != nil {
			return 0, streamError(r.ctx(), err)
		}
		r.rest = req.GetChunk()
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// Shutdown closes the state.
func (i *instance[T]) Shutdown(context.Context, *pluginpb.ShutdownRequest) (*pluginpb.ShutdownResponse, error) {
	if err := i.close(); err != nil {
		return nil, err
	}
	return &pluginpb.ShutdownResponse{}, nil
}

// close closes the implementation once and flushes the spans.
func (i *instance[T]) close() error {
	i.mu.Lock()
	if i.closed {
		i.mu.Unlock()
		return nil
	}
	i.closed = true
	i.notify()
	impl, configured := any(i.impl), i.configured
	i.mu.Unlock()
	var err error
	if closer, ok := impl.(io.Closer); ok && configured {
		err = closer.Close()
	}
	if i.tracer != nil {
		err = errors.Join(err, i.tracer.stop())
	}
	return err
}
