package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	_ "image/gif"  // decodes what --input may be
	_ "image/jpeg" // decodes what --input may be
	_ "image/png"  // decodes what --input may be
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// job is one task of the tour: a sentence, the inputs, and what the output must be.
type job struct {
	agent  string // whose words the sentence is meant to meet; also the manifest's name
	query  string
	inputs map[string]source
	main   string                           // the input that is shown
	check  func(input, output []byte) error // of the first output file
	after  string                           // the agent whose first output is the main input, empty for none
}

// source is an input of a job: a file, or bytes with a name for people.
type source struct {
	path string // of the file, or what to call data
	data []byte // nil: the file's, read when the job runs
}

// read returns the content now.
func (s source) read() ([]byte, error) {
	if s.data != nil {
		return s.data, nil
	}
	return os.ReadFile(s.path)
}

// Sentences of the tour, by agent.
var sentences = map[string]string{
	"markdown": "turn this document into a web page", "wordcount": "count the words in this text", "csvstats": "compute statistics of this CSV table",
	"jq": "run a jq query on this JSON", "tojson": "convert this YAML to JSON", "qrcode": "make a QR code of this link",
	"checksum": "compute the sha256 checksum of this file", "thumbnail": "make a thumbnail of this picture",
	"archive": "list the files in this archive", "langstats": "which programming languages is this source tree written in",
	"minify": "compress this HTML for the web",
}

// Samples for a demo that runs outside of the repository.
const (
	sampleMarkdown = "# A sample\n\nThis document was turned into a *web page* by an agent that was hired for it.\n\n- found by meaning\n- paid by the byte\n"
	sampleYAML     = "node:\n  name: sample\n  roles: [edge, relay]\n  region: local\n"
	sampleJSON     = `{"title": "a sample", "items": [{"name": "one", "size": 1}, {"name": "two", "size": 2}]}`
	sampleCSV      = "file,bytes\nREADME.md,5120\nmain.go,812\ngo.mod,9000\n"
	projectLink    = "https://github.com/zerostate/zerostate\n"
)

// repoFile is a file of the repository that the binary was built in, or a sample.
func repoFile(root, name, sample string) source {
	path := filepath.Join(root, name)
	if root != "" {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return source{path: path}
		}
	}
	return source{path: "sample " + filepath.Base(name), data: []byte(sample)}
}

// repoRoot is the directory above the binary's, where that is this repository.
func repoRoot(exe string) string {
	root := filepath.Dir(filepath.Dir(exe))
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		return ""
	}
	return root
}

// tour is what the demo hires for: files of the repository, and the user's own.
func tour(root, input string) ([]job, error) {
	one := func(agent, name string, s source, check func(in, out []byte) error) job {
		return job{agent: agent, query: sentences[agent], inputs: map[string]source{name: s}, main: name, check: check}
	}
	table, err := inventory(root)
	if err != nil {
		return nil, err
	}
	tree, err := tarball(root, "core")
	if err != nil {
		return nil, err
	}
	jobs := []job{
		one("markdown", "doc", repoFile(root, "README.md", sampleMarkdown), isHTML),
		one("wordcount", "text", repoFile(root, "LICENSE", sampleMarkdown), isJSON),
		one("checksum", "file", repoFile(root, "go.mod", sampleYAML), hasChecksum),
		one("csvstats", "data", table, isJSON),
		one("tojson", "doc", repoFile(root, "configs/ci-mock.yaml", sampleYAML), isJSON),
		{
			agent: "jq", query: sentences["jq"], main: "data", check: isJSON,
			inputs: map[string]source{
				"data":  repoFile(root, "core/schema/task.schema.json", sampleJSON),
				"query": {path: "keys", data: []byte("keys")},
			},
		},
		one("qrcode", "text", source{path: "the project's link", data: []byte(projectLink)}, isPNG),
		{
			agent: "thumbnail", query: sentences["thumbnail"], main: "image", check: isPNG, after: "qrcode", inputs: map[string]source{},
		},
		one("langstats", "archive", tree, isJSON),
	}
	if input != "" {
		own, err := jobFor(input)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, own)
	}
	return jobs, nil
}

// inventory is a table of the repository's files: name, kind, bytes and lines.
func inventory(root string) (source, error) {
	if root == "" {
		return source{path: "sample.csv", data: []byte(sampleCSV)}, nil
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	rows := [][]string{{"file", "kind", "bytes", "lines"}}
	for _, dir := range []string{"core", "host", "docs", "configs"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return skipMissing(err)
			}
			data, err := os.ReadFile(path) //nolint:gosec // a file of the repository
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(root, path)
			rows = append(rows, []string{rel, strings.TrimPrefix(filepath.Ext(path), "."), strconv.Itoa(len(data)), strconv.Itoa(bytes.Count(data, []byte("\n")))})
			return err
		})
		if err != nil {
			return source{}, fmt.Errorf("list the repository: %w", err)
		}
	}
	err := w.WriteAll(rows)
	return source{path: "repository-files.csv", data: b.Bytes()}, err
}

func skipMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// tarball packs the Go files of a directory of the repository.
func tarball(root, dir string) (source, error) {
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	tw := tar.NewWriter(zw)
	add := func(name string, data []byte) error {
		if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
			return err
		}
		_, err := tw.Write(data)
		return err
	}
	name := "sample.tar.gz"
	if root == "" {
		if err := add("main.go", []byte("package main\n\nfunc main() {}\n")); err != nil {
			return source{}, err
		}
	} else {
		name = dir + ".tar.gz"
		files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		if err != nil {
			return source{}, err
		}
		for _, f := range files {
			data, err := os.ReadFile(f) //nolint:gosec // a file of the repository
			if err != nil {
				return source{}, err
			}
			if err := add(dir+"/"+filepath.Base(f), data); err != nil {
				return source{}, err
			}
		}
	}
	err := errors.Join(tw.Close(), zw.Close())
	return source{path: name, data: b.Bytes()}, err
}

// jobFor hires for a file of the user's: by what its name says and its content
// confirms, else a checksum, which every file has.
func jobFor(path string) (job, error) {
	data, err := os.ReadFile(path) //nolint:gosec // the user names the file
	if err != nil {
		return job{}, notFound(err)
	}
	agent, name, check := matchAgent(path, data)
	j := job{agent: agent, query: sentences[agent], inputs: map[string]source{name: {path: path}}, main: name, check: check}
	if agent == "jq" {
		j.inputs["query"] = source{path: ".", data: []byte(".")}
	}
	return j, nil
}

// matchAgent says which agent takes a file, under which input name, and how its
// output is checked.
func matchAgent(path string, data []byte) (agent, name string, check func(in, out []byte) error) {
	const largest = 4 << 20 // of what is parsed; a checksum takes all
	ext := strings.ToLower(filepath.Ext(path))
	small := len(data) > 0 && len(data) <= largest
	switch {
	case !small:
	case (ext == ".md" || ext == ".markdown") && utf8.Valid(data):
		return "markdown", "doc", isHTML
	case ext == ".csv" && isTable(data):
		return "csvstats", "data", isJSON
	case ext == ".json" && json.Valid(data):
		return "jq", "data", isJSON
	case (ext == ".yaml" || ext == ".yml") && yaml.Unmarshal(data, new(any)) == nil:
		return "tojson", "doc", isJSON
	case (ext == ".png" || ext == ".jpg" || ext == ".jpeg" || ext == ".gif") && isImage(data):
		return "thumbnail", "image", isPNG
	case isArchive(data):
		return "archive", "archive", isJSON
	case (ext == ".txt" || ext == ".text" || ext == ".log" || ext == ".rst" || ext == ".go") && utf8.Valid(data):
		return "wordcount", "text", isJSON
	}
	return "checksum", "file", hasChecksum
}

func isTable(data []byte) bool {
	rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	return err == nil && len(rows) > 1
}

// isArchive says whether data is a zip or tar file, or a gzipped one, whatever its
// name.
func isArchive(data []byte) bool {
	if zr, err := gzip.NewReader(bytes.NewReader(data)); err == nil {
		_, err := tar.NewReader(zr).Next()
		return err == nil
	}
	if _, err := zip.NewReader(bytes.NewReader(data), int64(len(data))); err == nil {
		return true
	}
	_, err := tar.NewReader(bytes.NewReader(data)).Next()
	return err == nil
}

func isImage(data []byte) bool {
	_, _, err := image.DecodeConfig(bytes.NewReader(data))
	return err == nil
}

func isHTML(_, out []byte) error {
	if !bytes.Contains(bytes.ToLower(out), []byte("<html")) {
		return errors.New("the output is not a web page")
	}
	return nil
}

func isJSON(_, out []byte) error {
	if !json.Valid(out) {
		return errors.New("the output is not JSON")
	}
	return nil
}

func isPNG(_, out []byte) error {
	if !isImage(out) {
		return errors.New("the output is not a picture")
	}
	return nil
}

func hasChecksum(in, out []byte) error {
	sum := sha256.Sum256(in)
	if !bytes.Contains(out, []byte(hex.EncodeToString(sum[:]))) {
		return errors.New("the output does not hold the sha256 of the input")
	}
	return nil
}
