package core

import (
	"encoding/json"
	"errors"
	"testing"
	"time"
)

func TestTime(t *testing.T) {
	got, err := ParseTime("2026-03-01T12:00:00Z")
	if err != nil || got != TimeOf(testNow) || !got.Time().Equal(testNow) || got.String() != "2026-03-01T12:00:00Z" {
		t.Errorf("got %v, %v", got, err)
	}
	for _, s := range []string{
		"", "2026-03-01T12:00:00z", "2026-03-01T12:00:00.0Z", "2026-03-01T12:00:00,5Z", "2026-03-01T12:00:00+00:00",
		"2026-02-30T12:00:00Z", "2026-03-01 12:00:00Z", "1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "2026-3-01T12:00:00Z",
	} {
		if _, err := ParseTime(s); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: got %v, want ErrInvalid", s, err)
		}
	}
}

func TestTimeInJSON(t *testing.T) {
	data, err := json.Marshal(TimeOf(testNow))
	if err != nil || string(data) != `"2026-03-01T12:00:00Z"` {
		t.Errorf("got %s, %v", data, err)
	}
	var back Time
	if err := json.Unmarshal(data, &back); err != nil || back != TimeOf(testNow) {
		t.Errorf("got %v, %v", back, err)
	}
	if err := json.Unmarshal([]byte(`"now"`), &back); !errors.Is(err, ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
	for _, bad := range []Time{-1, maxTime + 1} {
		if _, err := json.Marshal(bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%d: got %v, want ErrInvalid", bad, err)
		}
	}
	if _, err := json.Marshal(maxTime); err != nil {
		t.Errorf("the last second of 9999: %v", err)
	}
}

func TestTimeArithmetic(t *testing.T) {
	a := TimeOf(testNow)
	b := a.Add(90 * time.Second)
	if b-a != 90 || !a.Before(b) || !b.After(a) || a.After(b) || b.Before(a) || b.Sub(testNow) != 90*time.Second {
		t.Errorf("got %v and %v", a, b)
	}
	if !Time(0).IsZero() || a.IsZero() {
		t.Error("only zero is absent")
	}
	m := MillisOf(testNow.Add(1999 * time.Millisecond))
	if m.Seconds() != a+1 || !m.Time().Equal(testNow.Add(1999*time.Millisecond)) {
		t.Errorf("got %d, %v", m, m.Seconds())
	}
}

func TestNotAhead(t *testing.T) {
	if err := notAhead("seq", testNow.Add(2*time.Minute), testNow); err != nil {
		t.Errorf("2 minutes: got %v, want no error", err)
	}
	if err := notAhead("seq", testNow.Add(2*time.Minute+time.Millisecond), testNow); !errors.Is(err, ErrDenied) {
		t.Errorf("more: got %v, want ErrDenied", err)
	}
}
