//go:build race

package core

// raceSkips says which bits the tests that flip every bit leave out under the
// race detector, which makes them ten times slower: all but one in 64. `make
// test` runs these tests once more without it.
func raceSkips(i, bit int) bool { return i%8 != 0 || i/8%8 != bit }
