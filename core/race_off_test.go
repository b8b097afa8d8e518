//go:build !race

package core

// raceDetector says whether the tests run under the race detector.
const raceDetector = false
