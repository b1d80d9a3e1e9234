package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// versionJSON describes the binary.
type versionJSON struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Tell the version of this binary",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := version()
			if a.output == outputJSON {
				return a.printJSON(v)
			}
			revision := v.Revision
			if v.Modified {
				revision += ", modified"
			}
			fmt.Fprintf(a.stdout, "holdfast %s (%s), %s, %s\n", v.Version, revision, v.Go, v.Platform)
			return nil
		},
	}
}

// version reads what the Go toolchain noted when it built the binary.
func version() versionJSON {
	v := versionJSON{
		Version: "unknown", Revision: "no revision", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version = info.Main.Version
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}
