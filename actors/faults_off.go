//go:build !faults

package actors

// inject is where tests of whole processes have something go wrong: see faults_on.go. In a release it is nothing.
func inject(string, string) {}
