package main

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// These are the elements of what JUnit writes, as far as builds read it.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		File    string        `xml:"file,attr"`
		Line    int           `xml:"line,attr,omitempty"`
		Time    string        `xml:"time,attr"`
		Failure *junitProblem `xml:"failure"`
		Error   *junitProblem `xml:"error"`
	}
	junitProblem struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// writeJUnit writes what came of all cases. A file that is wrong counts as a case with an error.
func (r *rehearse) writeJUnit() error {
	var all junitSuites
	for _, s := range r.suites {
		suite := r.junitSuite(s)
		if suite.Tests == 0 {
			continue
		}
		all.Tests += suite.Tests
		all.Failures += suite.Failures
		all.Errors += suite.Errors
		all.Suites = append(all.Suites, suite)
	}
	text, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", r.junit, err)
	}
	f, err := os.Create(r.junit)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s%s\n", xml.Header, text)
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", r.junit, err)
	}
	return nil
}

func (r *rehearse) junitSuite(s *suite) junitSuite {
	suite := junitSuite{Name: cmp.Or(s.file, s.definition)}
	var sum time.Duration
	for _, c := range s.results {
		sum += c.lasted
		out := junitCase{
			Class: s.of.def.Ref.String(), Name: c.Case.Name, File: s.file, Line: c.Case.Line, Time: seconds(c.lasted),
		}
		if !c.Passed() {
			suite.Failures++
			out.Failure = &junitProblem{c.Failures[0].What, strings.Join(r.report(s, c.Result), "\n")}
		}
		suite.Cases = append(suite.Cases, out)
	}
	if len(s.wrong) > 0 {
		suite.Errors++
		suite.Cases = append(suite.Cases, junitCase{
			Class: suite.Name, Name: "can be read", File: suite.Name, Time: seconds(0),
			Error: &junitProblem{s.wrong[0], strings.Join(s.wrong, "\n")},
		})
	}
	suite.Tests, suite.Time = len(suite.Cases), seconds(sum)
	return suite
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 6, 64) }
