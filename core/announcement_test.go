package core

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

func TestAnnouncement(t *testing.T) {
	record := mustRecord(t, testRecord(t, testNow))
	data, err := BuildAnnouncement(record, testSigner("node"), testNow)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "announcement.json", data)
	a, err := VerifyAnnouncement(data, "zerostate-test", testNow)
	if err != nil || a.DID != record.DID || a.CID != record.CID || a.Seq != record.Seq || a.Node != testDID("node") {
		t.Fatalf("got %+v, %v", a, err)
	}
	tomb := mustRecord(t, testTombstone(t, nil, testNow))
	gone, err := BuildAnnouncement(tomb, testSigner("node"), testNow)
	if err != nil || bytes.Contains(gone, []byte(`"cid"`)) {
		t.Errorf("of a tombstone: got %s, %v", gone, err)
	}
	if _, err := VerifyAnnouncement(data, "other", testNow); !errors.Is(err, ErrDenied) {
		t.Errorf("another network: got %v, want ErrDenied", err)
	}
	if _, err := VerifyAnnouncement(data, "zerostate-test", testNow.Add(-time.Hour)); !errors.Is(err, ErrDenied) {
		t.Errorf("seq ahead: got %v, want ErrDenied", err)
	}
	if _, err := VerifyAnnouncement([]byte("{}"), "zerostate-test", testNow); !errors.Is(err, ErrInvalid) {
		t.Errorf("nothing in it: got %v, want ErrInvalid", err)
	}
	early, err := BuildAnnouncement(record, testSigner("node"), testNow.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := VerifyAnnouncement(early, "zerostate-test", testNow); !errors.Is(err, ErrDenied) {
		t.Errorf("time ahead: got %v, want ErrDenied", err)
	}
	if _, err := BuildAnnouncement(record, brokenSigner{testDID("node"), ErrUnavailable}, testNow); !errors.Is(err, ErrUnavailable) {
		t.Errorf("no key: got %v, want the signer's error", err)
	}
	if _, err := BuildAnnouncement(&CardRecord{}, testSigner("node"), testNow); !errors.Is(err, ErrInvalid) {
		t.Errorf("no record: got %v, want ErrInvalid", err)
	}
}
