package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// rehearsed makes files in a folder, and a world in which there is no node.
func rehearsedIn(t *testing.T, files map[string]string) (f *fake, dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &fake{t: t}, dir
}

const (
	testedDefinition = `document: { dsl: '1.0.3', namespace: shop, name: order, version: '1.0.0' }
do:
- reserve: { call: stock.reserve }
- size:
    switch:
    - large: { when: .n > 10, then: large }
    - small: { then: small }
- small: { set: { size: small }, then: end }
- large: { run: { workflow: { namespace: shop, name: child, version: '1.0.0' } } }
`
	testedChild = "document: { dsl: '1.0.3', namespace: shop, name: child, version: '1.0.0' }\ndo: [ { rest: { wait: PT1H } } ]\n"
	testedCases = `stubs: [ { activity: stock.reserve, result: { n: 1 } } ]
cases:
- { name: small, expect: { output: { size: small } } }
- { name: wrong, expect: { output: { size: large } } }
- name: large
  stubs: [ { task: reserve, result: { n: 11 } } ]
  expect: { took: PT1H }
`
)

// The examples pass, and reach nearly all that there is.
func TestRehearsedExamples(t *testing.T) {
	t.Parallel()
	f := &fake{t: t}
	shop := filepath.Join(project, "scenarios", "shop")
	files, err := filepath.Glob(filepath.Join(shop, "*.yaml"))
	if err != nil || len(files) < 4 {
		t.Fatalf("%v: %v", files, err)
	}
	o := f.run(append([]string{"definition", "test", "--min-coverage", "95"}, files...)...)
	if o.status != 0 || o.stderr != "" || strings.Contains(o.stdout, "FAIL") || strings.Count(o.stdout, "PASS") < 10 {
		t.Errorf("%+v", o)
	}
	o = f.run("definition", "test", "--min-coverage", "100", filepath.Join(project, "scenarios", "tour", "activate.yaml"))
	if o.status != 0 || o.stderr != "" {
		t.Errorf("%+v", o)
	}
	telecom := filepath.Join(project, "scenarios", "telecom", "definitions", "activate-mobile.yaml")
	if o = f.run("definition", "test", "--min-coverage", "75", telecom); o.status != 0 || o.stderr != "" {
		t.Errorf("%+v", o)
	}
}

func TestDefinitionTest(t *testing.T) {
	t.Parallel()
	f, dir := rehearsedIn(t, map[string]string{
		"order.yaml": testedDefinition, "order.test.yaml": testedCases, "more/child.yaml": testedChild, "more/child.test.yaml": "cases: 7",
	})
	order, more := filepath.Join(dir, "order.yaml"), filepath.Join(dir, "more")
	const failure = "      the case: ORDER.test.yaml:4:3\n" +
		"      output: it is another one\n" +
		"        /size: expected \"large\", found \"small\"\n" +
		"        the output: {\"size\":\"small\"}\n" +
		"      the path: reserve (3:3) → size (4:3) → small (8:3)\n"
	with := func(text string) string { return strings.ReplaceAll(text, "ORDER", strings.TrimSuffix(order, ".yaml")) }
	f.run("definition", "test", order, "--definitions", more).want(t, 1, with("PASS  ORDER.yaml: small (PT0S)\n"+
		"FAIL  ORDER.yaml: wrong (PT0S)\n"+failure+
		"PASS  ORDER.yaml: large (PT1H)\n"+
		"cases: 2 passed, 1 failed\n"), "holdfast: cases that failed: 1 of 3\n")
	// Either file names both, and each is run once.
	f.run("definition", "test", filepath.Join(dir, "order.test.yaml"), order, "--run", "^small$", "--coverage").want(t, 0, with(
		"PASS  ORDER.yaml: small (PT0S)\n"+
			"cases: 1 passed, 0 failed\n"+
			"coverage: ORDER.yaml: 4 of 6 reached (66 %)\n"+
			"      ORDER.yaml:6:7: no case reaches the case /do/1/size/switch/0/large\n"+
			"      ORDER.yaml:9:3: no case reaches the task /do/3/large\n"), "")
	f.run("definition", "test", order, "--run", "^small$", "--min-coverage", "67").want(t, 1, with(
		"PASS  ORDER.yaml: small (PT0S)\n"+
			"cases: 1 passed, 0 failed\n"+
			"coverage: ORDER.yaml: 4 of 6 reached (66 %)\n"+
			"      ORDER.yaml:6:7: no case reaches the case /do/1/size/switch/0/large\n"+
			"      ORDER.yaml:9:3: no case reaches the task /do/3/large\n"),
		"holdfast: the cases have reached 66 % of the definitions, less than --min-coverage 67\n")
	f.run("definition", "test", order, "--run", "none").want(t, 1, "cases: 0 passed, 0 failed\n", "holdfast: no case matches --run none\n")
	if o := f.run("definition", "test", order, "--run", "large"); o.status != 1 || !strings.Contains(o.stdout, with(
		"      no stub answers for task large (workflow shop/child:1.0.0) [/do/3/large at ORDER.yaml:9:3]\n"+
			"        its input: {\"n\":11}\n"+
			"        to mend that, add to the stubs of the case: - {task: large, result: {}}\n"+
			"        or name the file of its definition, or its folder with --definitions, to run it\n")) {
		t.Errorf("%+v", o)
	}
}

