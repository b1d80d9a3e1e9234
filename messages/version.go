package messages

import (
	"strings"

	"golang.org/x/mod/semver"
)

// IsVersion tells whether a text is a version, of a definition or an activity: a semantic version in full, such as 1.0.0, which has
// three numbers.
func IsVersion(text string) bool {
	v := "v" + text // as the package writes them; it also takes fewer numbers, and completes them in the canonical form
	return strings.TrimSuffix(v, semver.Build(v)) == semver.Canonical(v)
}

// IsRelease tells whether a version is no pre-release, such as 1.0.0-rc.1.
func IsRelease(version string) bool { return semver.Prerelease("v"+version) == "" }

// CompareVersions tells whether a version is before another one (negative), behind it (positive), or not to be told from it by
// precedence (0), as versions are that differ in nothing but what stands after a plus.
func CompareVersions(a, b string) int { return semver.Compare("v"+a, "v"+b) }
