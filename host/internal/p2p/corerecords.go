package p2p

import (
	"fmt"
	"strings"
	"time"

	"github.com/zerostate/zerostate/core"
)

// CoreRecords is the RecordValidator of the network: core's rules.
type CoreRecords struct {
	Network string
	Now     func() time.Time // nil is time.Now
}

var _ RecordValidator = CoreRecords{}

func (r CoreRecords) now() time.Time {
	if r.Now == nil {
		return time.Now()
	}
	return r.Now()
}

// Validate says whether value is a valid card record of the did in the key now.
func (r CoreRecords) Validate(key string, value []byte) error {
	did, err := didOfKey(key)
	if err != nil {
		return err
	}
	record, err := core.VerifyRecord(value, r.Network, r.now())
	if err != nil {
		return fmt.Errorf("record under %s: %w", key, err)
	}
	if record.DID != did {
		return fmt.Errorf("record of %s under %s: %w", record.DID, key, core.ErrDenied)
	}
	return nil
}

// Select returns the index of the best of several valid records.
func (r CoreRecords) Select(_ string, values [][]byte) (int, error) {
	return core.SelectRecord(values)
}

// Describe reads a record; it does not verify it.
func (r CoreRecords) Describe(value []byte) (RecordInfo, error) {
	record, err := core.Parse[core.CardRecord](value)
	if err != nil {
		return RecordInfo{}, err
	}
	return RecordInfo{
		DID: record.DID, Seq: int64(record.Seq), Signed: int64(record.Signed), Tombstone: record.Tombstone(),
	}, nil
}

// didOfKey reads /zerostate-card/<n>/<did>, with n from 0 to 2.
func didOfKey(key string) (core.DID, error) {
	parts := strings.Split(key, "/")
	if len(parts) != 4 || parts[0] != "" || parts[1] != recordNamespace || len(parts[2]) != 1 || !strings.Contains("012", parts[2]) {
		return "", fmt.Errorf("key %.120q is not of a card record: %w", key, core.ErrInvalid)
	}
	return core.ParseDID(parts[3])
}
