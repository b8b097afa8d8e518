package host

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/zerostate/zerostate/core"
)

const (
	pemType  = "PRIVATE KEY" // PKCS #8, RFC 5208
	keyPerm  = 0o600
	homePerm = 0o700
)

var agentName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// keyring holds the keys of a home. No private key leaves the host.
type keyring struct {
	home string
	rand io.Reader
	node ed25519.PrivateKey
}

// openKeys reads the node key of home, or makes one on the first start.
func openKeys(home string, rand io.Reader) (*keyring, error) {
	k := &keyring{home: home, rand: rand}
	node, err := k.readOrMake(filepath.Join(home, "keys", "node.key"))
	if err != nil {
		return nil, err
	}
	k.node = node
	return k, nil
}

// public is the node's public key.
func (k *keyring) public() ed25519.PublicKey { return k.node.Public().(ed25519.PublicKey) }

// signer signs as the node.
func (k *keyring) signer() core.Signer { return core.NewSigner(k.node) }

// agent answers the key of the agent called name and its next public key,
// making both when the agent is new.
func (k *keyring) agent(name string) (core.Signer, ed25519.PublicKey, error) {
	if !agentName.MatchString(name) {
		return nil, nil, core.FieldError{Path: "agent." + name, Problem: "a name is 1 to 63 lower-case letters, digits and dashes"}
	}
	dir := filepath.Join(k.home, "keys", "agents")
	key, err := k.readOrMake(filepath.Join(dir, name+".key"))
	if err != nil {
		return nil, nil, err
	}
	next, err := k.readOrMake(filepath.Join(dir, name+".next.key"))
	if err != nil {
		return nil, nil, err
	}
	return core.NewSigner(key), next.Public().(ed25519.PublicKey), nil
}

// existingAgent answers the key of an agent that has one, or core.ErrNotFound.
func (k *keyring) existingAgent(name string) (core.Signer, error) {
	if !agentName.MatchString(name) {
		return nil, fmt.Errorf("agent %q: %w", name, core.ErrNotFound)
	}
	key, err := readKey(filepath.Join(k.home, "keys", "agents", name+".key"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("agent %q has no key in this home: %w", name, core.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	return core.NewSigner(key), nil
}

func (k *keyring) readOrMake(path string) (ed25519.PrivateKey, error) {
	key, err := readKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := os.MkdirAll(filepath.Dir(path), homePerm); err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(k.rand, seed); err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	key = ed25519.NewKeyFromSeed(seed)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	return key, writeNew(path, pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}))
}

// readKey reads a PKCS #8 PEM file that nobody else may read.
func readKey(path string) (ed25519.PrivateKey, error) {
	if err := checkOurs(path); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != pemType {
		return nil, fmt.Errorf("read key %s: no %q block in it: %w", path, pemType, core.ErrInvalid)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read key %s (%w): %w", path, err, core.ErrInvalid)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("read key %s: not an Ed25519 key: %w", path, core.ErrInvalid)
	}
	return key, nil
}

// checkOurs refuses a secret file that others can read or write, as ssh does.
func checkOurs(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s can be read by others (%s): run chmod 600 on it: %w", path, info.Mode().Perm(), core.ErrDenied)
	}
	return nil
}

// writeNew writes a private file by a synced temporary one and a rename, so
// that a crash leaves either nothing or the whole.
func writeNew(path string, data []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(f.Name()) //nolint:errcheck // gone after the rename; a leftover is harmless
	if _, err = f.Write(data); err == nil {
		if err = f.Sync(); err == nil {
			err = f.Chmod(keyPerm)
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// prepareHome makes home when it is missing and refuses one that is not ours alone.
func prepareHome(home string) error {
	if err := os.MkdirAll(home, homePerm); err != nil {
		return fmt.Errorf("make home: %w", err)
	}
	info, err := os.Stat(home)
	if err != nil {
		return fmt.Errorf("open home: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("home %s is open to others (%s): run chmod 700 on it: %w", home, info.Mode().Perm(), core.ErrDenied)
	}
	if !ownedByUs(info) {
		return fmt.Errorf("home %s belongs to another user: %w", home, core.ErrDenied)
	}
	return nil
}
