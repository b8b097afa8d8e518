package core

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

const testSpec = `# an agent
name: Markdown to HTML
description: Turns Markdown into web pages.
version: 1.10
region: eu-west
tags: [documents, web]
documentationUrl: https://example.org/docs
iconUrl: https://example.org/icon.png
provider: {organization: Example, url: "https://example.org"}
defaultInputModes: [text/markdown]
skills:
  - id: markdown-html
    description: One page from one document.
    tags: [markdown, web]
    examples: ["turn this document into a web page"]
    inputModes: [text/markdown]
    outputModes: [text/html]
  - {id: b, name: Bee, description: d}
offers:
  - {skill: markdown-html, manifest: task.yaml}
`

func TestParseCardSpec(t *testing.T) {
	got, err := ParseCardSpec([]byte(testSpec), "card.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := &CardSpec{
		Name: "Markdown to HTML", Description: "Turns Markdown into web pages.", Version: "1.10", Region: "eu-west",
		DocumentationURL: "https://example.org/docs", IconURL: "https://example.org/icon.png",
		Provider:          &AgentProvider{Organization: "Example", URL: "https://example.org"},
		DefaultInputModes: []string{"text/markdown"}, DefaultOutputModes: []string{"application/octet-stream"},
		Skills: []Skill{
			{
				ID: "markdown-html", Name: "markdown-html", Description: "One page from one document.",
				Tags: []string{"markdown", "web", "documents"}, Examples: []string{"turn this document into a web page"},
				InputModes: []string{"text/markdown"}, OutputModes: []string{"text/html"},
			},
			{ID: "b", Name: "Bee", Description: "d", Tags: []string{"documents", "web"}},
		},
		Offers: []OfferSpec{{Skill: "markdown-html", Manifest: "task.yaml"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if _, err := ParseCardSpec([]byte(`{"name":"a","description":"b","skills":[{"id":"a","description":"c","tags":["t"]}]}`), "card.json"); err != nil {
		t.Errorf("as JSON: %v", err)
	}
}

func TestParseCardSpecRefuses(t *testing.T) {
	many := func(line string, n int) string { return strings.Repeat(line, n) }
	cases := map[string]struct{ in, want string }{
		"list":              {"- a", "card.yaml:1:1: want a mapping, got a list"},
		"unknown key":       {"name: a\nskils: []", `card.yaml:2:1: unknown key "skils", want one of`},
		"no skills":         {"name: a\ndescription: b", `card.yaml:1:1: want the key "skills"`},
		"empty skills":      {"name: a\ndescription: b\nskills: []", "card.yaml:3:9: want a list that is not empty"},
		"empty name":        {"name:\ndescription: b", "card.yaml:1:6: want a text that is not empty"},
		"null name":         {"name: ~\ndescription: b", "card.yaml:1:7: want a text that is not empty"},
		"name is a list":    {"name: [a]", "card.yaml:1:7: want a text, got a list"},
		"long":              {"name: " + many("a", 2049), "card.yaml:1:7: longer than 2048 bytes"},
		"anchor":            {"name: &a b", "card.yaml:1:7: anchors are not allowed"},
		"id":                {"skills: [{id: A/b, description: x}]", "card.yaml:1:15: want 1 to 64 of a-z"},
		"id is a list":      {"skills: [{id: [], description: x}]", "card.yaml:1:15: want a text"},
		"skill without id":  {"skills: [{description: x}]", `card.yaml:1:10: want the key "id"`},
		"skill unknown key": {"skills: [{id: a, tag: x}]", `card.yaml:1:18: unknown key "tag"`},
		"no tags":           {"name: a\ndescription: b\nskills: [{id: a, description: c}]", `card.yaml:3:10: skill "a" wants at least one tag`},
		"skill twice":       {"name: a\ndescription: b\ntags: [t]\nskills: [{id: a, description: c}, {id: a, description: c}]", `card.yaml:4:35: skill "a" stands twice`},
		"offer of none":     {"name: a\ndescription: b\ntags: [t]\nskills: [{id: a, description: c}]\noffers: [{skill: b, manifest: m}]", `card.yaml:5:10: no skill has the id "b"`},
		"offer unknown key": {"offers: [{skil: b}]", `card.yaml:1:11: unknown key "skil"`},
		"provider":          {"provider: {url: x}", `card.yaml:1:11: want the key "organization"`},
		"17 tags":           {"tags: [" + many("a,", 17) + "]", "card.yaml:1:7: more than 16 entries"},
		"17 skills":         {"skills: [" + many("{id: a, description: b},", 17) + "]", "more than 16 skills"},
		"9 offers":          {"offers: [" + many("{skill: a, manifest: b},", 9) + "]", "more than 8 offers"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := ParseCardSpec([]byte(c.in), "card.yaml")
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want ErrInvalid with %q", err, c.want)
			}
		})
	}
}

func ExampleParseCardSpec() {
	_, err := ParseCardSpec([]byte("name: QR codes\ndescriptionn: Draws QR codes.\n"), "card.yaml")
	fmt.Println(strings.SplitN(err.Error(), ",", 2)[0])
	// Output: card.yaml:2:1: unknown key "descriptionn"
}
