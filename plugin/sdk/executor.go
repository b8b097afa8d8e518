package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk/internal/pluginpb/executorpb"
)

func registerExecutor(s grpc.ServiceRegistrar, impl func() (core.Executor, error)) {
	executorpb.RegisterExecutorServiceServer(s, &executorServer{impl: impl})
}

func connectExecutor(cc grpc.ClientConnInterface) core.Executor {
	return &executorClient{rpc: executorpb.NewExecutorServiceClient(cc)}
}

// executorServer is the plugin's side: it calls a core.Executor.
type executorServer struct {
	executorpb.UnimplementedExecutorServiceServer
	impl func() (core.Executor, error)
}

// errNoStart refuses an upload whose first message is a chunk.
var errNoStart = fmt.Errorf("first message of an upload: %w: it has no start", core.ErrInvalid)

func (s *executorServer) Prepare(stream grpc.ClientStreamingServer[executorpb.PrepareRequest, executorpb.PrepareResponse]) error {
	impl, err := s.impl()
	if err != nil {
		return err
	}
	first, err := stream.Recv()
	if err != nil {
		return streamError(stream.Context(), err)
	}
	start := first.GetStart()
	if start == nil {
		return errNoStart
	}
	req := core.PrepareRequest{Manifest: start.GetManifest()}
	if start.GetHasModule() {
		req.Module = newDownloads(1, chunksOf(stream.Context(), stream.Recv)).reader(0)
	}
	out, err := impl.Prepare(stream.Context(), req)
	if err != nil {
		return err
	}
	return stream.SendAndClose(&executorpb.PrepareResponse{
		ModuleDigest: out.ModuleDigest, Cached: out.Cached, Engine: engineToPB(out.Engine),
	})
}

func (s *executorServer) Run(stream grpc.BidiStreamingServer[executorpb.RunRequest, executorpb.RunResponse]) error {
	impl, err := s.impl()
	if err != nil {
		return err
	}
	first, err := stream.Recv()
	if err != nil {
		return streamError(stream.Context(), err)
	}
	if first.GetStart() == nil {
		return errNoStart
	}
	req := runFromPB(first.GetStart(), chunksOf(stream.Context(), stream.Recv))
	result, err := impl.Run(stream.Context(), req, func(e core.RunEvent) error {
		return streamError(stream.Context(), sendEvent(e, stream.Send))
	})
	if err != nil {
		return err
	}
	return stream.Send(&executorpb.RunResponse{Part: &executorpb.RunResponse_Result{Result: runResultToPB(result)}})
}

// sendEvent sends an event in messages of at most chunkBytes.
func sendEvent(e core.RunEvent, send func(*executorpb.RunResponse) error) error {
	for {
		n := min(len(e.Data), chunkBytes)
		event := &executorpb.Event{
			Stream: streamToPB(e.Stream), Name: e.Name, Data: e.Data[:n], Last: e.Last && n == len(e.Data),
		}
		if err := send(&executorpb.RunResponse{Part: &executorpb.RunResponse_Event{Event: event}}); err != nil {
			return err
		}
		if e.Data = e.Data[n:]; len(e.Data) == 0 {
			return nil
		}
	}
}

func (s *executorServer) Cancel(ctx context.Context, req *executorpb.CancelRequest) (*executorpb.CancelResponse, error) {
	impl, err := s.impl()
	if err != nil {
		return nil, err
	}
	if err := impl.Cancel(ctx, req.GetRunId()); err != nil {
		return nil, err
	}
	return &executorpb.CancelResponse{}, nil
}

func (s *executorServer) Verify(stream grpc.ClientStreamingServer[executorpb.VerifyRequest, executorpb.VerifyResponse]) error {
	impl, err := s.impl()
	if err != nil {
		return err
	}
	first, err := stream.Recv()
	if err != nil {
		return streamError(stream.Context(), err)
	}
	start := first.GetStart()
	if start == nil {
		return errNoStart
	}
	out, err := impl.Verify(stream.Context(), core.VerifyRequest{
		Run:      runFromPB(start.GetRun(), chunksOf(stream.Context(), stream.Recv)),
		Expected: runResultFromPB(start.GetExpected()),
	})
	if err != nil {
		return err
	}
	return stream.SendAndClose(&executorpb.VerifyResponse{
		Match: out.Match, Differences: out.Differences, Result: runResultToPB(out.Result),
	})
}

// chunksOf receives the chunks after the start.
func chunksOf[M interface{ GetChunk() *executorpb.Chunk }](ctx context.Context, recv func() (M, error)) func() (*executorpb.Chunk, error) {
	return func() (*executorpb.Chunk, error) {
		m, err := recv()
		if errors.Is(err, io.EOF) {
			return nil, err
		}
		if err != nil {
			return nil, streamError(ctx, err)
		}
		return m.GetChunk(), nil
	}
}

// runFromPB makes a run whose contents come from recv.
func runFromPB(start *executorpb.RunStart, recv func() (*executorpb.Chunk, error)) core.RunRequest {
	contents := newDownloads(1+len(start.GetInputs()), recv)
	req := core.RunRequest{RunID: start.GetRunId(), Manifest: start.GetManifest()}
	if start.GetHasModule() {
		req.Module = contents.reader(0)
	} else {
		contents.parts[0].done = true
	}
	for i, in := range start.GetInputs() {
		req.Inputs = append(req.Inputs, core.RunInput{Name: in.GetName(), SizeBytes: in.GetSizeBytes(), Content: contents.reader(i + 1)})
	}
	return req
}

