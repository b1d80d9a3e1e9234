package main

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/holdfast-run/holdfast/actors"
)

const (
	envPrefix = "HOLDFAST_"
	// settingMark is the annotation of flags that may come from the environment or the configuration file.
	settingMark = "holdfast_setting"
)

// configSections are the keys of the configuration file that no flag has.
var configSections = []string{adaptersKey} //nolint:gochecknoglobals // a constant

// setting lets flags come from the environment and the configuration file too: --stop-grace is HOLDFAST_STOP_GRACE
// in the one, and stop_grace in the other.
func setting(flags *pflag.FlagSet, names ...string) {
	for _, name := range names {
		flag := flags.Lookup(name)
		if flag == nil {
			panic(fmt.Errorf("setting %s is not a flag", name))
		}
		if flag.Annotations == nil {
			flag.Annotations = map[string][]string{}
		}
		flag.Annotations[settingMark] = []string{"true"}
		flag.Usage += " [env]"
	}
}

func isSetting(f *pflag.Flag) bool { return len(f.Annotations[settingMark]) > 0 }

func settingKey(f *pflag.Flag) string { return strings.ReplaceAll(f.Name, "-", "_") }

// configure gives the flags of cmd that were not given the values that the environment or the configuration file have for
// them, and checks those that all commands share.
func (a *app) configure(cmd *cobra.Command) error {
	environment := koanf.New(".")
	if err := environment.Load(env.Provider("", env.Opt{
		Prefix: envPrefix, EnvironFunc: a.environ,
		TransformFunc: func(name, value string) (string, any) {
			if value == "" {
				return "", nil // the same as unset
			}
			return strings.ToLower(strings.TrimPrefix(name, envPrefix)), value
		},
	}), nil); err != nil {
		return fmt.Errorf("read environment: %w", err)
	}
	a.environment = environment
	if a.configFile == "" {
		a.configFile = environment.String("config")
	}
	a.config = koanf.New(".")
	if a.configFile != "" {
		if err := a.config.Load(file.Provider(a.configFile), yaml.Parser()); err != nil {
			return usagef("configuration file %s: %w", a.configFile, err)
		}
		if err := a.checkKeys(cmd.Root()); err != nil {
			return err
		}
	}
	var errs []error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed || !isSetting(f) {
			return
		}
		key := settingKey(f)
		if environment.Exists(key) {
			if err := setFlag(cmd.Flags(), f, environment.Get(key)); err != nil {
				errs = append(errs, fmt.Errorf("%s%s: %w", envPrefix, strings.ToUpper(key), err))
			}
		} else if a.config.Exists(key) {
			if err := setFlag(cmd.Flags(), f, a.config.Get(key)); err != nil {
				errs = append(errs, fmt.Errorf("%s: %s: %w", a.configFile, key, err))
			}
		}
	})
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		switch d, err := time.ParseDuration(f.Value.String()); {
		case f.Value.Type() != "duration" || err != nil:
		case d < 0:
			errs = append(errs, fmt.Errorf("--%s %v is negative", f.Name, d))
		case d > actors.Longest:
			errs = append(errs, fmt.Errorf("--%s %v is longer than %v", f.Name, d, actors.Longest))
		}
	})
	if a.output != outputTable && a.output != outputJSON {
		errs = append(errs, fmt.Errorf("--output is %q, and must be table or json", a.output))
	}
	if a.logFormat != "text" && a.logFormat != outputJSON {
		errs = append(errs, fmt.Errorf("--log-format is %q, and must be text or json", a.logFormat))
	}
	if err := new(slog.Level).UnmarshalText([]byte(a.logLevel)); err != nil {
		errs = append(errs, fmt.Errorf("--log-level is %q, and must be debug, info, warn or error", a.logLevel))
	}
	if err := errors.Join(errs...); err != nil {
		return usageError{err}
	}
	return nil
}

// given tells whether the environment or the configuration file have a setting, which may be that of another command.
func (a *app) given(key string) bool { return a.environment.Exists(key) || a.config.Exists(key) }

// setFlag sets a flag to a value of the environment or the configuration file.
func setFlag(flags *pflag.FlagSet, f *pflag.Flag, value any) error {
	if list, isList := value.([]any); isList {
		texts := make([]string, len(list))
		for i, v := range list {
			texts[i] = fmt.Sprint(v)
		}
		slice, takesList := f.Value.(pflag.SliceValue)
		if !takesList {
			return fmt.Errorf("--%s takes one value, not a list", f.Name)
		}
		f.Changed = true
		return slice.Replace(texts) //nolint:wrapcheck // it names the value
	}
	if _, isMap := value.(map[string]any); isMap || value == nil {
		return fmt.Errorf("--%s takes a value, not a section", f.Name)
	}
	text := fmt.Sprint(value)
	if err := flags.Set(f.Name, text); err != nil {
		return errors.New(whyInvalid(f, text, errors.Unwrap(err))) //nolint:err113 // for people
	}
	return nil
}

// flagError says in words why a flag can't be read.
func flagError(err error) error {
	invalid, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return err
	}
	return fmt.Errorf("--%s %s", invalid.GetFlag().Name, whyInvalid(invalid.GetFlag(), invalid.GetValue(), invalid.Unwrap()))
}

// whyInvalid says why a value can't be that of a flag.
func whyInvalid(f *pflag.Flag, text string, err error) string {
	kind := f.Value.Type()
	number, isNumber := errors.AsType[*strconv.NumError](err)
	switch {
	case kind == "duration":
		return fmt.Sprintf("%q is no duration: give a number with a unit, such as 500ms, 30s or 1h30m", text)
	case kind == "bool":
		return fmt.Sprintf("%q is neither true nor false", text)
	case isNumber && errors.Is(number, strconv.ErrRange):
		return text + " is too large or too small"
	case isNumber && strings.HasPrefix(kind, "float"):
		return fmt.Sprintf("%q is no number", text)
	case isNumber:
		return fmt.Sprintf("%q is no whole number", text)
	default:
		return err.Error()
	}
}

// checkKeys refuses keys of the configuration file that mean nothing to any command.
func (a *app) checkKeys(root *cobra.Command) error {
	known := map[string]bool{}
	for _, section := range configSections {
		known[section] = true
	}
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		for _, flags := range []*pflag.FlagSet{cmd.PersistentFlags(), cmd.LocalFlags()} {
			flags.VisitAll(func(f *pflag.Flag) {
				if isSetting(f) {
					known[settingKey(f)] = true
				}
			})
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(root)
	for _, key := range slices.Sorted(maps.Keys(a.config.Raw())) {
		if !known[key] {
			return usagef("configuration file %s: there is no setting %q; there are %s",
				a.configFile, key, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
	}
	return nil
}
