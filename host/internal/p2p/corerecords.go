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
	Papers  *Papers          // remembers what was verified; nil: nothing is remembered
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
	record, err := r.verify(value)
	if err != nil {
		return fmt.Errorf("record under %s: %w", key, err)
	}
	if record.DID != did {
		return fmt.Errorf("record of %s under %s: %w", record.DID, key, core.ErrDenied)
	}
	return nil
}

func (r CoreRecords) verify(value []byte) (*core.CardRecord, error) {
	if r.Papers != nil {
		return r.Papers.Record(value)
	}
	return core.VerifyRecord(value, r.Network, r.now())
}

// Select returns the index of the best of several valid records.
func (r CoreRecords) Select(_ string, values [][]byte) (int, error) {
	return core.SelectRecord(values)
}

// Describe reads a record; it does not verify it.
func (r CoreRecords) Describe(value []byte) (RecordInfo, error) {
	record, err := r.read(value)
	if err != nil {
		return RecordInfo{}, err
	}
	return RecordInfo{
		DID: record.DID, Seq: int64(record.Seq), Signed: int64(record.Signed), Tombstone: record.Tombstone(),
	}, nil
}

// read answers a record that may not verify.
func (r CoreRecords) read(value []byte) (*core.CardRecord, error) {
	if r.Papers != nil {
		if record, err := r.Papers.Record(value); err == nil {
			return record, nil
		}
	}
	return core.Parse[core.CardRecord](value)
}

// didOfKey reads /zerostate-card/<n>/<did>, with n from 0 to 2.
func didOfKey(key string) (core.DID, error) {
	parts := strings.Split(key, "/")
	if len(parts) != 4 || parts[0] != "" || parts[1] != recordNamespace || len(parts[2]) != 1 || !strings.Contains("012", parts[2]) {
		return "", fmt.Errorf("key %.120q is not of a card record: %w", key, core.ErrInvalid)
	}
	return core.ParseDID(parts[3])
}
