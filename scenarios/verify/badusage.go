package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// usage is a wrong use of the command line.
type usage struct {
	name  string
	args  []string
	input string
	exit  int
	says  string // part of what it must print on the standard error
}

var submitInput = []string{"order", "submit", "--definition", goodDefinition, "--input", "-"}

// misused are wrong uses of the command line: 2 is the status of wrong usage, 1 that of a refusal.
var misused = []usage{
	{"unknown command", []string{"dance"}, "", 2, "dance"},
	{"unknown flag", []string{"order", "list", "--dance"}, "", 2, "dance"},
	{"no command", []string{"order"}, "", 2, ""},
	{"no definition", []string{"order", "submit", "--input", "-"}, "{}", 2, "definition"},
	{"input is no JSON", submitInput, "{", 1, "input"},
	{"input in bad UTF-8", submitInput, "{\"count\":1,\"a\":\"\xff\"}", 1, "input"},
	{"input of the wrong type", submitInput, `{"count":"x"}`, 1, "count"},
	{"input file that is not", append(submitInput[:5:5], "/nowhere/at/all"), "", 1, "/nowhere/at/all"},
	{"unknown definition", []string{"order", "submit", "--definition", "verify/none:1.0.0"}, "", 1, "verify/none:1.0.0"},
	{"bad id", []string{"order", "get", "a b"}, "", 2, "id"},
	{"unknown order", []string{"order", "get", "nobody-knows-it"}, "", 1, "nobody-knows-it"},
	{"bad document", []string{"definition", "deploy", "-"}, "do: [", 1, "line"},
	{"output of an unknown form", []string{"order", "list", "-o", "xml"}, "", 2, "xml"},
	{"bad server", []string{"order", "list", "--server", "127.0.0.1:"}, "", 2, "server"},
	{"bad bench", []string{"bench", "--workload", "w9"}, "", 2, "w9"},
}

func badUsage() []badCase {
	var all []badCase
	for _, u := range misused {
		all = append(all, badCase{"command line: " + u.name, func(ctx context.Context, t *target) error {
			cmd := exec.CommandContext(ctx, t.holdfast, u.args...)
			cmd.Env = append(os.Environ(), "HOLDFAST_SERVER="+t.node.Server)
			cmd.Stdin = strings.NewReader(u.input)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			err := cmd.Run()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				return fmt.Errorf("run %s: %w", t.holdfast, err)
			}
			said := stderr.String()
			if got := cmd.ProcessState.ExitCode(); got != u.exit || !strings.Contains(said, u.says) || strings.Contains(said, "goroutine ") {
				return fmt.Errorf("%q exits with %d and says %q; %d and something about %q are expected",
					strings.Join(u.args, " "), got, lastBytes(stderr.Bytes()), u.exit, u.says)
			}
			return nil
		}})
	}
	return all
}
