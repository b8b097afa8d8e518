package core

import "fmt"

// A crypto suite is named by its id wherever a document says by which
// algorithms it is signed or sealed, so that post-quantum ones can be added
// without a break: the ids are reserved in suiteTable already.
const (
	// SuiteEd25519 signs: what channels use.
	SuiteEd25519 = "ed25519"
	// SuiteX25519 seals: HPKE with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and
	// ChaCha20-Poly1305 (RFC 9180: 0x0020, 0x0001, 0x0003). What guilds use.
	SuiteX25519 = "x25519-hkdf-sha256-chacha20poly1305"
)

// SuitePurpose says what a crypto suite is for.
type SuitePurpose string

// The purposes of suites.
const (
	SuiteSigns SuitePurpose = "sign" // signatures of documents
	SuiteSeals SuitePurpose = "seal" // HPKE in guilds
)

type suiteEntry struct {
	id        string
	purpose   SuitePurpose
	supported bool // false: the id is taken, nothing implements it yet
}

func suiteTable() []suiteEntry {
	return []suiteEntry{
		{SuiteEd25519, SuiteSigns, true},
		{"ed25519+ml-dsa-65", SuiteSigns, false}, // FIPS 204, beside Ed25519
		{SuiteX25519, SuiteSeals, true},
		{"x-wing-hkdf-sha256-chacha20poly1305", SuiteSeals, false}, // X25519 and ML-KEM-768
	}
}

// CheckSuite says whether this version can use the suite id for the purpose.
// An id that is unknown, only reserved, or for another purpose is
// ErrUnsupported.
func CheckSuite(purpose SuitePurpose, id string) error {
	for _, e := range suiteTable() {
		if e.id != id || e.purpose != purpose {
			continue
		}
		if !e.supported {
			return fmt.Errorf("suite %q is reserved, nothing implements it yet: %w", id, ErrUnsupported)
		}
		return nil
	}
	return fmt.Errorf("suite %q to %s is not known: %w", id, purpose, ErrUnsupported)
}
