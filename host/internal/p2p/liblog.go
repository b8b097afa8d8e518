package p2p

import (
	"context"
	"log/slog"
	"slices"

	"github.com/hashicorp/go-hclog"
	golog "github.com/ipfs/go-log/v2"
	"github.com/libp2p/go-libp2p/gologshim"
)

// BridgeLibraryLogs sends what libp2p and its relatives log, from warnings up,
// to log at debug level; else they write to standard error. It is for the whole
// process: a main calls it once, before the first New.
func BridgeLibraryLogs(log hclog.Logger) {
	golog.SetAllLoggers(golog.LevelFatal)
	gologshim.SetDefaultHandler(&hclogHandler{log: log.Named("libp2p")})
}

// hclogHandler is an slog.Handler that writes to an hclog.Logger.
type hclogHandler struct {
	log  hclog.Logger
	args []any
}

// Enabled lets warnings and errors through.
func (h *hclogHandler) Enabled(_ context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && h.log.IsDebug()
}

// Handle writes one record.
func (h *hclogHandler) Handle(_ context.Context, r slog.Record) error {
	args := slices.Clone(h.args)
	r.Attrs(func(a slog.Attr) bool {
		args = append(args, a.Key, a.Value.Any())
		return true
	})
	h.log.Debug(r.Message, args...)
	return nil
}

// WithAttrs returns a handler that adds attributes.
func (h *hclogHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	args := slices.Clone(h.args)
	for _, a := range attrs {
		args = append(args, a.Key, a.Value.Any())
	}
	return &hclogHandler{log: h.log, args: args}
}

// WithGroup returns a handler whose logger bears the group's name.
func (h *hclogHandler) WithGroup(name string) slog.Handler {
	return &hclogHandler{log: h.log.Named(name), args: h.args}
}
