package core

import (
	"slices"

	"github.com/zerostate/zerostate/core/internal/canon"
)

// MaxSpecBytes bounds a card.yaml.
const MaxSpecBytes = 64 << 10

// CardSpec is the card.yaml that an agent's owner writes.
type CardSpec struct {
	Name               string // required
	Description        string // required
	Version            string // default "1.0.0"
	Region             string // default: the node's
	DocumentationURL   string
	IconURL            string
	Provider           *AgentProvider
	DefaultInputModes  []string    // default application/octet-stream
	DefaultOutputModes []string    // default application/octet-stream
	Skills             []Skill     // at least one; `tags` of the card are added to each
	Offers             []OfferSpec // at most 8
}

// OfferSpec is one entry of `offers`.
type OfferSpec struct {
	Skill    string // id of one of the skills
	Manifest string // path of the task manifest, relative to the card.yaml
}

// ParseCardSpec reads a card.yaml (or the same in JSON) named name. Unknown keys
// and everything else that does not belong are ErrInvalid with file, line and
// column.
func ParseCardSpec(data []byte, name string) (*CardSpec, error) {
	root, err := canon.ParseYAML(data, name, MaxSpecBytes)
	if err != nil {
		return nil, err
	}
	s := &CardSpec{Version: "1.0.0"}
	var tags []string
	err = readMap(root, map[string]func(*canon.Node) error{
		"name":               text(&s.Name),
		"description":        text(&s.Description),
		"version":            text(&s.Version),
		"region":             text(&s.Region),
		"documentationUrl":   text(&s.DocumentationURL),
		"iconUrl":            text(&s.IconURL),
		"provider":           s.readProvider,
		"tags":               texts(&tags),
		"defaultInputModes":  texts(&s.DefaultInputModes),
		"defaultOutputModes": texts(&s.DefaultOutputModes),
		"skills":             each(s.readSkill),
		"offers":             each(s.readOffer),
	}, "name", "description", "skills")
	if err != nil {
		return nil, err
	}
	s.fill(tags)
	return s, s.checkOffers(root)
}

// fill sets the defaults.
func (s *CardSpec) fill(tags []string) {
	for _, modes := range []*[]string{&s.DefaultInputModes, &s.DefaultOutputModes} {
		if *modes == nil {
			*modes = []string{"application/octet-stream"}
		}
	}
	for i := range s.Skills {
		k := &s.Skills[i]
		for _, t := range tags {
			if !slices.Contains(k.Tags, t) {
				k.Tags = append(k.Tags, t)
			}
		}
		if k.Name == "" {
			k.Name = k.ID
		}
	}
}

func (s *CardSpec) checkOffers(root *canon.Node) error {
	known := map[string]bool{}
	for i, k := range s.Skills {
		n := root.Get("skills").Seq[i]
		switch {
		case known[k.ID]:
			return n.Errorf("skill %q stands twice", k.ID)
		case len(k.Tags) == 0:
			return n.Errorf("skill %q wants at least one tag", k.ID)
		}
		known[k.ID] = true
	}
	for i, o := range s.Offers {
		if !known[o.Skill] {
			return root.Get("offers").Seq[i].Errorf("no skill has the id %q", o.Skill)
		}
	}
	return nil
}

func (s *CardSpec) readProvider(n *canon.Node) error {
	s.Provider = &AgentProvider{}
	return readMap(n, map[string]func(*canon.Node) error{
		"organization": text(&s.Provider.Organization),
		"url":          text(&s.Provider.URL),
	}, "organization", "url")
}

func (s *CardSpec) readSkill(n *canon.Node) error {
	if len(s.Skills) == maxCardSkills {
		return n.Errorf("more than %d skills", maxCardSkills)
	}
	var k Skill
	err := readMap(n, map[string]func(*canon.Node) error{
		"id":          label(&k.ID),
		"name":        text(&k.Name),
		"description": text(&k.Description),
		"tags":        texts(&k.Tags),
		"examples":    texts(&k.Examples),
		"inputModes":  texts(&k.InputModes),
		"outputModes": texts(&k.OutputModes),
	}, "id", "description")
	s.Skills = append(s.Skills, k)
	return err
}

func (s *CardSpec) readOffer(n *canon.Node) error {
	if len(s.Offers) == maxCardOffers {
		return n.Errorf("more than %d offers", maxCardOffers)
	}
	var o OfferSpec
	err := readMap(n, map[string]func(*canon.Node) error{
		"skill":    text(&o.Skill),
		"manifest": text(&o.Manifest),
	}, "skill", "manifest")
	s.Offers = append(s.Offers, o)
	return err
}
