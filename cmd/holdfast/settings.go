package main

import (
	"cmp"
	"errors"
	"maps"
	"reflect"
	"regexp"
	"strings"

	"github.com/spf13/pflag"
)

// validate says what is wrong with a node's settings, by the names of their flags.
func (c *nodeConfig) validate(flags *pflag.FlagSet) error {
	memory := c.shareMemory()
	journal := c.Journal
	journal.Dir = journalIn(c.Data)
	return errors.Join(
		byFlags(c.Engine.WithDefaults().Validate(), flags, &c.Engine),
		byFlags(c.Gateway.Validate(), flags, &c.Gateway),
		byFlags(journal.Validate(), flags, &c.Journal),
		c.checkShared(flags),
		c.checkCluster(flags),
		memory,
		c.checkTLS(),
		c.checkAudit(flags),
	)
}

func (c *nodeConfig) checkShared(flags *pflag.FlagSet) error {
	if len(c.Shared.Shards) == 0 {
		return nil
	}
	return byFlags(c.Shared.Validate(), flags, &c.Shared)
}

// fieldNames are the names of fields in what is said of a configuration.
var fieldNames = regexp.MustCompile(`\b[A-Z]\w*(\.[A-Z]\w*)*\b`)

// byFlags has an error about fields of a configuration name the flags that set them. The configuration is a pointer to a struct.
func byFlags(err error, flags *pflag.FlagSet, config any) error {
	return byNames(err, flagNames(flags, config))
}

// byNames has an error about fields of a configuration name what sets them.
func byNames(err error, names map[string]string) error {
	if err == nil {
		return nil
	}
	return errors.New(fieldNames.ReplaceAllStringFunc(err.Error(), func(field string) string {
		return cmp.Or(names[field], field)
	}))
}

// flagNames returns by what flags the fields of a struct are set, and those of the structs in it. A field is known by its name, and by
// that with the names of the structs that it is in, as far as only one is known by it.
func flagNames(flags *pflag.FlagSet, config any) map[string]string {
	names := make(map[string]string)
	addFields(names, "", reflect.ValueOf(config).Elem(), flagsByAddress(flags))
	for full, flag := range maps.Clone(names) {
		for _, short, nested := strings.Cut(full, "."); nested; _, short, nested = strings.Cut(short, ".") {
			if other, taken := names[short]; taken && other != flag {
				flag = ""
			}
			names[short] = flag
		}
	}
	return names
}

// addFields adds the fields of a struct that flags set, and those of the structs in it.
func addFields(names map[string]string, prefix string, v reflect.Value, flags map[uintptr]string) {
	for i := range v.NumField() {
		name := prefix + v.Type().Field(i).Name
		if v.Field(i).Kind() == reflect.Struct {
			addFields(names, name+".", v.Field(i), flags)
		} else if flag := flags[v.Field(i).Addr().Pointer()]; flag != "" {
			names[name] = "--" + flag
		}
	}
}

// flagsByAddress returns the names of flags by what they set.
func flagsByAddress(flags *pflag.FlagSet) map[uintptr]string {
	names := make(map[uintptr]string)
	flags.VisitAll(func(f *pflag.Flag) {
		v := reflect.ValueOf(f.Value)
		switch {
		case v.Kind() == reflect.Struct: // a size, which points to what it sets
			v = v.Field(0)
		case v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct: // a list, which does so, too
			v = v.Elem().Field(0)
		}
		if v.Kind() == reflect.Pointer {
			names[v.Pointer()] = f.Name
		}
	})
	return names
}
