package core

import (
	"fmt"
	"math/bits"
	"slices"

	"github.com/zerostate/zerostate/core/internal/canon"
)

// maxSafeInteger is the largest integer that a document may hold: 2^53-1, the
// last one that RFC 8785 spells exactly.
const maxSafeInteger = canon.MaxInteger

// DefaultCurrency is the currency of a manifest that names none: play money.
const DefaultCurrency = "TEST"

// Unit says what a task is charged by.
type Unit = string

// The units that can be charged. Gas, seconds and tokens are named by the
// protocol and refused (ErrUnsupported) until an executor counts them.
const (
	UnitRequest Unit = "req"  // 1 for a task that ran, 0 for one that did not
	UnitByte    Unit = "byte" // input, output and stdout bytes
)

// reservedUnits are the units that the protocol names and nobody counts yet.
func reservedUnit(unit Unit) bool {
	switch unit {
	case "gas", "sec", "token":
		return true
	}
	return false
}

// Price is what a worker asks: PriceMicros micro-units of Currency for each
// PerUnits of Unit. It is the `settlement` of a resolved manifest and the price
// of an offer on a card.
type Price struct {
	Currency    string `json:"currency"`    // upper-case letters and digits, 1-12
	Unit        Unit   `json:"unit"`        // UnitRequest or UnitByte
	PriceMicros int64  `json:"priceMicros"` // 0..2^53-1
	PerUnits    int64  `json:"perUnits"`    // 1..2^53-1
}

// Check says whether every field of the price is in its bounds. A unit that the
// protocol names but nobody counts yet is ErrUnsupported, anything else wrong is
// ErrInvalid; the error names the field.
func (p Price) Check() error {
	switch {
	case !isCurrency(p.Currency):
		return FieldError{Path: "currency", Problem: "wants 1 to 12 upper-case letters and digits"}
	case reservedUnit(p.Unit):
		return fmt.Errorf("unit: %q is not supported yet, use req or byte: %w", p.Unit, ErrUnsupported)
	case p.Unit != UnitRequest && p.Unit != UnitByte:
		return FieldError{Path: "unit", Problem: "wants req or byte"}
	case p.PriceMicros < 0 || p.PriceMicros > maxSafeInteger:
		return FieldError{Path: "priceMicros", Problem: "wants 0 to 2^53-1"}
	case p.PerUnits < 1 || p.PerUnits > maxSafeInteger:
		return FieldError{Path: "perUnits", Problem: "wants 1 to 2^53-1"}
	}
	return nil
}

// String is the price for people: "2 micro-TEST per 1000000 byte".
func (p Price) String() string {
	return fmt.Sprintf("%d micro-%s per %d %s", p.PriceMicros, p.Currency, p.PerUnits, p.Unit)
}

