package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

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

// builtVersion and builtRevision are set by the linker ("make build"): what git calls the commit, and its hash. The Go
// toolchain notes them by itself only if it may ask git.
var builtVersion, builtRevision string

// version tells what this binary was built from.
func version() versionJSON {
	info, _ := debug.ReadBuildInfo()
	return versionOf(info, builtVersion, builtRevision)
}

// versionOf tells it from what the toolchain noted, and from what the linker was told.
func versionOf(info *debug.BuildInfo, linked, revision string) versionJSON {
	v := versionJSON{
		Version: linked, Revision: revision, Modified: strings.HasSuffix(linked, "-dirty"),
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	if info != nil {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Revision = s.Value
			case "vcs.modified":
				v.Modified = s.Value == "true"
			}
		}
		if v.Version == "" && info.Main.Version != "(devel)" {
			v.Version = info.Main.Version
		}
	}
	if v.Version == "" {
		v.Version = "development"
	}
	if v.Revision == "" {
		v.Revision = "of an unknown commit"
	}
	return v
}
