//go:build !faults

package actors

// inject is where tests of whole processes have something go wrong: see faults_on.go. In a release it is nothing.
var inject func(point, name string) //nolint:gochecknoglobals // it is set by the build
