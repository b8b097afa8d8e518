// Package core is the vocabulary of zerostate: the documents that nodes sign
// and exchange, the rules that hold between them as pure functions, one
// interface per kind of plugin, and the errors they all speak in. It does no
// I/O, opens no connection, and has no clock or randomness of its own.
//
// Read it in this order:
//
//   - errors.go: the closed list of sentinel errors.
//   - did.go, sign.go, time.go: who signs, with what, and when.
//   - document.go: how every signed document is parsed, encoded, signed and
//     verified. A document has one spelling, its RFC 8785 bytes; a reader refuses
//     every other. The mechanics lie in internal/canon.
//   - card.go, cardproof.go, record.go: what agents say of themselves. Built by
//     BuildCard and BuildRecord, checked by VerifyCard and VerifyRecord.
//   - manifest.go, resolve.go, receipt.go, price.go: what is to run, what ran,
//     and what it costs.
//   - guild.go, channel.go, channel_rules.go, dispute.go: who works together, and
//     how they pay.
//   - event.go, audit.go, checkpoint.go: what is remembered.
//   - kind.go and index.go, embedder.go, router.go, executor.go, payment.go,
//     reputation.go: what a plugin of each kind does.
//
// In a verifying function, ErrInvalid means that the bytes are not such a
// document at all, and ErrDenied that they are, but do not hold: a wrong
// signature, network or time.
package core
