package core

import (
	"errors"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestCharge(t *testing.T) {
	ran := func(bytes int64) Metering {
		return Metering{Verifiable: VerifiableMetering{Req: 1, Byte: bytes}}
	}
	for _, c := range []struct {
		name  string
		price Price
		m     Metering
		most  int64
		want  int64
	}{
		{"per request", Price{"TEST", "req", 250, 1}, ran(9), 1000, 250},
		{"nothing ran", Price{"TEST", "req", 250, 1}, Metering{}, 1000, 0},
		{"rounded up", Price{"TEST", "byte", 2, 1000}, ran(1), 1000, 1},
		{"exact", Price{"TEST", "byte", 2, 1000}, ran(1000), 1000, 2},
		{"one more", Price{"TEST", "byte", 2, 1000}, ran(1001), 1000, 3},
		{"capped", Price{"TEST", "byte", 2, 1}, ran(1 << 40), 777, 777},
		{"free", Price{"TEST", "byte", 0, 1}, ran(1 << 40), 777, 0},
		{"cap of nothing", Price{"TEST", "req", 5, 1}, ran(0), 0, 0},
		{"beyond 64 bits", Price{"TEST", "byte", maxSafeInteger, 1}, ran(maxSafeInteger), 5, 5},
		{"128 bits, back in range", Price{"TEST", "byte", maxSafeInteger, maxSafeInteger}, ran(maxSafeInteger), maxSafeInteger, maxSafeInteger},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Charge(c.price, c.m, c.most)
			if err != nil || got != c.want {
				t.Errorf("got %d, %v, want %d", got, err, c.want)
			}
		})
	}
}

// TestChargeAgainstBig compares with arithmetic that cannot overflow.
func TestChargeAgainstBig(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.Int64Range(0, maxSafeInteger)
		p := Price{"TEST", UnitByte, number.Draw(t, "price"), max(1, number.Draw(t, "per"))}
		units, most := number.Draw(t, "units"), number.Draw(t, "most")
		want := new(big.Int).Mul(big.NewInt(units), big.NewInt(p.PriceMicros))
		want.Add(want, big.NewInt(p.PerUnits-1)).Div(want, big.NewInt(p.PerUnits))
		if want.Cmp(big.NewInt(most)) > 0 {
			want.SetInt64(most)
		}
		got, err := Charge(p, Metering{Verifiable: VerifiableMetering{Req: 1, Byte: units}}, most)
		if err != nil || got != want.Int64() {
			t.Fatalf("%s x %d, at most %d: got %d, %v, want %s", p, units, most, got, err, want)
		}
	})
}

func TestChargeRefuses(t *testing.T) {
	good := Price{"TEST", UnitRequest, 1, 1}
	negative := Metering{Verifiable: VerifiableMetering{Req: -1}}
	for _, c := range []struct {
		name  string
		price Price
		m     Metering
		most  int64
		want  error
		text  string
	}{
		{"no currency", Price{"", "req", 1, 1}, Metering{}, 1, ErrInvalid, "currency"},
		{"lower case", Price{"eur", "req", 1, 1}, Metering{}, 1, ErrInvalid, "currency"},
		{"gas", Price{"TEST", "gas", 1, 1}, Metering{}, 1, ErrUnsupported, "unit"},
		{"sec", Price{"TEST", "sec", 1, 1}, Metering{}, 1, ErrUnsupported, "unit"},
		{"token", Price{"TEST", "token", 1, 1}, Metering{}, 1, ErrUnsupported, "unit"},
		{"unknown unit", Price{"TEST", "mile", 1, 1}, Metering{}, 1, ErrInvalid, "unit"},
		{"negative price", Price{"TEST", "req", -1, 1}, Metering{}, 1, ErrInvalid, "priceMicros"},
		{"huge price", Price{"TEST", "req", maxSafeInteger + 1, 1}, Metering{}, 1, ErrInvalid, "priceMicros"},
		{"per nothing", Price{"TEST", "req", 1, 0}, Metering{}, 1, ErrInvalid, "perUnits"},
		{"negative units", good, negative, 1, ErrInvalid, "units"},
		{"negative lock", good, Metering{}, -1, ErrInvalid, "micros"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Charge(c.price, c.m, c.most)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want %v naming %s", err, c.want, c.text)
			}
		})
	}
}

func TestMeteringUnits(t *testing.T) {
	m := Metering{Verifiable: VerifiableMetering{Req: 1, Byte: 7, PeakPages: 3}}
	for unit, want := range map[Unit]int64{UnitRequest: 1, UnitByte: 7} {
		if got, err := m.Units(unit); err != nil || got != want {
			t.Errorf("%s: got %d, %v, want %d", unit, got, err, want)
		}
	}
	if _, err := m.Units("gas"); !errors.Is(err, ErrUnsupported) {
		t.Errorf("gas: got %v, want ErrUnsupported", err)
	}
	if _, err := m.Units("mile"); !errors.Is(err, ErrInvalid) {
		t.Errorf("mile: got %v, want ErrInvalid", err)
	}
}

func TestMeteringCheck(t *testing.T) {
	used := Metering{VerifiableMetering{1, 2, 3}, ObservedMetering{4, 5}}
	for _, o := range Outcomes() {
		ran := o.Ran()
		if err := used.Check(o); (err == nil) != ran {
			t.Errorf("%s with metering: got %v, ran is %v", o, err, ran)
		}
		started := o == OutcomeOK || o == OutcomeExit || o == OutcomeTrap
		if err := (Metering{}).Check(o); (err == nil) == started {
			t.Errorf("%s without metering: got %v, started is %v", o, err, started)
		}
	}
	for _, m := range []Metering{
		{Verifiable: VerifiableMetering{Req: 2}},
		{Verifiable: VerifiableMetering{Req: 1, Byte: -1}},
		{Verifiable: VerifiableMetering{Req: 1, PeakPages: maxSafeInteger + 1}},
		{Verifiable: VerifiableMetering{Req: 1}, Observed: ObservedMetering{CPUMicros: -1}},
		{Verifiable: VerifiableMetering{Req: 1}, Observed: ObservedMetering{WallMicros: -1}},
	} {
		if err := m.Check(OutcomeOK); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: got %v, want ErrInvalid", m, err)
		}
	}
	if Outcome("won").Known() || Outcome("won").Ran() || !OutcomeLost.Known() {
		t.Error("an unknown outcome is known, or a known one is not")
	}
}

func TestPriceHash(t *testing.T) {
	// sha256 of {"currency":"TEST","perUnits":1000000,"priceMicros":2,"unit":"byte"}
	const want = "e89f25aa66b567fa9e6ece4493d1a1973b8e2beec77015175f3163b006440f97"
	got, err := PriceHash(Price{"TEST", UnitByte, 2, 1_000_000})
	if err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	if _, err := PriceHash(Price{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("no price: got %v, want ErrInvalid", err)
	}
}
