package p2p

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
)

func TestLibraryLogs(t *testing.T) {
	var out bytes.Buffer
	log := hclog.New(&hclog.LoggerOptions{Output: &out, Level: hclog.Debug})
	l := slog.New(&hclogHandler{log: log}).With("system", "swarm2").WithGroup("dial")
	l.Info("quiet")
	l.Warn("no route", "peer", "p")
	if got := out.String(); strings.Contains(got, "quiet") || !strings.Contains(got, "dial: no route: system=swarm2 peer=p") {
		t.Errorf("got %q", got)
	}
	out.Reset()
	log.SetLevel(hclog.Info)
	l.Error("not at this level")
	if out.Len() != 0 {
		t.Errorf("got %q", out.String())
	}
}
