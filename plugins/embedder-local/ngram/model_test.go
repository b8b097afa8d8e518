package ngram

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

func model(tb testing.TB, change func(*Config)) *Model {
	tb.Helper()
	cfg := DefaultConfig()
	if change != nil {
		change(&cfg)
	}
	m, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func embed(tb testing.TB, m *Model, text string, p Purpose) []float32 {
	tb.Helper()
	v, err := m.Embed(text, p)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

func cosine(a, b []float32) float64 {
	sum := 0.0
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

// agents are descriptions with a paraphrase of what each does, in words that
// people would use. The tables were not changed after they were measured here,
// but have the same author, so the figures flatter them.
var agents = []struct{ description, query string }{
	{"Markdown to HTML. Converts Markdown documents to HTML pages.", "turn this document into a web page"},
	{"jq queries. Runs a jq expression on JSON and prints the result.", "pull one field out of a json file"},
	{"CSV statistics. Mean, median, minimum and maximum of every column of a CSV table.", "what are the averages in my spreadsheet"},
	{"Thumbnails. Resizes PNG and JPEG images to a small thumbnail.", "make a small preview of this photo"},
	{"QR codes. Encodes text as a QR code image.", "create a barcode I can scan with my phone"},
	{"Minifier. Minifies CSS, JavaScript and HTML by removing white space and comments.", "make my stylesheet smaller"},
	{"Archive listing. Lists the entries of zip and tar archives with their sizes.", "what is inside this zip file"},
	{"Language statistics. Counts the lines of code per programming language in a source tree.", "which languages is this repository written in"},
	{"Word count. Counts lines, words and bytes of a text.", "how many words are in this essay"},
	{"SHA-256 digest. Computes checksums of files.", "fingerprint of a download to check its integrity"},
	{"Text summarizer. Writes a short summary of a long article.", "give me the gist of this report"},
	{"Translator. Translates text between English, German and French.", "say this in French please"},
	{"Sentiment analysis. Classifies reviews as positive or negative.", "are the customers happy with us, what is the mood"},
	{"Speech to text. Transcribes audio recordings.", "write down what was spoken in this recording"},
	{"Weather. Forecasts of temperature and rain for a city.", "will it rain tomorrow"},
	{"XML validator. Validates XML documents against a schema.", "check whether my xml is correct"},
	{"YAML to JSON. Converts YAML configuration to JSON.", "my config is yaml but I need json"},
	{"Diff. Shows the differences between two texts.", "what changed between these two versions"},
	{"Chart drawing. Draws line and bar charts as SVG.", "plot these values as a graph"},
	{"PDF text extraction. Extracts the text of PDF files.", "get the words out of a pdf"},
	{"Spell checker. Finds misspelled words in English text.", "are there typos in my letter"},
	{"Base64. Encodes and decodes base64 data.", "decode this base64 string"},
	{"Currency conversion. Converts amounts between currencies at daily exchange rates.", "how many dollars are fifty euros"},
	{"Log analysis. Finds errors and slow requests in web server logs.", "why did the server fail last night, look through the logs"},
	{"Deduplicator. Removes duplicate lines from a file.", "remove repeated rows"},
	{"Regex replace. Replaces all matches of a regular expression.", "substitute a pattern everywhere in the text"},
}

// retrieve returns the share of queries whose agent is first, and among five.
func retrieve(tb testing.TB, m *Model) (first, five float64) {
	tb.Helper()
	docs := make([][]float32, len(agents))
	for i, a := range agents {
		docs[i] = embed(tb, m, a.description, Document)
	}
	for want, a := range agents {
		q := embed(tb, m, a.query, Query)
		order := make([]int, len(docs))
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(a, b int) int { return cmp.Compare(cosine(q, docs[b]), cosine(q, docs[a])) })
		rank := slices.Index(order, want)
		if rank == 0 {
			first++
		} else {
			tb.Logf("rank %d for %q, first was %q", rank+1, a.query, agents[order[0]].description[:20])
		}
		if rank < 5 {
			five++
		}
	}
	n := float64(len(agents))
	return first / n, five / n
}

func TestRetrieval(t *testing.T) {
	for _, c := range []struct {
		dimensions  int
		first, five float64
	}{{384, 0.75, 0.9}, {1024, 0.8, 0.9}, {128, 0.55, 0.8}} {
		first, five := retrieve(t, model(t, func(cfg *Config) { cfg.Dimensions = c.dimensions }))
		t.Logf("%d dimensions: R@1 %.2f, R@5 %.2f", c.dimensions, first, five)
		if first < c.first || five < c.five {
			t.Errorf("%d dimensions: got R@1 %.2f, R@5 %.2f, want at least %.2f, %.2f", c.dimensions, first, five, c.first, c.five)
		}
	}
	first, five := retrieve(t, model(t, func(cfg *Config) { cfg.Concept = 0 }))
	t.Logf("without concepts: R@1 %.2f, R@5 %.2f", first, five)
}

func TestVectorsAreOfLengthOneAndRepeatable(t *testing.T) {
	m, again := model(t, nil), model(t, nil)
	for _, text := range []string{"", " \n", "!?", "a", "Markdown to HTML", "日本語のテキスト", strings.Repeat("long text ", 1000), "the the the of it"} {
		for _, p := range []Purpose{Document, Query} {
			v := embed(t, m, text, p)
			if n := cosine(v, v); math.Abs(n-1) > 1e-5 || len(v) != 384 {
				t.Errorf("%q: got length %v of %d dimensions", text, n, len(v))
			}
			if !slices.Equal(v, embed(t, again, text, p)) {
				t.Errorf("%q: another model of the same settings differs", text)
			}
		}
	}
}

func TestSpellingOfTheSameText(t *testing.T) {
	m := model(t, nil)
	a := embed(t, m, "Café résumé", Document)
	if b := embed(t, m, "CAFE\u0301 RE\u0301SUME\u0301", Document); cosine(a, b) < 0.9999 {
		t.Errorf("decomposed and in capitals: got %v, want the same vector", cosine(a, b))
	}
	close1 := cosine(embed(t, m, "resize thumbnails", Query), embed(t, m, "resizing a thumbnail", Document))
	far := cosine(embed(t, m, "resize thumbnails", Query), embed(t, m, "weather forecast", Document))
	if close1 < 0.5 || far > 0.25 {
		t.Errorf("got %v for forms of the same words, %v for others", close1, far)
	}
}

func TestDigestCoversEverySetting(t *testing.T) {
	seen := map[string]bool{}
	for _, change := range []func(*Config){
		nil,
		func(c *Config) { c.Dimensions = 512 },
		func(c *Config) { c.MinGram = 2 },
		func(c *Config) { c.MaxGram = 6 },
		func(c *Config) { c.Word = 2 },
		func(c *Config) { c.Gram = 2 },
		func(c *Config) { c.Concept = 2 },
	} {
		m := model(t, change)
		if d := m.Digest(); seen[d] || len(d) != 64 {
			t.Errorf("digest %s of %+v is not its own", d, m.cfg)
		} else {
			seen[d] = true
		}
	}
	if m := model(t, nil); m.ID() != "ngram-384" || m.Dimensions() != 384 {
		t.Errorf("got %s, %d", m.ID(), m.Dimensions())
	}
}

func TestBadArguments(t *testing.T) {
	for _, change := range []func(*Config){
		func(c *Config) { c.Dimensions = 63 },
		func(c *Config) { c.Dimensions = 4097 },
		func(c *Config) { c.MinGram = 0 },
		func(c *Config) { c.MaxGram = 2 },
		func(c *Config) { c.MaxGram = 9 },
		func(c *Config) { c.Word = -1 },
		func(c *Config) { c.Gram = math.NaN() },
		func(c *Config) { c.Concept = 11 },
		func(c *Config) { c.Word, c.Gram = 0, 0 },
	} {
		cfg := DefaultConfig()
		change(&cfg)
		if _, err := New(cfg); !errors.Is(err, ErrArgument) {
			t.Errorf("%+v: got %v, want ErrArgument", cfg, err)
		}
	}
	if _, err := model(t, nil).Embed("\xff", Query); !errors.Is(err, ErrArgument) {
		t.Errorf("got %v, want ErrArgument", err)
	}
}

func TestStem(t *testing.T) {
	for _, forms := range []string{
		"convert converts converting converted converter", "summarize summarizes summarizing summarization summarise",
		"image images", "resize resizes resizing resized", "query queries", "translate translating translation translator",
		"plan planned planning", "archive archives archived",
	} {
		fs := strings.Fields(forms)
		for _, f := range fs[1:] {
			if stem(f) != stem(fs[0]) {
				t.Errorf("%s: got %q, want %q as of %s", f, stem(f), stem(fs[0]), fs[0])
			}
		}
	}
	if got := words("Don't readFile: x²-Größe,日本"); !slices.Equal(got, []string{"dont", "read", "file", "x", "grösse", "日本"}) {
		t.Errorf("got %q", got)
	}
}

func BenchmarkEmbed(b *testing.B) {
	m := model(b, nil)
	for b.Loop() {
		embed(b, m, agents[2].description, Document)
	}
}