func TestDefinitionTestVerbose(t *testing.T) {
	t.Parallel()
	f, dir := rehearsedIn(t, map[string]string{"order.yaml": testedDefinition, "order.test.yaml": testedCases, "child.yaml": testedChild})
	args := []string{"definition", "test", "--verbose", "--run", "large", filepath.Join(dir, "order.yaml"), filepath.Join(dir, "child.yaml")}
	o := f.run(args...)
	if o.status != 0 || !strings.HasPrefix(o.stderr, filepath.Join(dir, "child.yaml")+": there is no file of cases beside it, ") {
		t.Errorf("%+v", o)
	}
	for _, want := range []string{
		"      order case of shop/order:1.0.0:\nVERSION  AT", "2030-01-01T00:00:00.000Z  order.accepted", "      order case~1 of shop/child:1.0.0:\n",
		"2030-01-01T01:00:00.000Z  order.completed", "attempt.sent",
	} {
		if !strings.Contains(o.stdout, want) {
			t.Errorf("%q is not in\n%s", want, o.stdout)
		}
	}
	o = f.run(append(args, "-o", "json", "--coverage")...)
	lines := strings.Split(strings.TrimSuffix(o.stdout, "\n"), "\n")
	if len(lines) != 3 {
		t.Fatalf("%+v", o)
	}
	var c shownCase
	if err := json.Unmarshal([]byte(lines[0]), &c); err != nil || !c.Passed || c.Case != "large" || c.Line != 5 || c.Took != "PT1H" ||
		len(c.Orders) != 2 || c.Orders[1].History[0].Type != "order.accepted" || c.Path[2] != (shownTask{
		"/do/3/large", filepath.Join(dir, "order.yaml"), 9, 3,
	}) {
		t.Errorf("%+v (%v)", c, err)
	}
	var reached shownCoverage
	if err := json.Unmarshal([]byte(lines[1]), &reached); err != nil || reached.Reached != 4 || reached.All != 6 || len(reached.Missed) != 2 {
		t.Errorf("%+v (%v)", reached, err)
	}
}

