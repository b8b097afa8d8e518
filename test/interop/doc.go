// Package interop holds our signed documents against other people's software:
// agent cards against a2a-go's types, receipts against the DSSE library and
// in-toto's Statement. It is a module of its own, so that nothing of what it
// tests against becomes a dependency of zerostate. It has tests only; start
// with card_test.go.
package interop