func isCurrency(s string) bool {
	if len(s) < 1 || len(s) > 12 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// PriceHash is the sha256 of the price's JCS in hex: what a lock names.
func PriceHash(p Price) (string, error) {
	if err := p.Check(); err != nil {
		return "", fmt.Errorf("price: %w", err)
	}
	return jcsDigest(p)
}

// jcsDigest is the sha256 of the canonical bytes of v in hex.
func jcsDigest(v any) (string, error) {
	b, err := canon.Encode(v)
	if err != nil {
		return "", err
	}
	return canon.SHA256Hex(b), nil
}

// Outcome says how a task ended.
type Outcome string

// The outcomes. The first six ran and are charged what was metered; the last
// four did not, and meter zero in every unit.
const (
	OutcomeOK        Outcome = "ok"        // exit code 0
	OutcomeExit      Outcome = "exit"      // another exit code
	OutcomeTrap      Outcome = "trap"      // the guest trapped
	OutcomeLimit     Outcome = "limit"     // a limit of the manifest was reached
	OutcomeTimeout   Outcome = "timeout"   // wallTimeout passed
	OutcomeCancelled Outcome = "cancelled" // the requester cancelled
	OutcomeRefused   Outcome = "refused"   // the worker did not take it
	OutcomeLost      Outcome = "lost"      // the worker restarted in between
	OutcomeExpired   Outcome = "expired"   // the lock ran out before the start
	OutcomeInput     Outcome = "input"     // an input could not be fetched
)

// Outcomes lists every outcome, those that are charged first.
func Outcomes() []Outcome {
	return []Outcome{
		OutcomeOK, OutcomeExit, OutcomeTrap, OutcomeLimit, OutcomeTimeout, OutcomeCancelled,
		OutcomeRefused, OutcomeLost, OutcomeExpired, OutcomeInput,
	}
}

// Known says whether o is one of Outcomes.
func (o Outcome) Known() bool { return slices.Contains(Outcomes(), o) }

// Ran says whether the worker took the task up, so that its metering is charged.
func (o Outcome) Ran() bool {
	switch o {
	case OutcomeOK, OutcomeExit, OutcomeTrap, OutcomeLimit, OutcomeTimeout, OutcomeCancelled:
		return true
	default:
		return false
	}
}

// Metering is what a run used, in two parts that are trusted differently.
type Metering struct {
	Verifiable VerifiableMetering `json:"verifiable"`
	Observed   ObservedMetering   `json:"observed"`
}

// VerifiableMetering is what whoever re-runs the task must get again.
type VerifiableMetering struct {
	Req       int64 `json:"req"`       // 1 if the guest ran, else 0
	Byte      int64 `json:"byte"`      // input, output and stdout bytes
	PeakPages int64 `json:"peakPages"` // peak linear memory, pages of 64 KiB
}

// ObservedMetering is what only the worker saw.
type ObservedMetering struct {
	CPUMicros  int64 `json:"cpuMicros"`  // processor time, microseconds
	WallMicros int64 `json:"wallMicros"` // elapsed time, microseconds
}

// Units is how many of the unit were metered. ErrUnsupported for a unit that
// nobody counts yet, ErrInvalid for an unknown one.
func (m Metering) Units(unit Unit) (int64, error) {
	switch {
	case unit == UnitRequest:
		return m.Verifiable.Req, nil
	case unit == UnitByte:
		return m.Verifiable.Byte, nil
	case reservedUnit(unit):
		return 0, fmt.Errorf("unit %q is not supported yet: %w", unit, ErrUnsupported)
	}
	return 0, fmt.Errorf("unit %q is not known: %w", unit, ErrInvalid)
}

// Check says whether the metering is possible for the outcome: nothing negative
// or beyond 2^53-1, req 0 or 1, zero in every unit where the outcome did not
// run, and one request where the guest must have started. Every problem is
// ErrInvalid.
func (m Metering) Check(o Outcome) error {
	v := m.Verifiable
	for _, f := range []struct {
		path  string
		value int64
	}{
		{"verifiable.req", v.Req},
		{"verifiable.byte", v.Byte},
		{"verifiable.peakPages", v.PeakPages},
		{"observed.cpuMicros", m.Observed.CPUMicros},
		{"observed.wallMicros", m.Observed.WallMicros},
	} {
		if f.value < 0 || f.value > maxSafeInteger {
			return FieldError{Path: f.path, Problem: "wants 0 to 2^53-1"}
		}
		if !o.Ran() && f.value != 0 {
			return FieldError{Path: f.path, Problem: fmt.Sprintf("must be 0 for the outcome %s", o)}
		}
	}
	if least := o.leastReq(); v.Req < least || v.Req > 1 {
		return FieldError{Path: "verifiable.req", Problem: fmt.Sprintf("wants %d to 1 for the outcome %s", least, o)}
	}
	return nil
}

// leastReq is 1 where the guest must have started. A limit, a timeout or a
// cancellation may come before it does.
func (o Outcome) leastReq() int64 {
	switch o {
	case OutcomeOK, OutcomeExit, OutcomeTrap:
		return 1
	default:
		return 0
	}
}

// Charge is metered units x price / perUnits, rounded up to the payee and capped
// at maxMicros, in micro-units of the price's currency. Nothing overflows: a
// product beyond 64 bits is divided as 128 bits. ErrInvalid for a price or
// metering out of bounds, ErrUnsupported for a unit that nobody counts yet.
func Charge(p Price, m Metering, maxMicros int64) (int64, error) {
	if err := p.Check(); err != nil {
		return 0, fmt.Errorf("price: %w", err)
	}
	units, err := m.Units(p.Unit)
	if err != nil {
		return 0, err
	}
	if units < 0 || maxMicros < 0 {
		return 0, fmt.Errorf("charge: %d units, at most %d micros: %w", units, maxMicros, ErrInvalid)
	}
	return chargeUnits(p, units, maxMicros), nil
}

// chargeUnits computes ceil(units x price / per), at most maxMicros. All
// arguments are checked: none is negative, PerUnits is not zero.
func chargeUnits(p Price, units, maxMicros int64) int64 {
	per := uint64(p.PerUnits)                                  //nolint:gosec // checked: 1..2^53-1
	hi, lo := bits.Mul64(uint64(units), uint64(p.PriceMicros)) //nolint:gosec // checked: not negative
	if hi >= per {                                             // the quotient does not fit 64 bits
		return maxMicros
	}
	quo, rem := bits.Div64(hi, lo, per)
	if quo >= uint64(maxMicros) { //nolint:gosec // checked: not negative
		return maxMicros
	}
	if rem > 0 {
		quo++ // at most maxMicros, which fits
	}
	return int64(quo) //nolint:gosec // at most maxMicros
}
