// Package ngram turns text into vectors without any trained model: features of
// the text, weighted by how rare they are, are hashed with a sign into a fixed
// number of dimensions (K. Weinberger et al., "Feature Hashing for Large Scale
// Multitask Learning", ICML 2009, arXiv 0902.2206). The cosine of two vectors
// is then an estimate of the cosine of their features.
//
// Start at [Model]. The features of a text are
//
//   - its words, lightly stemmed, and pairs of neighbouring words;
//   - the character 3- to 5-grams of each word, so that "thumbnail" meets
//     "thumbnails" and a misspelling still meets its word;
//   - the concepts of its words: concepts.txt groups words that people use for
//     the same thing, because no lexical feature joins "picture" and "image".
//
// The weight of a word or gram falls with the number of lines of corpus.txt it
// occurs in (inverse document frequency), and grows with the logarithm of its
// count. Everything is deterministic and in this directory; [Model.Digest]
// covers all of it, so two models with the same digest give the same vectors.
//
// It knows words, not meaning. An embedder around a trained model, which is
// another plugin, finds more where true paraphrase counts.
package ngram
