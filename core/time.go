package core

import (
	"fmt"
	"time"
)

// Time is a point in time in whole seconds since 1970 UTC, spelled
// YYYY-MM-DDTHH:MM:SSZ in documents. Zero means absent.
type Time int64

const timeLayout = "2006-01-02T15:04:05Z"

// maxTime is the last second of the year 9999, the last that the layout spells.
const maxTime Time = 253402300799

// TimeOf returns t cut to the second.
func TimeOf(t time.Time) Time { return Time(t.Unix()) }

// ParseTime reads a time in its one spelling; else ErrInvalid.
func ParseTime(s string) (Time, error) {
	t, err := time.Parse(timeLayout, s)
	if err != nil || t.Format(timeLayout) != s || t.Unix() <= 0 {
		return 0, fmt.Errorf("time %.40q: %w: want YYYY-MM-DDTHH:MM:SSZ", s, ErrInvalid)
	}
	return Time(t.Unix()), nil
}

// Time returns t for calculating, in UTC.
func (t Time) Time() time.Time { return time.Unix(int64(t), 0).UTC() }

// String returns the spelling of documents.
func (t Time) String() string { return t.Time().Format(timeLayout) }

// IsZero reports whether the time is absent.
func (t Time) IsZero() bool { return t == 0 }

// Before reports whether t is before u.
func (t Time) Before(u Time) bool { return t < u }

// After reports whether t is after u.
func (t Time) After(u Time) bool { return t > u }

// Sub returns the time from now to t.
func (t Time) Sub(now time.Time) time.Duration { return t.Time().Sub(now) }

// Add returns t+d, cut to the second.
func (t Time) Add(d time.Duration) Time { return TimeOf(t.Time().Add(d)) }

// MarshalText writes the spelling of documents.
func (t Time) MarshalText() ([]byte, error) {
	if t < 0 || t > maxTime {
		return nil, fmt.Errorf("time %d: %w: outside the years 1970 to 9999", int64(t), ErrInvalid)
	}
	return []byte(t.String()), nil
}

// UnmarshalText reads the spelling of documents.
func (t *Time) UnmarshalText(text []byte) error {
	parsed, err := ParseTime(string(text))
	if err != nil {
		return err
	}
	*t = parsed
	return nil
}

// Millis is a point in time in Unix milliseconds: a card's seq, a record's
// signed.
type Millis int64

// MillisOf returns t in Unix milliseconds.
func MillisOf(t time.Time) Millis { return Millis(t.UnixMilli()) }

// Time returns m for calculating, in UTC.
func (m Millis) Time() time.Time { return time.UnixMilli(int64(m)).UTC() }

// Seconds returns m cut to the second.
func (m Millis) Seconds() Time { return Time(m.Time().Unix()) }

// maxAhead is how far in the future a document may have been signed.
const maxAhead = 2 * time.Minute

// notAhead refuses a time more than two minutes after now with ErrDenied.
func notAhead(path string, t, now time.Time) error {
	if t.After(now.Add(maxAhead)) {
		return fmt.Errorf("%s: %w: more than 2 minutes in the future", path, ErrDenied)
	}
	return nil
}
