package graph

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew: look at what has changed")

// TestGolden: the documents in testdata have the pictures beside them; those of expanded functions end with .expanded.
func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no documents", err)
	}
	for _, file := range files {
		base := strings.TrimSuffix(file, ".yaml")
		t.Run(filepath.Base(base), func(t *testing.T) {
			t.Parallel()
			document := readTest(t, file)
			g := graphOf(t, document, Config{})
			golden(t, base+".svg", g.SVG())
			golden(t, base+".mmd", g.Mermaid())
			if strings.Contains(string(document), "functions:") {
				golden(t, base+".expanded.svg", graphOf(t, document, Config{Expand: true}).SVG())
			}
		})
	}
}

// golden compares with a file.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want := readTest(t, file)
	if bytes.Equal(got, want) {
		return
	}
	gotLines, wantLines := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range min(len(gotLines), len(wantLines)) {
		if gotLines[i] != wantLines[i] {
			t.Fatalf("%s:%d: got\n%s\nwant\n%s\n(-rewrite writes it anew)", file, i+1, gotLines[i], wantLines[i])
		}
	}
	t.Fatalf("%s: got %d lines, want %d", file, len(gotLines), len(wantLines))
}

func readTest(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func graphOf(t *testing.T, document []byte, c Config) *Graph {
	t.Helper()
	g, err := New(document, c)
	if err != nil {
		t.Fatalf("%v:\n%s", err, document)
	}
	return g
}
