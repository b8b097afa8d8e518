package core

import (
	"errors"
	"fmt"
	"strings"
)

// ManifestProblem is one thing wrong with a manifest, template or resolved
// manifest.
type ManifestProblem struct {
	Path      string // in dots: "spec.inputs[0].mount"
	Problem   string // what is wrong, and what was perhaps meant
	Line, Col int    // from 1; 0 where the text has no positions
	Kind      error  // ErrInvalid, ErrUnsupported or ErrDenied
}

// ManifestError is everything wrong with one manifest, in the order of the text.
// It is ErrInvalid where anything is; else ErrDenied, else ErrUnsupported. Its
// fields can also be had as FieldErrors by errors.As.
type ManifestError struct {
	Name     string // of the file; empty for a document that came over the wire
	Problems []ManifestProblem
}

// Error has one line for each problem: "name:line:col: path: problem".
func (e *ManifestError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = e.line(p)
	}
	return strings.Join(lines, "\n")
}

func (e *ManifestError) line(p ManifestProblem) string {
	text := p.Problem
	if p.Path != "" {
		text = p.Path + ": " + text
	}
	switch {
	case e.Name == "" && p.Line == 0:
		return text
	case p.Line == 0:
		return e.Name + ": " + text
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.Name, p.Line, p.Col, text)
}

// Unwrap returns the sentinel that the problems add up to.
func (e *ManifestError) Unwrap() error {
	kind := ErrUnsupported
	for _, p := range e.Problems {
		switch {
		case errors.Is(p.Kind, ErrInvalid):
			return ErrInvalid
		case errors.Is(p.Kind, ErrDenied):
			kind = ErrDenied
		}
	}
	return kind
}

// As fills a *FieldErrors, so that the problems cross the plugin boundary by
// field.
func (e *ManifestError) As(target any) bool {
	list, ok := target.(*FieldErrors)
	if !ok || !errors.Is(e.Unwrap(), ErrInvalid) {
		return false
	}
	*list = nil
	for _, p := range e.Problems {
		list.Add(p.Path, p.Problem)
	}
	return true
}

// problemsError is nil without problems.
func problemsError(name string, problems []ManifestProblem) error {
	if len(problems) == 0 {
		return nil
	}
	return &ManifestError{Name: name, Problems: problems}
}
