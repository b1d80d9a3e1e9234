package holdfast_test

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

const module = "github.com/holdfast-run/holdfast"

// rule says what the packages in a folder may import of the project; tests adds to it in test files.
type rule struct {
	dir            string
	product, tests []string
}

func (r rule) holds(dir string) bool {
	return r.dir == dir || r.dir != "." && matches(r.dir+"/...", dir)
}

func (r rule) allows(imported string, test bool) bool {
	match := func(pattern string) bool { return matches(pattern, imported) }
	return slices.ContainsFunc(r.product, match) || test && slices.ContainsFunc(r.tests, match)
}

// matches tells whether a path fits a pattern: a path, or one followed by /... for all below it too.
func matches(pattern, p string) bool {
	if pattern == "..." {
		return true
	}
	prefix, below := strings.CutSuffix(pattern, "/...")
	return p == prefix || below && strings.HasPrefix(p, prefix+"/")
}

// source is a parsed file.
type source struct {
	*ast.File

	name, dir string
	test      bool
	generated bool
	lines     int
}

// checker collects what breaks a rule.
type checker struct {
	files    *token.FileSet
	findings []string
}

// check reads the Go files of a tree, and says which of them break which rule, sorted by file.
func check(tree fs.FS, long map[string]string) ([]string, error) {
	c := &checker{files: token.NewFileSet()}
	sources, err := c.read(tree)
	if err != nil {
		return nil, err
	}
	packages := map[string][]source{}
	for _, s := range sources {
		packages[s.dir] = append(packages[s.dir], s)
		if s.generated {
			continue
		}
		c.size(s, long)
		c.uses(s)
	}
	for name := range long {
		if !slices.ContainsFunc(sources, func(s source) bool { return s.name == name && s.lines > maxLines }) {
			c.addf(name, "is listed as a long file, but it is none")
		}
	}
	for dir, sources := range packages {
		c.pack(dir, sources)
	}
	slices.SortFunc(c.findings, byPlace)
	return c.findings, nil
}

// byPlace orders findings by file, then line.
func byPlace(a, b string) int {
	split := func(s string) (string, int) {
		name, rest, _ := strings.Cut(s, ":")
		text, _, _ := strings.Cut(rest, ":")
		line, _ := strconv.Atoi(text) // a finding about a whole file has no line: it comes first
		return name, line
	}
	nameA, lineA := split(a)
	nameB, lineB := split(b)
	return cmp.Or(cmp.Compare(nameA, nameB), cmp.Compare(lineA, lineB), cmp.Compare(a, b))
}

func (c *checker) addf(place, format string, args ...any) {
	c.findings = append(c.findings, place+": "+fmt.Sprintf(format, args...))
}

func (c *checker) atf(n ast.Node, format string, args ...any) {
	p := c.files.Position(n.Pos())
	c.addf(fmt.Sprintf("%s:%d", p.Filename, p.Line), format, args...)
}

// read parses the Go files of the module: not those of other modules, of testdata, or of hidden folders.
func (c *checker) read(tree fs.FS) ([]source, error) {
	var sources []source
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && skipped(tree, name):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(c.files, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		sources = append(sources, source{
			name: name, dir: path.Dir(name), test: strings.HasSuffix(name, "_test.go"),
			generated: ast.IsGenerated(file), lines: bytes.Count(text, []byte("\n")), File: file,
		})
		return nil
	})
	return sources, err
}

func skipped(tree fs.FS, dir string) bool {
	base := path.Base(dir)
	if base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return true
	}
	_, err := fs.Stat(tree, path.Join(dir, "go.mod"))
	return err == nil
}

func (c *checker) size(s source, long map[string]string) {
	if s.lines > maxLines && long[s.name] == "" {
		c.atf(s.File, "has %d lines, more than %d: split it by topic", s.lines, maxLines)
	}
}

// pack checks what is said of a package as a whole.
func (c *checker) pack(dir string, sources []source) {
	if !slices.ContainsFunc(rules, func(r rule) bool { return r.holds(dir) }) {
		c.addf(dir, "no rule says what it may import: give it its place in the layout")
	}
	written := slices.DeleteFunc(slices.Clone(sources), func(s source) bool { return s.test || s.generated })
	if len(written) == 0 {
		return
	}
	if name := written[0].Name; slices.Contains(emptyNames, name.Name) {
		c.atf(name, "the name %s says nothing: name it for what it does", name.Name)
	}
	i := slices.IndexFunc(written, func(s source) bool { return path.Base(s.name) == "doc.go" })
	switch {
	case i >= 0 && written[i].Doc == nil:
		c.atf(written[i].File, "has no package comment: what is it for, how does it fail, what is it not?")
	case i < 0 && written[0].Name.Name != "main":
		c.addf(dir, "no doc.go says what it is for, its states, how it fails, what it is not")
	}
}

// uses checks the imports of a file, and what it uses of them.
func (c *checker) uses(s source) {
	isPure := !s.test && slices.Contains(pure, s.dir)
	names := map[string]string{} // by the name in this file, the path
	for _, spec := range s.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			c.atf(spec, "import path %s: %v", spec.Path.Value, err)
			continue
		}
		name := path.Base(imported)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		if name == "." {
			c.atf(spec, "dot import of %s: name what is used", imported)
		}
		names[name] = imported
		c.imports(s, spec, imported, isPure)
	}
	ast.Inspect(s.File, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			if isPure {
				c.atf(n, "pure package starts a goroutine")
			}
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if !ok {
				break
			}
			c.name(s, n, names[x.Name], isPure)
		}
		return true
	})
}

func (c *checker) imports(s source, spec *ast.ImportSpec, imported string, isPure bool) {
	if matches("testing/...", imported) && !s.test && !slices.Contains(testPackages, path.Base(s.dir)) {
		c.atf(spec, "imports %q outside of a test", imported)
	}
	if isPure && slices.ContainsFunc(impureImports, func(p string) bool { return matches(p+"/...", imported) }) {
		c.atf(spec, "pure package imports %q", imported)
	}
	ours, ok := strings.CutPrefix(imported, module+"/")
	if !ok || ours == s.dir {
		return
	}
	if matches("cmd/...", ours) {
		c.atf(spec, "nobody imports %s: commands are wiring", ours)
		return
	}
	if r := ruleOf(s.dir); !r.allows(ours, s.test) {
		c.atf(spec, "%s must not import %s; allowed: %s", s.dir, ours, strings.Join(r.product, ", "))
	}
}

// name checks the use of something imported.
func (c *checker) name(s source, n *ast.SelectorExpr, imported string, isPure bool) {
	used := path.Base(imported) + "." + n.Sel.Name
	switch {
	case isPure && slices.Contains(impureNames[imported], n.Sel.Name):
		c.atf(n, "pure package uses %s: let it come with the input", used)
	case used == "time.Sleep" && imported == "time" && !s.test:
		c.atf(n, "time.Sleep outside of a test: wait for a signal, a timer or a context")
	}
}

// ruleOf returns the rule of the longest folder that holds dir; an empty one, which allows nothing, if there is none.
func ruleOf(dir string) rule {
	var best rule
	for _, r := range rules {
		if r.holds(dir) && len(r.dir) > len(best.dir) {
			best = r
		}
	}
	return best
}
