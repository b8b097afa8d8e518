package ngram

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// algorithm names this code in the digest: raise it with every change that
// changes a vector.
const algorithm = "zerostate-ngram-1"

var (
	//go:embed corpus.txt
	corpusText string
	//go:embed concepts.txt
	conceptsText string
)

// ErrArgument reports a setting out of range, or text that is not UTF-8.
var ErrArgument = errors.New("argument out of range")

// Config holds the settings of a model. Zero weights switch features off.
type Config struct {
	Dimensions int     // length of vectors, 64..4096
	MinGram    int     // shortest character gram, 1..MaxGram
	MaxGram    int     // longest, up to 8
	Word       float64 // weight of words, and half of it of pairs of words, 0..10
	Gram       float64 // weight of the grams of a word together, 0..10
	Concept    float64 // weight of concepts, 0..10
}

// DefaultConfig returns the settings that zerostate starts with.
func DefaultConfig() Config {
	return Config{Dimensions: 384, MinGram: 3, MaxGram: 5, Word: 1, Gram: 0.8, Concept: 1}
}

// Check reports the first setting out of range, as [ErrArgument].
func (c Config) Check() error {
	weight := func(w float64) bool { return w >= 0 && w <= 10 }
	switch {
	case c.Dimensions < 64 || c.Dimensions > 4096:
		return fmt.Errorf("dimensions %d not in 64..4096: %w", c.Dimensions, ErrArgument)
	case c.MinGram < 1 || c.MaxGram < c.MinGram || c.MaxGram > 8:
		return fmt.Errorf("grams of %d to %d characters not in 1..8: %w", c.MinGram, c.MaxGram, ErrArgument)
	case !weight(c.Word) || !weight(c.Gram) || !weight(c.Concept):
		return fmt.Errorf("weights %v, %v, %v not in 0..10: %w", c.Word, c.Gram, c.Concept, ErrArgument)
	case c.Word+c.Gram == 0:
		return fmt.Errorf("words and grams are both off: %w", ErrArgument)
	}
	return nil
}

// Purpose says what a text is for.
type Purpose int

// The purposes. A query is short and every word of it was chosen, so its
// counts are not damped and its concepts weigh more.
const (
	Document Purpose = iota
	Query
)

// queryConcepts is how much more a query's concepts weigh than a document's.
const queryConcepts = 1.3

// hashes is how many dimensions a feature is added to: more spread a feature
// out, which evens out collisions.
const hashes = 3

// Model turns texts into vectors. It never changes and is safe for concurrent
// use.
type Model struct {
	cfg      Config
	digest   string
	lines    float64            // documents in the corpus
	common   map[string]float64 // words, stemmed, and grams -> lines they are in
	concepts map[string][]string
}

// New reads the tables of this package and returns a model.
func New(cfg Config) (*Model, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	m := &Model{cfg: cfg, common: map[string]float64{}, concepts: map[string][]string{}}
	for line := range tableLines(corpusText) {
		m.lines++
		seen := map[string]bool{}
		for _, w := range words(line) {
			seen["w:"+stem(w)] = true
			grams(w, cfg.MinGram, cfg.MaxGram, func(g string) { seen["g:"+g] = true })
		}
		for f := range seen {
			m.common[f]++
		}
	}
	for line := range tableLines(conceptsText) {
		entries := strings.Fields(line)
		for _, e := range entries {
			key := pairKey(strings.Split(e, "_"))
			if !slices.Contains(m.concepts[key], entries[0]) {
				m.concepts[key] = append(m.concepts[key], entries[0])
			}
		}
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%+v\n%d %v\n%q\n%q\n", algorithm, cfg, hashes, queryConcepts, corpusText, conceptsText))
	m.digest = hex.EncodeToString(sum[:])
	return m, nil
}

func tableLines(text string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(line)
			if line != "" && !strings.HasPrefix(line, "#") && !yield(line) {
				return
			}
		}
	}
}

// pairKey is the stem of one word, or of two that follow one another.
func pairKey(words []string) string {
	stems := make([]string, len(words))
	for i, w := range words {
		stems[i] = stem(w)
	}
	return strings.Join(stems, "_")
}

