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

// All mistakes of a node that is to be in a cluster are told at once, each in a line, by the names of the flags.
func TestMistakesOfANodeInACluster(t *testing.T) {
	t.Parallel()
	f := &fake{t: t}
	for _, c := range []struct {
		args, want []string
	}{
		{
			[]string{"--consul", "nope", "--consul-ttl", "1ms", "--stand", "1ms", "--cluster-listen", "0.0.0.0:99999", "--node-name", "a/b"},
			[]string{
				"--journal is missing", "--node-name is", "--cluster-allow, --cluster-ca, --cluster-cert, --cluster-key must be given", "--stand is 1ms",
				`--consul has "nope"`, `--advertise is "0.0.0.0:99999"`, "--consul-ttl is 1ms",
			},
		},
		{
			[]string{"--consul", "http://127.0.0.1:8500", "--journal", "host=/none", "--cluster-plaintext", "--cluster-listen", "192.0.2.1:7470"},
			[]string{"--cluster-plaintext is for loopback addresses only"},
		},
		{
			[]string{"--journal", "host=/none", "--journal-lanes", "90"}, []string{"--journal-lanes is 90: it must be from 1 to 6\n"},
		},
	} {
		got := f.run(append([]string{"node"}, c.args...)...)
		lines := strings.Split(strings.TrimSpace(got.stderr), "\n")
		for _, want := range c.want {
			if strings.Count(got.stderr, want) < 1 {
				t.Errorf("%v: %q is not told in\n%s", c.args, want, got.stderr)
			}
		}
		if got.status != exitUsage || len(lines) < len(c.want)+1 || strings.Contains(got.stderr, `\n`) {
			t.Errorf("%v: status %d\n%s", c.args, got.status, got.stderr)
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
