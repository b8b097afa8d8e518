package sdk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/zerostate/zerostate/core"
	"github.com/zerostate/zerostate/plugin/sdk/internal/pluginpb/pluginpb"
)

// Info is what a plugin says of itself.
type Info struct {
	Name         string
	Kind         core.Kind
	Version      string
	APIVersions  []string // proto packages, e.g. "zerostate.index.v1"
	Capabilities []string
	State        StateMode
	Schema       Schema
}

// Supports reports whether the plugin names a capability.
func (i Info) Supports(capability string) bool { return slices.Contains(i.Capabilities, capability) }

// NodeContext is what a plugin may know about the node it runs for.
type NodeContext struct {
	Node         core.DID
	Network      string
	Region       string
	StateDir     string // <home>/plugins/<kind>/<name>, 0700, kept
	CacheDir     string
	LogLevel     string // trace, debug, info, warn, error; empty is info
	OTLPEndpoint string // where the plugin sends its spans; empty is nowhere
}

// Configuration is what Configure sends.
type Configuration struct {
	Config  map[string]any    // settings as the configuration file has them
	Secrets map[string]string // values of sensitive settings, by name; they win
	Node    NodeContext
}

// Diagnostic is one remark of a plugin on its settings.
type Diagnostic struct {
	Warning bool   // it runs, but somebody should look; else it does not
	Path    string // the setting, empty where it is none in particular
	Summary string
}

var stateModes = map[StateMode]pluginpb.StateMode{
	StateNone:      pluginpb.StateMode_STATE_MODE_NONE,
	StateExclusive: pluginpb.StateMode_STATE_MODE_EXCLUSIVE,
	StateSnapshot:  pluginpb.StateMode_STATE_MODE_SNAPSHOT,
}

func stateModeFromPB(m pluginpb.StateMode) StateMode {
	for mode, pb := range stateModes {
		if pb == m {
			return mode
		}
	}
	return StateNone
}

func schemaToPB(s Schema) ([]*pluginpb.Setting, error) {
	out := make([]*pluginpb.Setting, 0, len(s))
	for _, setting := range s {
		pb := &pluginpb.Setting{
			Name: setting.Name, Type: string(setting.Type), Enum: setting.Enum, Unit: setting.Unit, Doc: setting.Doc,
			Sensitive: setting.Sensitive, Reloadable: setting.Reloadable, Required: setting.Required,
		}
		for _, v := range []struct {
			value any
			to    *string
		}{{setting.Default, &pb.DefaultJson}, {setting.Min, &pb.MinJson}, {setting.Max, &pb.MaxJson}} {
			if v.value == nil {
				continue
			}
			text, err := json.Marshal(v.value)
			if err != nil {
				return nil, fmt.Errorf("setting %s: %w", setting.Name, err)
			}
			*v.to = string(text)
		}
		out = append(out, pb)
	}
	return out, nil
}

func schemaFromPB(settings []*pluginpb.Setting) (Schema, error) {
	var out Schema
	for _, pb := range settings {
		s := Setting{
			Name: pb.GetName(), Type: SettingType(pb.GetType()), Enum: pb.GetEnum(), Unit: pb.GetUnit(), Doc: pb.GetDoc(),
			Sensitive: pb.GetSensitive(), Reloadable: pb.GetReloadable(), Required: pb.GetRequired(),
		}
		for _, v := range []struct {
			text string
			to   *any
		}{{pb.GetDefaultJson(), &s.Default}, {pb.GetMinJson(), &s.Min}, {pb.GetMaxJson(), &s.Max}} {
			if v.text == "" {
				continue
			}
			if err := unmarshalJSON([]byte(v.text), v.to); err != nil {
				return nil, fmt.Errorf("schema of setting %.60s: %w: %w", s.Name, core.ErrInvalid, err)
			}
		}
		out = append(out, s)
	}
	return out, nil
}

// unmarshalJSON decodes one JSON value, numbers exactly.
func unmarshalJSON(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if dec.More() {
		return fmt.Errorf("%w: more than one value", core.ErrInvalid)
	}
	return nil
}

// diagnosticsError makes one core.FieldErrors of the diagnostics that are
// errors; nil where none is.
func diagnosticsError(diagnostics []Diagnostic) error {
	var problems core.FieldErrors
	for _, d := range diagnostics {
		if !d.Warning {
			problems.Add(strings.TrimSpace(d.Path), d.Summary)
		}
	}
	return problems.Err()
}
