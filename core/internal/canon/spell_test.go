package canon

import (
	"errors"
	"strings"
	"testing"
)

// The example of the DSSE specification.
func TestPAE(t *testing.T) {
	got := string(PAE("http://example.com/HelloWorld", []byte("hello world")))
	if want := "DSSEv1 29 http://example.com/HelloWorld 11 hello world"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestBase64(t *testing.T) {
	if got, err := FromB64(B64([]byte{1, 2, 3, 4})); err != nil || string(got) != "\x01\x02\x03\x04" {
		t.Errorf("got %x, %v", got, err)
	}
	if got, err := FromB64URL(B64URL([]byte{0xfb, 0xff, 4, 5})); err != nil || string(got) != "\xfb\xff\x04\x05" {
		t.Errorf("got %x, %v", got, err)
	}
	for _, s := range []string{"AQIDBA", "AQIDBB==", "AQID\nBA==", "AQIDBA==\n", "AQ-_", "*"} {
		if _, err := FromB64(s); !errors.Is(err, ErrInvalid) {
			t.Errorf("padded %q: got %v, want ErrInvalid", s, err)
		}
	}
	for _, s := range []string{"AQIDBA==", "AQIDBB", "AQ\r\nIDBA", "AQ+/", "A"} {
		if _, err := FromB64URL(s); !errors.Is(err, ErrInvalid) {
			t.Errorf("unpadded %q: got %v, want ErrInvalid", s, err)
		}
	}
}

func TestHex64(t *testing.T) {
	good := SHA256Hex(nil)
	if good != "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" || CheckHex64(good) != nil {
		t.Errorf("got %s, %v", good, CheckHex64(good))
	}
	for _, s := range []string{"", good[1:], good + "0", strings.ToUpper(good), "g" + good[1:]} {
		if err := CheckHex64(s); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: got %v, want ErrInvalid", s, err)
		}
	}
}

func TestCID(t *testing.T) {
	// The CID of the empty raw block, as every IPFS implementation names it.
	const empty = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
	dag := "bafybeihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
	if got := CIDRaw(nil); got != empty {
		t.Errorf("got %s, want %s", got, empty)
	}
	if !CIDHas(empty, SHA256Hex(nil)) || CIDHas(empty, SHA256Hex([]byte("a"))) || CIDHas("b", SHA256Hex(nil)) {
		t.Error("CIDHas does not compare the digest")
	}
	if !IsRawCID(empty) || IsRawCID(dag) || IsRawCID("bafk") {
		t.Error("IsRawCID does not tell raw from dag-pb")
	}
	if err := CheckCID(dag); err != nil {
		t.Errorf("dag-pb: got %v, want no error", err)
	}
	for name, s := range map[string]string{
		"short":       empty[:58],
		"upper case":  strings.ToUpper(empty),
		"base58":      "zb2rhmy65F3REf8SZp7De11gxtECBGgUKaLdiDj7MCGCHxbDW",
		"not base32":  empty[:58] + "1",
		"other tail":  empty[:58] + "v",
		"other codec": "bafireihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
		"empty":       "",
	} {
		if err := CheckCID(s); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
}