// executorClient is the host's side: a core.Executor that calls a plugin.
type executorClient struct {
	rpc executorpb.ExecutorServiceClient
}

func (c *executorClient) Prepare(ctx context.Context, req core.PrepareRequest) (core.Prepared, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stream, err := c.rpc.Prepare(ctx)
	if err != nil {
		return core.Prepared{}, err
	}
	contents := []content{{index: 0, name: "module", reader: req.Module}}
	upload := func() error {
		start := &executorpb.PrepareStart{Manifest: req.Manifest, HasModule: req.Module != nil}
		if err := stream.Send(&executorpb.PrepareRequest{Part: &executorpb.PrepareRequest_Start{Start: start}}); err != nil {
			return err
		}
		return sendContents(contents, func(chunk *executorpb.Chunk) error {
			return stream.Send(&executorpb.PrepareRequest{Part: &executorpb.PrepareRequest_Chunk{Chunk: chunk}})
		})
	}
	resp := &executorpb.PrepareResponse{}
	if err := exchange(ctx, cancel, stream, upload, contents, func() error { return stream.RecvMsg(resp) }); err != nil {
		return core.Prepared{}, err
	}
	return core.Prepared{
		ModuleDigest: resp.GetModuleDigest(), Cached: resp.GetCached(), Engine: engineFromPB(resp.GetEngine()),
	}, nil
}

func (c *executorClient) Run(ctx context.Context, req core.RunRequest, emit func(core.RunEvent) error) (core.RunResult, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stream, err := c.rpc.Run(ctx)
	if err != nil {
		return core.RunResult{}, err
	}
	contents := runContents(req)
	upload := func() error {
		if err := stream.Send(&executorpb.RunRequest{Part: &executorpb.RunRequest_Start{Start: runToPB(req)}}); err != nil {
			return err
		}
		return sendContents(contents, func(chunk *executorpb.Chunk) error {
			return stream.Send(&executorpb.RunRequest{Part: &executorpb.RunRequest_Chunk{Chunk: chunk}})
		})
	}
	var result core.RunResult
	receive := func() (err error) {
		result, err = receiveRun(stream.Recv, emit)
		return err
	}
	if err := exchange(ctx, cancel, stream, upload, contents, receive); err != nil {
		return core.RunResult{}, err
	}
	return result, nil
}

// receiveRun passes events on until the result.
func receiveRun(recv func() (*executorpb.RunResponse, error), emit func(core.RunEvent) error) (core.RunResult, error) {
	for {
		resp, err := recv()
		if errors.Is(err, io.EOF) {
			return core.RunResult{}, fmt.Errorf("run: %w: the plugin ended the stream without a result", core.ErrUnavailable)
		}
		if err != nil {
			return core.RunResult{}, err
		}
		if result := resp.GetResult(); result != nil {
			return runResultFromPB(result), nil
		}
		e := resp.GetEvent()
		event := core.RunEvent{Stream: streamFromPB(e.GetStream()), Name: e.GetName(), Data: e.GetData(), Last: e.GetLast()}
		if err := emit(event); err != nil {
			return core.RunResult{}, err
		}
	}
}

func (c *executorClient) Cancel(ctx context.Context, runID string) error {
	_, err := c.rpc.Cancel(ctx, &executorpb.CancelRequest{RunId: runID})
	return err
}

func (c *executorClient) Verify(ctx context.Context, req core.VerifyRequest) (core.VerifyResult, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stream, err := c.rpc.Verify(ctx)
	if err != nil {
		return core.VerifyResult{}, err
	}
	contents := runContents(req.Run)
	upload := func() error {
		start := &executorpb.VerifyStart{Run: runToPB(req.Run), Expected: runResultToPB(req.Expected)}
		if err := stream.Send(&executorpb.VerifyRequest{Part: &executorpb.VerifyRequest_Start{Start: start}}); err != nil {
			return err
		}
		return sendContents(contents, func(chunk *executorpb.Chunk) error {
			return stream.Send(&executorpb.VerifyRequest{Part: &executorpb.VerifyRequest_Chunk{Chunk: chunk}})
		})
	}
	resp := &executorpb.VerifyResponse{}
	if err := exchange(ctx, cancel, stream, upload, contents, func() error { return stream.RecvMsg(resp) }); err != nil {
		return core.VerifyResult{}, err
	}
	return core.VerifyResult{
		Match: resp.GetMatch(), Differences: resp.GetDifferences(), Result: runResultFromPB(resp.GetResult()),
	}, nil
}

// runContents lists what a run uploads: the module as content 0, then the inputs.
func runContents(req core.RunRequest) []content {
	contents := []content{{index: 0, name: "module", reader: req.Module}}
	for i, in := range req.Inputs {
		reader := in.Content
		if reader == nil {
			reader = eofReader{}
		}
		contents = append(contents, content{index: int64(i + 1), name: "input " + in.Name, reader: reader})
	}
	return contents
}

// eofReader is an empty content.
type eofReader struct{}

func (eofReader) Read([]byte) (int, error) { return 0, io.EOF }
