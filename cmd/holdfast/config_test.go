package main

import (
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// probe is a command with one flag of each kind, that tells what they are set to.
type probe struct {
	list []string
	wait time.Duration
	n    int
	flag bool
	no   string
}

func configured(t *testing.T, config string, environ []string, args ...string) (*probe, error) {
	t.Helper()
	f := &fake{t: t}
	p := &probe{}
	a := &app{
		stderr: io.Discard, stdout: io.Discard, environ: func() []string { return environ }, terminal: noTerminal,
	}
	root := newRoot(a)
	cmd := &cobra.Command{Use: "probe", RunE: func(*cobra.Command, []string) error { return nil }}
	flags := cmd.Flags()
	flags.StringSliceVar(&p.list, "some-list", []string{"x"}, "")
	flags.DurationVar(&p.wait, "some-wait", time.Second, "")
	flags.IntVar(&p.n, "some-n", 1, "")
	flags.BoolVar(&p.flag, "some-flag", false, "")
	flags.StringVar(&p.no, "no-setting", "default", "")
	setting(flags, "some-list", "some-wait", "some-n", "some-flag")
	root.AddCommand(cmd)
	if config != "" {
		args = append(args, "--config", f.file("config.yaml", config))
	}
	root.SetArgs(append([]string{"probe"}, args...))
	return p, root.ExecuteContext(t.Context())
}

func TestSettingsPrecedence(t *testing.T) {
	t.Parallel()
	p, err := configured(t, "some_list: [a, b]\nsome_wait: 2m\nsome_n: 7\nsome_flag: true\nserver: [one, two]\n",
		[]string{"HOLDFAST_SOME_WAIT=3m", "HOLDFAST_SOME_N=8", "HOLDFAST_SOME_FLAG=", "HOLDFAST_NO_SETTING=x", "HOLDFAST_OTHER=x"},
		"--some-n", "9")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(p.list, ",") != "a,b" || p.wait != 3*time.Minute || p.n != 9 || !p.flag || p.no != "default" {
		t.Errorf("%+v", *p)
	}
	p, err = configured(t, "", []string{"HOLDFAST_SOME_LIST=a,b"})
	if err != nil || len(p.list) != 2 || p.list[1] != "b" || p.wait != time.Second {
		t.Errorf("%+v %v", *p, err)
	}
}

func TestSettingsMistakes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		config, environ, want string
	}{
		{"sever: x", "", `there is no setting "sever"; there are `},
		{"no_setting: x", "", `there is no setting "no_setting"`},
		{"some_n: [1]", "", "some_n: --some-n takes one value, not a list"},
		{"some_n: {a: 1}", "", "some_n: --some-n takes a value, not a section"},
		{"some_n:", "", "some_n: --some-n takes a value, not a section"},
		{"some_wait: 10", "", "config.yaml: some_wait: "},
		{"a: b: c", "", "config.yaml: "},
		{"", "HOLDFAST_SOME_N=x", "HOLDFAST_SOME_N: "},
		{"", "HOLDFAST_CONFIG=/nonexistent/file", "configuration file /nonexistent/file: "},
	} {
		_, err := configured(t, c.config, []string{c.environ})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	noted := func(version string, settings ...string) *debug.BuildInfo {
		info := &debug.BuildInfo{Main: debug.Module{Version: version}}
		for i := 0; i < len(settings); i += 2 {
			info.Settings = append(info.Settings, debug.BuildSetting{Key: settings[i], Value: settings[i+1]})
		}
		return info
	}
	for _, tt := range []struct {
		info                      *debug.BuildInfo
		linked, revision          string
		version, commit, modified string
	}{
		{nil, "", "", "development", "of an unknown commit", "false"},
		{noted("(devel)"), "", "", "development", "of an unknown commit", "false"},
		{noted("(devel)"), "v1.0.0-3-gabc123-dirty", "abc123def", "v1.0.0-3-gabc123-dirty", "abc123def", "true"},
		{noted("v0.0.0-2026-abc", "vcs.revision", "abc", "vcs.modified", "true"), "", "", "v0.0.0-2026-abc", "abc", "true"},
		{noted("v1.2.3"), "", "", "v1.2.3", "of an unknown commit", "false"},
	} {
		got := versionOf(tt.info, tt.linked, tt.revision)
		if got.Version != tt.version || got.Revision != tt.commit || fmt.Sprint(got.Modified) != tt.modified {
			t.Errorf("%+v: %+v", tt, got)
		}
	}
	f := &fake{t: t}
	if got := f.run("version"); got.status != 0 || !strings.HasPrefix(got.stdout, "holdfast ") {
		t.Errorf("%+v", got)
	}
	if got := f.run("version", "-o", "json"); got.status != 0 || !strings.HasPrefix(got.stdout, `{"version":"`) {
		t.Errorf("%+v", got)
	}
}
