package main

import (
	"strings"
	"testing"
)

func TestSizes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "4194304": 4 << 20, "4MiB": 4 << 20, "4 MiB": 4 << 20, "4mib": 4 << 20, "1.5GiB": 3 << 29, "10MB": 10e6, "2kB": 2000,
		"7b": 7, "8388607TiB": 8388607 << 40, " 1KiB ": 1 << 10,
	} {
		if got, err := parseSize(text); got != want || err != nil {
			t.Errorf("%q is %d, %v, want %d", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "is no size: give", "x": "is no size: give", "-1": "is no size: give", "4 MiX": "such as 64MiB", "4M": "is no size", "1e9": "is no size",
		"0.3KiB": "no whole number of bytes", "8388608TiB": "is more than", "99999999999999999999": "is more than", "4  MiB": "is no size",
	} {
		if got, err := parseSize(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is %d, %v, want %q", text, got, err, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 1: "1", 1 << 10: "1KiB", 640 << 20: "640MiB", 1<<20 + 1: "1048577"} {
		if got := textSize(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}

// What can't be read of a flag is said in words, wherever it was given.
func TestValuesThatCantBeRead(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"node --queue 4MiX":                   `--queue "4MiX" is no size: give a number of bytes, or a number with a unit, such as 64MiB`,
		"node --queue -5":                     `--queue "-5" is no size`,
		"node --steps many":                   `--steps "many" is no whole number`,
		"node --steps 1e30":                   `--steps "1e30" is no whole number`,
		"node --steps 99999999999999999999":   `--steps 99999999999999999999 is too large or too small`,
		"node --client-rate fast":             `--client-rate "fast" is no number`,
		"node --idle 5":                       `--idle "5" is no duration: give a number with a unit, such as 500ms, 30s or 1h30m`,
		"node --loops -1":                     "setting --loops is -1, and must be positive",
		"node --max-depth -3":                 "--max-depth is -3, and must be from 0",
		"node --memtable 1KiB":                "--memtable is 1024: it must be from 1048576",
		"node --heartbeat 2h":                 "the --heartbeat is 2h0m0s, and must be from 1ms",
		"node --drain-timeout -1s":            "--drain-timeout -1s is negative",
		"node --idle -5s --long-wait -1h":     "--long-wait -1h0m0s is negative",
		"order watch x --reconnect -1m":       "--reconnect -1m0s is negative",
		"dev --child-grace -1s":               "--child-grace -1s is negative",
		"node --retry-pause 2000000h":         "--retry-pause 2000000h0m0s is longer than 87600h0m0s",
		"node --drain-timeout 87601h":         "--drain-timeout 87601h0m0s is longer than 87600h0m0s",
		"order watch x --reconnect 2000000h":  "--reconnect 2000000h0m0s is longer than",
		"node --profiles=perhaps":             `--profiles "perhaps" is neither true nor false`,
		"node --low-water -2":                 `--low-water "-2" is no size`,
		"order submit --priority high":        `--priority "high" is no whole number`,
		"adapter limit a.b --concurrency 1.5": `--concurrency "1.5" is no whole number`,
		"node --unknown":                      "unknown flag: --unknown",
	} {
		f := &fake{t: t}
		o := f.run(strings.Fields(args)...)
		if o.status != exitUsage || !strings.Contains(o.stderr, want) || strings.Contains(o.stderr, "strconv") {
			t.Errorf("%s: %+v\nwant %s", args, o, want)
		}
	}
	for config, want := range map[string]string{
		"queue: 4 MiX":       `config.yaml: queue: "4 MiX" is no size`,
		"steps: many":        `config.yaml: steps: "many" is no whole number`,
		"idle: 5":            `config.yaml: idle: "5" is no duration`,
		"stop_grace: [1, 2]": "stop_grace: --stop-grace takes one value, not a list",
	} {
		f := &fake{t: t}
		o := f.run("node", "--config", f.file("config.yaml", config))
		if o.status != exitUsage || !strings.Contains(o.stderr, want) {
			t.Errorf("%s: %+v\nwant %s", config, o, want)
		}
	}
	f := &fake{t: t, environ: []string{"HOLDFAST_QUEUE=x"}}
	if o := f.run("node"); o.status != exitUsage || !strings.Contains(o.stderr, `HOLDFAST_QUEUE: "x" is no size`) {
		t.Errorf("%+v", o)
	}
}
