package core

import (
	"fmt"
	"reflect"

	"github.com/zerostate/zerostate/core/internal/canon"
)

// unsignedBytes returns the canonical bytes of doc without `signatures`. It
// works on a shallow copy, so that documents may be verified concurrently.
func unsignedBytes(doc Document) ([]byte, error) {
	if err := doc.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", doc.Type(), err)
	}
	value := reflect.ValueOf(doc).Elem()
	bare := reflect.New(value.Type())
	bare.Elem().Set(value)
	unsigned, ok := reflect.TypeAssert[Document](bare)
	if !ok {
		return nil, fmt.Errorf("%s: %w: not a document", doc.Type(), ErrInvalid)
	}
	*unsigned.sigs() = nil
	body, err := canon.Encode(unsigned)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doc.Type(), err)
	}
	return body, nil
}
