package access

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// Errors of edits.
var (
	ErrNoCaller = errors.New("the file has no such caller")
	ErrNoToken  = errors.New("the file has no such token")
)

// AddToken returns what a file says with a token more, which a caller has. A caller that is not there yet is added, with the roles given;
// without any, that is ErrNoCaller. Comments stay.
func AddToken(text []byte, caller string, t Token, roles ...RoleGrant) ([]byte, error) {
	return edited(text, func(callers *yaml.Node) error {
		for _, entry := range callers.Content {
			if name := valueOf(entry, "name"); name == nil || name.Value != caller {
				continue
			}
			list := valueOf(entry, "tokens")
			if list == nil {
				list = &yaml.Node{Kind: yaml.SequenceNode}
				entry.Content = append(entry.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "tokens"}, list)
			}
			return add(list, t)
		}
		if len(roles) == 0 {
			return fmt.Errorf("%w: %s", ErrNoCaller, caller)
		}
		return add(callers, Entry{Name: caller, Tokens: []Token{t}, Roles: roles})
	})
}

// RemoveToken returns what a file says without a token.
func RemoveToken(text []byte, id string) ([]byte, error) {
	return edited(text, func(callers *yaml.Node) error {
		for _, entry := range callers.Content {
			list := valueOf(entry, "tokens")
			if list == nil {
				continue
			}
			for i, t := range list.Content {
				if has := valueOf(t, "id"); has != nil && has.Value == id {
					list.Content = append(list.Content[:i], list.Content[i+1:]...)
					return nil
				}
			}
		}
		return fmt.Errorf("%w: %s", ErrNoToken, id)
	})
}

// edited edits the callers of a file. What comes of it is a good file.
func edited(text []byte, edit func(callers *yaml.Node) error) ([]byte, error) {
	if _, err := Parse(text); err != nil {
		return nil, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err //nolint:wrapcheck // the caller names the file
	}
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		doc = yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{{Kind: yaml.MappingNode}}}
	}
	callers := valueOf(doc.Content[0], "callers")
	if callers == nil || callers.Kind != yaml.SequenceNode {
		callers = &yaml.Node{Kind: yaml.SequenceNode}
		doc.Content[0].Content = append(without(doc.Content[0].Content, "callers"), &yaml.Node{Kind: yaml.ScalarNode, Value: "callers"}, callers)
	}
	if err := edit(callers); err != nil {
		return nil, err
	}
	callers.Style &^= yaml.FlowStyle
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(&doc); err != nil {
		return nil, fmt.Errorf("write the callers: %w", err)
	}
	_, err := Parse(out.Bytes())
	return out.Bytes(), err
}

// valueOf is the value of a key of a mapping; nil: it has none.
func valueOf(mapping *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content) && mapping.Kind == yaml.MappingNode; i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

// without are the keys and values of a mapping without those of a key.
func without(content []*yaml.Node, key string) []*yaml.Node {
	var out []*yaml.Node
	for i := 0; i+1 < len(content); i += 2 {
		if content[i].Value != key {
			out = append(out, content[i], content[i+1])
		}
	}
	return out
}

func add(list *yaml.Node, value any) error {
	var n yaml.Node
	if err := n.Encode(value); err != nil {
		return fmt.Errorf("write a caller: %w", err)
	}
	if len(list.Content) == 0 {
		list.Kind, list.Tag, list.Value = yaml.SequenceNode, "", ""
	}
	list.Content = append(list.Content, &n)
	return nil
}

// Edit has a file say something else, whole or not at all. A file that is not there is made, for its owner's eyes alone.
func Edit(name string, edit func(text []byte) ([]byte, error)) error {
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target
	}
	mode := os.FileMode(0o600)
	before, err := os.ReadFile(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return fmt.Errorf("access: %w", err)
	default:
		info, err := os.Stat(name)
		if err != nil {
			return fmt.Errorf("access: %w", err)
		}
		mode = info.Mode().Perm()
	}
	after, err := edit(before)
	if err != nil {
		return fmt.Errorf("access: %s: %w", name, err)
	}
	return replace(name, before, after, mode)
}

// replace puts another file in the place of one, unless that has changed meanwhile.
func replace(name string, before, after []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".access-*")
	if err != nil {
		return fmt.Errorf("access: %w", err)
	}
	defer os.Remove(f.Name()) //nolint:errcheck // it is in its place then
	_, err = f.Write(after)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("access: %w", err)
	}
	if now, err := os.ReadFile(name); err != nil && !errors.Is(err, os.ErrNotExist) || !bytes.Equal(now, before) {
		return fmt.Errorf("access: %s has changed meanwhile: try again", name)
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return fmt.Errorf("access: %w", err)
	}
	return nil
}
