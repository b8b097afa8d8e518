package main

import (
	"path"
	"strings"
)

// kind is a language: how its files are called and how it writes comments.
type kind struct {
	name       string
	files      string   // extensions with their dot and whole file names, by spaces
	line       []string // what starts a comment to the end of the line
	start, end string   // of a block comment
}

func kinds() []kind {
	slash, hash := []string{"//"}, []string{"#"}
	return []kind{
		{"Assembly", ".s .asm", []string{"#", ";", "//"}, "/*", "*/"},
		{"C", ".c .h", slash, "/*", "*/"},
		{"C#", ".cs", slash, "/*", "*/"},
		{"C++", ".cc .cpp .cxx .hpp .hh", slash, "/*", "*/"},
		{"CSS", ".css .scss", nil, "/*", "*/"},
		{"Dart", ".dart", slash, "/*", "*/"},
		{"Dockerfile", "dockerfile", hash, "", ""},
		{"Elixir", ".ex .exs", hash, "", ""},
		{"Go", ".go", slash, "/*", "*/"},
		{"HCL", ".hcl .tf", []string{"#", "//"}, "/*", "*/"},
		{"HTML", ".html .htm", nil, "<!--", "-->"},
		{"Haskell", ".hs", []string{"--"}, "{-", "-}"},
		{"JSON", ".json", nil, "", ""},
		{"Java", ".java", slash, "/*", "*/"},
		{"JavaScript", ".js .mjs .cjs .jsx", slash, "/*", "*/"},
		{"Kotlin", ".kt .kts", slash, "/*", "*/"},
		{"Lua", ".lua", []string{"--"}, "--[[", "]]"},
		{"Makefile", "makefile .mk", hash, "", ""},
		{"Markdown", ".md .markdown", nil, "<!--", "-->"},
		{"PHP", ".php", []string{"//", "#"}, "/*", "*/"},
		{"Perl", ".pl .pm", hash, "", ""},
		{"Protocol Buffers", ".proto", slash, "/*", "*/"},
		{"Python", ".py", hash, "", ""},
		{"R", ".r", hash, "", ""},
		{"Ruby", ".rb rakefile gemfile", hash, "", ""},
		{"Rust", ".rs", slash, "/*", "*/"},
		{"SQL", ".sql", []string{"--"}, "/*", "*/"},
		{"Scala", ".scala", slash, "/*", "*/"},
		{"Shell", ".sh .bash .zsh", hash, "", ""},
		{"Swift", ".swift", slash, "/*", "*/"},
		{"TOML", ".toml", hash, "", ""},
		{"TypeScript", ".ts .tsx .mts", slash, "/*", "*/"},
		{"WebAssembly text", ".wat", []string{";;"}, "(;", ";)"},
		{"XML", ".xml .svg", nil, "<!--", "-->"},
		{"YAML", ".yaml .yml", hash, "", ""},
		{"Zig", ".zig", slash, "", ""},
	}
}

// kindOf tells the language by the file's name, nil for one that is not known.
func kindOf(name string) *kind {
	base := strings.ToLower(path.Base(name))
	ext := path.Ext(base)
	for _, k := range kinds() {
		for f := range strings.FieldsSeq(k.files) {
			if f == base || f == ext {
				return &k
			}
		}
	}
	return nil
}
