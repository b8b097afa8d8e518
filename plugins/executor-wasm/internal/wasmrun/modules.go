package wasmrun

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/zerostate/zerostate/core"
)

// moduleKey is what a compiled module depends on.
type moduleKey struct {
	digest        string
	tableElements int64
}

// compiled is a module that is resident; ready is closed once module or err is
// there.
type compiled struct {
	module      wazero.CompiledModule
	memoryBytes int64 // what it starts with
	err         error
	ready       chan struct{}
	refs        int
	used        uint64
}

// modules keeps modules: their bytes on disk by digest, the compiled ones in
// memory, the least recently used leaving first.
type modules struct {
	runtime  wazero.Runtime
	imports  map[string]bool // what a module may import
	dir      string
	limits   moduleLimits
	resident int
	workers  int

	mu     sync.Mutex
	loaded map[moduleKey]*compiled
	clock  uint64
}

// acquire answers the compiled module of a manifest and whether it was resident;
// the caller gives it back by release. module may be nil where the bytes are on
// disk: else ErrNotFound.
func (m *modules) acquire(ctx context.Context, spec *core.TaskSpec, module io.Reader) (*compiled, bool, error) {
	key := keyOf(spec)
	for {
		c, mine := m.claim(key)
		if mine {
			c.err = m.load(ctx, key, c, module)
			close(c.ready)
		}
		err := c.wait(ctx)
		if err == nil {
			err = c.fits(spec.Limits.MemoryBytes)
		}
		if err == nil && !mine {
			err = drain(module, m.limits.moduleBytes)
		}
		if err == nil {
			return c, !mine, nil
		}
		m.release(key, c)
		if mine || module == nil || !errors.Is(err, core.ErrNotFound) {
			return nil, false, err
		}
		// Whoever loaded it had no bytes; we do.
	}
}

// wait waits until the module is compiled, or is known not to be.
func (c *compiled) wait(ctx context.Context) error {
	select {
	case <-c.ready:
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// drain reads bytes that are not needed, so that their sender gets on.
func drain(r io.Reader, most int64) error {
	if r == nil {
		return nil
	}
	if _, err := io.Copy(io.Discard, io.LimitReader(r, most)); err != nil {
		return fmt.Errorf("read module: %w", err)
	}
	return nil
}

// claim finds or makes the entry of a key and counts a user; mine says that the
// caller has to load it.
func (m *modules) claim(key moduleKey) (c *compiled, mine bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clock++
	c = m.loaded[key]
	if c == nil {
		c, mine = &compiled{ready: make(chan struct{})}, true
		m.loaded[key] = c
	}
	c.refs++
	c.used = m.clock
	return c, mine
}

// release gives a module back. One that did not load is forgotten, and what is
// too much leaves.
func (m *modules) release(key moduleKey, c *compiled) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c.refs--
	if c.err != nil && m.loaded[key] == c {
		delete(m.loaded, key)
	}
	for len(m.loaded) > m.resident && m.evictOldest() {
	}
}

// evictOldest closes the least recently used module that nobody uses.
func (m *modules) evictOldest() bool {
	var oldest moduleKey
	var found *compiled
	for key, c := range m.loaded {
		if c.refs == 0 && (found == nil || c.used < found.used) {
			oldest, found = key, c
		}
	}
	if found == nil {
		return false
	}
	delete(m.loaded, oldest)
	if found.module != nil {
		found.module.Close(context.Background()) //nolint:errcheck,gosec // closing a compiled module only frees memory
	}
	return true
}

// load reads, checks, keeps and compiles a module. It is not given up when the
// caller's context ends: others wait for it too.
func (m *modules) load(ctx context.Context, key moduleKey, c *compiled, module io.Reader) error {
	data, err := m.read(key.digest, module)
	if err != nil {
		return err
	}
	bounds := m.limits
	bounds.tableElements = key.tableElements
	found, err := scanModule(data, bounds)
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	code, err := m.compile(ctx, found.module)
	if err != nil {
		return err
	}
	if err := m.checkCompiled(code); err != nil {
		return errors.Join(err, code.Close(ctx))
	}
	if module != nil {
		if err := writeFile(m.path(key.digest), data); err != nil {
			return errors.Join(fmt.Errorf("keep module: %w", err), code.Close(ctx))
		}
	}
	c.module, c.memoryBytes = code, found.memoryBytes
	return nil
}

// compile compiles; a panic of the compiler is a bad module, not our end.
func (m *modules) compile(ctx context.Context, module []byte) (c wazero.CompiledModule, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("module: the compiler stopped: %v: %w", p, core.ErrInvalid)
		}
	}()
	c, err = m.runtime.CompileModule(experimental.WithCompilationWorkers(ctx, m.workers), module)
	if err != nil {
		return nil, fmt.Errorf("module: %w: %w", err, core.ErrInvalid)
	}
	return c, nil
}

// checkCompiled refuses imports that are not there and modules that are no
// programs.
func (m *modules) checkCompiled(c wazero.CompiledModule) error {
	for _, f := range c.ImportedFunctions() {
		module, name, _ := f.Import()
		if !m.imports[name] {
			return fmt.Errorf("module: imports %q.%q, which is not there: %w", module, name, core.ErrUnsupported)
		}
	}
	start := c.ExportedFunctions()["_start"]
	if start == nil || len(start.ParamTypes()) != 0 || len(start.ResultTypes()) != 0 {
		return fmt.Errorf("module: exports no function _start without parameters and results: %w", core.ErrInvalid)
	}
	return nil
}

// fits refuses a module that starts with more memory than the manifest allows.
func (c *compiled) fits(most int64) error {
	if c.memoryBytes > most {
		return fmt.Errorf("module: starts with %d bytes of memory, the manifest allows %d: %w", c.memoryBytes, most, core.ErrInvalid)
	}
	return nil
}

// read gets the bytes of a module and checks that they are what the digest
// names.
func (m *modules) read(digest string, module io.Reader) ([]byte, error) {
	from := "module"
	if module == nil {
		from = "kept module"
		f, err := os.Open(m.path(digest))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("module %.8s: is not held here: %w", digest, core.ErrNotFound)
		}
		if err != nil {
			return nil, fmt.Errorf("open module %.8s: %w", digest, err)
		}
		defer f.Close() //nolint:errcheck // only read
		module = f
	}
	data, err := io.ReadAll(io.LimitReader(module, m.limits.moduleBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", from, err)
	}
	if int64(len(data)) > m.limits.moduleBytes {
		return nil, fmt.Errorf("module: has more than %d bytes: %w", m.limits.moduleBytes, core.ErrInvalid)
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) == digest {
		return data, nil
	}
	if from == "module" {
		return nil, fmt.Errorf("module: sha256 is not the manifest's %.8s: %w", digest, core.ErrInvalid)
	}
	if err := os.Remove(m.path(digest)); err != nil {
		return nil, fmt.Errorf("remove damaged module %.8s: %w", digest, err)
	}
	return nil, fmt.Errorf("module %.8s: what was kept is damaged: %w", digest, core.ErrNotFound)
}

// path is where a module lies. A digest is 64 hex digits: core checked it.
func (m *modules) path(digest string) string { return filepath.Join(m.dir, digest+".wasm") }

// writeFile replaces a file in one step.
func writeFile(name string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".part-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
