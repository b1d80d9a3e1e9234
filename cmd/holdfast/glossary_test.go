package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestGlossary holds the glossary honest: what it names in the code, and the commands, exist; and each group is in the order of the
// alphabet, so that a term is found, and is there once.
func TestGlossary(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(project, "docs", "glossary.md"))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	if err := namesIn(project, known); err != nil {
		t.Fatal(err)
	}
	commandsIn(newRoot(&app{environ: func() []string { return nil }, terminal: noTerminal}), known)
	quoted := regexp.MustCompile("`([^`]+)`")
	terms, last := 0, ""
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		switch {
		case strings.HasPrefix(line, "## "):
			last = ""
			continue
		case len(cells) != 6, strings.TrimSpace(cells[1]) == "Term", strings.HasPrefix(cells[1], "---"):
			continue
		}
		term := strings.TrimSpace(cells[1])
		if term <= last {
			t.Errorf("%q comes behind %q", term, last)
		}
		last = term
		terms++
		for _, name := range quoted.FindAllStringSubmatch(cells[3], -1) {
			if !known[name[1]] {
				t.Errorf("%s: there is no %s", term, name[1])
			}
		}
	}
	if terms < 50 {
		t.Errorf("only %d terms were found", terms)
	}
}

// commandsIn notes a command and those below it.
func commandsIn(cmd *cobra.Command, known map[string]bool) {
	known[cmd.CommandPath()] = true
	for _, sub := range cmd.Commands() {
		commandsIn(sub, known)
	}
}

// namesIn notes what the product's packages export, as package.Name and package.Type.Member.
func namesIn(dir string, known map[string]bool) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && path != dir && strings.HasPrefix(e.Name(), "."):
			return fs.SkipDir
		case !strings.HasSuffix(path, ".go"), strings.HasSuffix(path, "_test.go"), strings.HasSuffix(path, ".pb.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				known[receiverOf(file.Name.Name, d)+d.Name.Name] = true
			case *ast.GenDecl:
				for _, s := range d.Specs {
					specNames(file.Name.Name+".", s, known)
				}
			}
		}
		return nil
	})
}

// receiverOf is what stands before the name of a function.
func receiverOf(pkg string, f *ast.FuncDecl) string {
	if f.Recv == nil {
		return pkg + "."
	}
	of := f.Recv.List[0].Type
	if star, is := of.(*ast.StarExpr); is {
		of = star.X
	}
	if id, is := of.(*ast.Ident); is {
		return pkg + "." + id.Name + "."
	}
	return pkg + "." // a generic type
}

// specNames notes what a declaration names.
func specNames(before string, s ast.Spec, known map[string]bool) {
	switch s := s.(type) {
	case *ast.ValueSpec:
		for _, id := range s.Names {
			known[before+id.Name] = true
		}
	case *ast.TypeSpec:
		known[before+s.Name.Name] = true
		var members *ast.FieldList
		switch of := s.Type.(type) {
		case *ast.StructType:
			members = of.Fields
		case *ast.InterfaceType:
			members = of.Methods
		default:
			return
		}
		for _, f := range members.List {
			for _, id := range f.Names {
				known[before+s.Name.Name+"."+id.Name] = true
			}
		}
	}
}