func TestDefinitionTestMistakes(t *testing.T) {
	t.Parallel()
	f, dir := rehearsedIn(t, map[string]string{
		"order.yaml": testedDefinition, "order.test.yaml": "cases:\n- { name: a, expect: { path: [ reserv ] } }\n",
		"bad.yaml": "do: 7\n", "bad.test.yaml": "cases: []\n", "alone.yaml": testedChild, "lost.test.yaml": testedCases,
		"same/child.yaml": testedChild + "timeout: { after: PT3H }\n",
	})
	file := func(name string) string { return filepath.Join(dir, name) }
	f.run("definition", "test", file("order.yaml")).want(t, 1, "cases: 0 passed, 0 failed\n", file("order.test.yaml")+
		`:2:32: error: /cases/0/expect/path/0: no task is called "reserv": did you mean "reserve"?`+
		"\nholdfast: mistakes in definitions or in files of cases: 1\n")
	if o := f.run("definition", "test", file("bad.yaml"), file("order.test.yaml"), "--junit", file("junit.xml")); o.status != 1 ||
		!strings.Contains(o.stderr, file("bad.yaml")+":1:1: error: a workflow definition lacks the property \"document\"") {
		t.Errorf("%+v", o)
	}
	if suites := readJUnit(t, file("junit.xml")); suites.Errors != 2 || len(suites.Suites) != 2 ||
		!strings.Contains(suites.Suites[1].Cases[0].Error.Text, "reserv") {
		t.Errorf("%+v", suites)
	}
	f.run("definition", "test", file("alone.yaml")).want(t, 1, "",
		"holdfast: "+file("alone.yaml")+": there is no file of cases beside it, "+file("alone.test.yaml")+"\n")
	f.run("definition", "test", file("lost.test.yaml")).want(t, 1, "",
		"holdfast: "+file("lost.test.yaml")+": there is no definition beside it, "+file("lost.yaml")+"\n")
	if o := f.run("definition", "test", file("none.yaml")); o.status != 1 || !strings.Contains(o.stderr, "no such file") {
		t.Errorf("%+v", o)
	}
	f.run("definition", "test", file("order.yaml"), file("alone.yaml"), "--definitions", file("same")).want(t, 1, "",
		file("alone.yaml")+": there is no file of cases beside it, "+file("alone.test.yaml")+"\nholdfast: "+file("alone.yaml")+" and "+
			file("same/child.yaml")+" both define shop/child:1.0.0, and differ: give one of them another version, or leave it out\n")
	for _, args := range [][]string{
		{},
		{"-"},
		{"order.yaml", "--run", "("},
		{"order.yaml", "--min-coverage", "101"},
		{"order.yaml", "--max-steps", "0"},
		{"order.yaml", "--max-time", "-1s"},
		{"order.yaml", "--resource", "x"},
	} {
		if o := f.run(append([]string{"definition", "test"}, args...)...); o.status != 2 {
			t.Errorf("%v: %+v", args, o)
		}
	}
}

func readJUnit(t *testing.T, file string) junitSuites {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(strings.NewReader(string(text)))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v:\n%s", err, text)
		}
	}
	var suites junitSuites
	if err := xml.Unmarshal(text, &suites); err != nil {
		t.Fatal(err)
	}
	return suites
}

// What JUnit would write is well-formed, whatever a case is called and yields.
func TestDefinitionTestJUnit(t *testing.T) {
	t.Parallel()
	const odd = "<&\"' \u001b\ufffe \U0001f600"
	name, err := json.Marshal(odd)
	if err != nil {
		t.Fatal(err)
	}
	f, dir := rehearsedIn(t, map[string]string{
		"order.yaml": testedDefinition,
		"order.test.json": `{"cases": [
			{"name": ` + string(name) + `, "stubs": [{"task": "reserve", "fault": {"status": 500, "title": ` + string(name) + `}}]},
			{"name": "good", "stubs": [{"task": "reserve", "result": {"n": 1}}], "expect": {"output": {"size": "small"}}}
		]}`,
	})
	out := filepath.Join(dir, "junit.xml")
	f.run("definition", "test", filepath.Join(dir, "order.yaml"), "--junit", out)
	suites := readJUnit(t, out)
	if suites.Tests != 2 || suites.Failures != 1 || suites.Errors != 0 || len(suites.Suites) != 1 || len(suites.Suites[0].Cases) != 2 {
		t.Fatalf("%+v", suites)
	}
	bad, good := suites.Suites[0].Cases[0], suites.Suites[0].Cases[1]
	if !strings.HasPrefix(bad.Name, "<&\"' ") || !strings.HasSuffix(bad.Name, "\U0001f600") || bad.Line != 2 || bad.Class != "shop/order:1.0.0" ||
		bad.Failure == nil || bad.Failure.Message != "outcome: expected completed, found faulted" || !strings.Contains(bad.Failure.Text, "<&\"'") {
		t.Errorf("%+v", bad)
	}
	if good.Name != "good" || good.Failure != nil || good.Error != nil {
		t.Errorf("%+v", good)
	}
	if o := f.run("definition", "test", filepath.Join(dir, "order.yaml"), "--junit", dir); o.status != 1 {
		t.Errorf("a folder is written to: %+v", o)
	}
}
