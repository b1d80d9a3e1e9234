package main

import (
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/v2"
)

// devAdapter is an adapter process that dev runs.
type devAdapter struct {
	Name    string            `koanf:"-"`
	Command string            `koanf:"command"`
	Dir     string            `koanf:"dir"`
	Env     map[string]string `koanf:"env"`
	// Live is a URL that answers 200 while the adapter makes progress; empty: not asked.
	Live string `koanf:"live"`

	words []string // of the command
}

// adapterName is what an adapter may be called.
var adapterName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,63}$`)

// adaptersKey is the section of the configuration file that holds the adapters.
const adaptersKey = "adapters"

// devAdapters reads the adapters of the configuration file, and those given by flags, which replace the former.
func (a *app) devAdapters(flags []string) ([]devAdapter, error) {
	found := map[string]devAdapter{}
	if _, isMap := a.config.Get(adaptersKey).(map[string]any); a.config.Exists(adaptersKey) && !isMap {
		return nil, usagef("configuration file %s: %s is no section with a name for each adapter", a.configFile, adaptersKey)
	}
	for _, name := range a.config.MapKeys(adaptersKey) {
		adapter := devAdapter{Name: name}
		err := a.config.UnmarshalWithConf(adaptersKey+"."+name, &adapter, koanf.UnmarshalConf{
			DecoderConfig: &mapstructure.DecoderConfig{
				TagName: "koanf", ErrorUnused: true, WeaklyTypedInput: true, Result: &adapter,
			},
		})
		if err != nil {
			return nil, usagef("configuration file %s: adapters.%s: %w", a.configFile, name, err)
		}
		found[name] = adapter
	}
	given := map[string]bool{}
	for _, flag := range flags {
		name, command, ok := strings.Cut(flag, "=")
		if !ok {
			return nil, usagef("--adapter %q is not of the form NAME=COMMAND", flag)
		}
		if given[name] {
			return nil, usagef("--adapter %s is given twice: one process of each name", name)
		}
		given[name] = true
		found[name] = devAdapter{Name: name, Command: command}
	}
	var adapters []devAdapter
	for _, name := range slices.Sorted(maps.Keys(found)) {
		adapter := found[name]
		if err := adapter.check(); err != nil {
			return nil, usagef("adapter %q: %w", name, err)
		}
		adapters = append(adapters, adapter)
	}
	return adapters, nil
}

// check completes an adapter, or says what is wrong with it.
func (d *devAdapter) check() error {
	if !adapterName.MatchString(d.Name) || d.Name == devName || d.Name == nodeName {
		return fmt.Errorf("a name has 1 to 63 of the characters A-Z a-z 0-9 _ -, and is neither %s nor %s", devName, nodeName)
	}
	var err error
	if d.words, err = splitCommand(d.Command); err != nil {
		return fmt.Errorf("command %q: %w", d.Command, err)
	}
	if len(d.words) == 0 {
		return errors.New("the command is missing")
	}
	if d.Dir == "" { // else it may be there only
		if _, err := exec.LookPath(d.words[0]); err != nil {
			return fmt.Errorf("command: %w", err)
		}
	}
	return nil
}