// ID names the model for people.
func (m *Model) ID() string { return fmt.Sprintf("ngram-%d", m.cfg.Dimensions) }

// Digest is the SHA-256, in hex, of the algorithm's name, the settings and the
// tables: everything that decides a vector.
func (m *Model) Digest() string { return m.digest }

// Dimensions is the length of vectors.
func (m *Model) Dimensions() int { return m.cfg.Dimensions }

// Embed returns the vector of text, of length one also for an empty text. Text
// that is not UTF-8 is [ErrArgument].
func (m *Model) Embed(text string, purpose Purpose) ([]float32, error) {
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("text is not valid UTF-8: %w", ErrArgument)
	}
	features := m.features(words(text), purpose)
	v := make([]float64, m.cfg.Dimensions)
	for _, f := range slices.Sorted(maps.Keys(features)) { // in order: a sum of floats depends on it
		m.spread(v, f, features[f])
	}
	norm := 0.0
	for _, x := range v {
		norm += x * x
	}
	if norm < 1e-18 { // nothing to go by: a direction of its own
		clear(v)
		v[0], norm = 1, 1
	}
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x / math.Sqrt(norm))
	}
	return out, nil
}

// spread adds a feature to its dimensions, each with its sign.
func (m *Model) spread(v []float64, feature string, weight float64) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(feature)) // a hash never fails
	z := h.Sum64()
	for range hashes {
		z += 0x9e3779b97f4a7c15 // SplitMix64, for independent bits from one hash
		x := (z ^ z>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		x ^= x >> 31
		sign := 1.0
		if x>>63 == 1 {
			sign = -1
		}
		v[x%uint64(len(v))] += sign * weight
	}
}

// features returns the weight of every feature of a text.
func (m *Model) features(ws []string, purpose Purpose) map[string]float64 {
	counts := map[string]float64{}
	for _, w := range ws {
		counts[w]++
	}
	out := map[string]float64{}
	for _, w := range slices.Sorted(maps.Keys(counts)) { // in order: a sum of floats depends on it
		n := counts[w]
		tf := n
		if purpose == Document {
			tf = 1 + math.Log(n)
		}
		idf := m.idf("w:" + stem(w))
		out["w:"+stem(w)] += m.cfg.Word * tf * idf
		m.addGrams(out, w, m.cfg.Gram*tf*idf)
	}
	m.addConcepts(out, ws, purpose)
	for i := range len(ws) - 1 {
		a, b := "w:"+stem(ws[i]), "w:"+stem(ws[i+1])
		out["p:"+a+" "+b] = 0.5 * m.cfg.Word * min(m.idf(a), m.idf(b))
	}
	return out
}

// addGrams shares weight among the grams of a word, the rarer the more.
func (m *Model) addGrams(out map[string]float64, word string, weight float64) {
	shares := map[string]float64{}
	norm := 0.0
	grams(word, m.cfg.MinGram, m.cfg.MaxGram, func(g string) {
		s := m.idf("g:" + g)
		shares["g:"+g] += s
		norm += s * s
	})
	for g, s := range shares {
		out[g] += weight * s / math.Sqrt(norm)
	}
}

// addConcepts gives each concept the weight of its rarest word in the text, so
// that ten words for the same thing do not drown the rest.
func (m *Model) addConcepts(out map[string]float64, ws []string, purpose Purpose) {
	weight := m.cfg.Concept
	if purpose == Query {
		weight *= queryConcepts
	}
	add := func(key string, idf float64) {
		for _, c := range m.concepts[key] {
			out["c:"+c] = max(out["c:"+c], weight*idf)
		}
	}
	for i, w := range ws {
		add(stem(w), m.idf("w:"+stem(w)))
		if i+1 < len(ws) {
			add(pairKey(ws[i:i+2]), 1)
		}
	}
}

// idf is 1 for a feature that the corpus does not know, and falls towards 0
// the more lines it is in.
func (m *Model) idf(feature string) float64 {
	return math.Log((m.lines+1)/(m.common[feature]+1)) / math.Log(m.lines+1)
}
