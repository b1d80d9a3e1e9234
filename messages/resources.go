package messages

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"
)

// resourcesBegin ends a document of a definition, and begins the resources that it refers to: a JSON object by their addresses.
const resourcesBegin = "\n--- # resources\n"

// resource is a document elsewhere, as it was when the definition was deployed.
type resource struct {
	SHA256  string `json:"sha256"`
	Content string `json:"content"`
	// Bytes are the content if it is no text.
	Bytes []byte `json:"bytes,omitempty"`
}

func (r resource) content() []byte {
	if len(r.Bytes) > 0 {
		return r.Bytes
	}
	return []byte(r.Content)
}

// WithResources adds resources to a document of a definition, by their addresses, to those that it has.
func WithResources(document []byte, added map[string][]byte) ([]byte, error) {
	document, had, err := SplitResources(document)
	if err != nil {
		return nil, err
	}
	all := maps.Clone(added)
	for address, content := range had {
		if all[address] == nil {
			all[address] = content
		}
	}
	if len(all) == 0 {
		return document, nil
	}
	object := make(map[string]resource, len(all))
	for address, content := range all {
		hash := sha256.Sum256(content)
		r := resource{SHA256: hex.EncodeToString(hash[:]), Content: string(content)}
		if !utf8.Valid(content) {
			r.Content, r.Bytes = "", content
		}
		object[address] = r
	}
	text, err := json.MarshalIndent(object, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode resources: %w", err)
	}
	return slices.Concat(document, []byte(resourcesBegin), text, []byte("\n")), nil
}

// SplitResources separates a document of a definition from the resources behind it. An error says what is wrong with these.
func SplitResources(whole []byte) (document []byte, resources map[string][]byte, err error) {
	at := bytes.LastIndex(whole, []byte(resourcesBegin))
	if at < 0 {
		return whole, nil, nil
	}
	var object map[string]resource
	if json.Unmarshal(whole[at+len(resourcesBegin):], &object) != nil {
		return nil, nil, errors.New("the resources behind the document are not as they were written: deploy it without them")
	}
	resources = make(map[string][]byte, len(object))
	for address, r := range object {
		if hash := sha256.Sum256(r.content()); hex.EncodeToString(hash[:]) != r.SHA256 {
			return nil, nil, fmt.Errorf("the resource %s is not what its hash says: deploy the document without it", address)
		}
		resources[address] = r.content()
	}
	return whole[:at], resources, nil
}
