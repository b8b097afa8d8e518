//go:build !race

package hnsw

// raceDetector says whether the tests run under the race detector.
const raceDetector = false
