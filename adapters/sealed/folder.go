package sealed

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Folder is a folder with the secrets of definitions: NAMESPACE/NAME has a text, NAMESPACE/NAME.json what JSON says. Empty: there is none.
type Folder string

// Validate says if the folder is none.
func (f Folder) Validate() error {
	if f == "" {
		return nil
	}
	if info, err := os.Stat(string(f)); err != nil || !info.IsDir() {
		return fmt.Errorf("secrets %q is no folder", string(f))
	}
	return nil
}

// maxSecret is the longest secret, in bytes.
const maxSecret = 256 << 10

// plainName is what a namespace or a secret may be called: nothing that leads out of the folder.
var plainName = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9_.-]*$`)

// read returns a secret: text, without a line break at its end, or what JSON says. It is read each time, so that it can be changed.
func (f Folder) read(namespace, name string) (any, error) {
	refuse := func(why string) error {
		return forbidden("the secret %s of the namespace %s can't be used: %s", name, namespace, why)
	}
	switch {
	case f == "":
		return nil, refuse("the adapter was given no folder of secrets")
	case !plainName.MatchString(namespace) || !plainName.MatchString(name):
		return nil, refuse("its name can't be that of a file")
	}
	for _, suffix := range []string{"", ".json"} {
		text, err := readSome(filepath.Join(string(f), namespace, name+suffix))
		switch {
		case errors.Is(err, os.ErrNotExist):
			continue
		case err != nil:
			return nil, refuse("it can't be read")
		case suffix == "":
			return strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), nil
		}
		var v any
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if d.Decode(&v) != nil {
			return nil, refuse("it is no JSON")
		}
		return v, nil
	}
	return nil, refuse("there is none")
}

// readSome reads a file that is not too long.
func readSome(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was read only
	text, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err == nil && len(text) > maxSecret {
		err = fmt.Errorf("it has more than %d bytes", maxSecret)
	}
	return text, err
}
