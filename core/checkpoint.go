package core

// The logs that a checkpoint can be of.
const (
	LogReputation = "reputation"
	LogAudit      = "audit"
)

// Checkpoint is a node's signed statement of how long one of its logs is and
// what stands in it. Root of the reputation log is the Merkle tree hash of RFC
// 6962 over its events; of the audit log AuditHead's root. Both of an empty log
// are EmptyAuditRoot, the sha256 of nothing.
type Checkpoint struct {
	Log        string      `json:"log"` // LogReputation or LogAudit
	Network    string      `json:"network"`
	Node       DID         `json:"node"` // whose log it is, and the signer
	Root       string      `json:"root"` // 64 lower-case hex digits
	Signatures []Signature `json:"signatures,omitempty"`
	Size       int64       `json:"size"` // entries, 0..2^53-1
	Time       Time        `json:"time"`
}

// Type returns TypeCheckpoint.
func (c *Checkpoint) Type() DocType { return TypeCheckpoint }

// NetworkID returns the network that the log belongs to.
func (c *Checkpoint) NetworkID() string { return c.Network }

// Signers returns the node.
func (c *Checkpoint) Signers() ([]DID, error) { return []DID{c.Node}, nil }

func (c *Checkpoint) sigs() *[]Signature { return &c.Signatures }

func (c *Checkpoint) check() error {
	var f fieldChecks
	f.that("log", c.Log == LogReputation || c.Log == LogAudit, "wants reputation or audit")
	f.label("network", c.Network)
	f.did("node", c.Node)
	AuditHead{Root: c.Root, Size: c.Size}.checkFields(&f, "")
	f.time("time", c.Time)
	return f.err()
}
