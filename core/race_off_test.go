//go:build !race

package core

// raceSkips says which bits the tests that flip every bit leave out under the
// race detector: none without it.
func raceSkips(_, _ int) bool { return false }
