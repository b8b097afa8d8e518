package config

import (
	"net"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/multiformats/go-multiaddr"

	"github.com/zerostate/zerostate/core"
)

// Builtin is the prefix of a plugin that runs in the host's process.
const Builtin = "builtin:"

// Dir is the directory of the first configuration file, or empty.
func (c *Config) Dir() string { return c.dir }

// Origin says where a setting's value was written; zero for a default. path is
// in dots.
func (c *Config) Origin(path string) Position { return c.origins[path] }

// HasRole reports whether this node has a role.
func (c *Config) HasRole(role string) bool {
	return slices.Contains(c.Node.Roles, role)
}

// Used returns the name and the block of the plugin that use names for a kind.
func (c *Config) Used(kind core.Kind) (string, Plugin) {
	name := c.Use.name(kind)
	return name, c.Plugin[string(kind)][name]
}

// name is what use says for a kind.
func (u *Use) name(kind core.Kind) string {
	for _, f := range fieldsOf(reflect.TypeFor[Use]()) {
		if f.name == string(kind) {
			return reflect.ValueOf(u).Elem().Field(f.index).String()
		}
	}
	return ""
}

// complete fills what depends on other settings: paths under the home, and a
// block for each plugin that is used or a fallback.
func (c *Config) complete() {
	if c.Node.PluginDir == "" {
		c.Node.PluginDir = filepath.Join(c.Node.Home, "bin")
	}
	if c.API.Socket == "" {
		c.API.Socket = filepath.Join(c.Node.Home, "node.sock")
	}
	if len(c.Index.Regions) == 0 && c.Node.Region != "" {
		c.Index.Regions = []string{c.Node.Region}
	}
	for _, kind := range core.Kinds() {
		if name := c.Use.name(kind); name != "" {
			c.ensurePlugin(kind, name)
		}
		for _, p := range c.Plugin[string(kind)] {
			if p.Fallback != "" {
				c.ensurePlugin(kind, p.Fallback)
			}
		}
		for name, p := range c.Plugin[string(kind)] {
			if p.Path == "" {
				p.Path = string(kind) + "-" + name
				c.Plugin[string(kind)][name] = p
			}
		}
	}
}

// ensurePlugin adds the default block of a plugin that is named but has none.
func (c *Config) ensurePlugin(kind core.Kind, name string) {
	if c.Plugin[string(kind)] == nil {
		c.Plugin[string(kind)] = map[string]Plugin{}
	}
	if _, ok := c.Plugin[string(kind)][name]; ok {
		return
	}
	var p Plugin
	(&decoder{}).block("", nil, reflect.ValueOf(&p).Elem())
	if strings.HasPrefix(name, Builtin) {
		p.Path = name
	}
	c.Plugin[string(kind)][name] = p
}

// check holds settings against each other.
func (d *decoder) check(c *Config) {
	for _, kind := range core.Kinds() {
		d.checkUse(c, kind)
		for name, p := range c.Plugin[string(kind)] {
			at := join(join("plugin", string(kind)), name)
			if p.Fallback == name {
				d.problem(join(at, "fallback"), "", "a plugin can not be its own fallback")
			}
			if p.Restart.BackoffMin > p.Restart.BackoffMax {
				d.problem(join(join(at, "restart"), "backoff_min"), "", "longer than backoff_max (%s)", p.Restart.BackoffMax)
			}
		}
	}
	if c.Policy.MaxChargeMicros > c.Policy.MaxPerDayMicros {
		d.problem(join("policy", "max_charge"), "", "more than max_charge_per_day (%d)", c.Policy.MaxPerDayMicros)
	}
	if c.Policy.GuildTTL%time.Second != 0 {
		d.problem(join("policy", "guild_ttl"), "", "want whole seconds")
	}
	d.checkRegions(c)
	d.checkAddresses(c)
	d.checkDIDs(c)
}

// checkUse holds the name of an implementation to its spelling.
func (d *decoder) checkUse(c *Config, kind core.Kind) {
	at := join("use", string(kind))
	name := c.Use.name(kind)
	switch builtin, ok := strings.CutPrefix(name, Builtin); {
	case ok && validName(builtin), !ok && validName(name):
	case name == "":
		d.problem(at, "", "name an implementation")
	default:
		d.problem(at, "", "bad name %s", clip(name))
	}
}

// checkRegions holds regions to the spelling that card records allow.
func (d *decoder) checkRegions(c *Config) {
	if !validName(c.Node.Region) {
		d.problem(join("node", "region"), "", "bad region %s: use a-z, 0-9, - and _", clip(c.Node.Region))
	}
	for i, r := range c.Index.Regions {
		if !validName(r) && r != c.Node.Region {
			d.problem(element(join("index", "regions"), i), "", "bad region %s: use a-z, 0-9, - and _", clip(r))
		}
	}
}

// checkAddresses holds addresses to their form, and the API to loopback.
func (d *decoder) checkAddresses(c *Config) {
	for _, l := range []struct {
		name  string
		addrs []string
		peer  bool
	}{
		{"listen", c.Network.Listen, false},
		{"announce", c.Network.Announce, false},
		{"bootstrap", c.Network.Bootstrap, true},
		{"backbone", c.Network.Backbone, true},
	} {
		for i, s := range l.addrs {
			at := element(join("network", l.name), i)
			addr, err := multiaddr.NewMultiaddr(s)
			if err != nil {
				d.problem(at, "", "want a multiaddress such as /ip4/192.0.2.1/tcp/4001, got %s", clip(s))
			} else if _, err := addr.ValueForProtocol(multiaddr.P_P2P); l.peer && err != nil {
				d.problem(at, "", "want a multiaddress that ends in /p2p/<peer ID>, got %s", clip(s))
			}
		}
	}
	if c.API.Listen == "" {
		return
	}
	host, _, err := net.SplitHostPort(c.API.Listen)
	ip, bad := netip.ParseAddr(host)
	if err != nil || (host != "localhost" && (bad != nil || !ip.IsLoopback())) {
		d.problem(join("api", "listen"), "", "want a loopback host:port such as 127.0.0.1:7420, got %s", clip(c.API.Listen))
	}
}

// checkDIDs holds lists of node dids to their form.
func (d *decoder) checkDIDs(c *Config) {
	for _, l := range []struct {
		path string
		dids []string
	}{
		{join("serve", "allow"), c.Serve.Allow},
		{join("serve", "deny"), c.Serve.Deny},
		{join("reputation", "raters"), c.Reputation.Raters},
	} {
		for i, s := range l.dids {
			if _, err := core.ParseDID(s); err != nil {
				d.problem(element(l.path, i), "", "want a did:key of an Ed25519 key, got %s", clip(s))
			}
		}
	}
}
