package definition

import (
	"os"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/actors/workflow"
)

// TestNumbersStayAsWritten deploys a value as it stands in YAML: what comes out is as it is written, or it is refused with
// the advice to quote it.
func TestNumbersStayAsWritten(t *testing.T) {
	t.Parallel()
	const (
		zero   = "has a leading zero"
		other  = "would not stay as it is written: put it in quotes"
		finite = "give a finite decimal number"
		large  = "is too large to calculate with: put it in quotes"
		tag    = "the YAML tag"
	)
	for text, want := range map[string]string{
		"1":                             `1`,
		"-1":                            `-1`,
		"0":                             `0`,
		"1.10":                          `1.10`,
		"1e3":                           `1e3`,
		"1E-7":                          `1E-7`,
		"89490200001234567890":          `89490200001234567890`,
		"-0":                            `-0`,
		"0.5":                           `0.5`,
		"1e308":                         `1e308`,
		"12:30:45":                      `"12:30:45"`,
		"190:20:30":                     `"190:20:30"`,
		"2026-01-01":                    `"2026-01-01"`,
		"2026-01-01T12:00:00Z":          `"2026-01-01T12:00:00Z"`,
		"yes":                           `"yes"`,
		"no":                            `"no"`,
		"1.2.3":                         `"1.2.3"`,
		"4917-0123":                     `"4917-0123"`,
		"0b12":                          `"0b12"`,
		"0x":                            `"0x"`,
		"1e":                            `"1e"`,
		"_1":                            `"_1"`,
		"+":                             `"+"`,
		"'+491701234567'":               `"+491701234567"`,
		`"1e400"`:                       `"1e400"`,
		"":                              `null`,
		"~":                             `null`,
		"True":                          `true`,
		"+491701234567":                 other,
		"+89490200001234567890":         other,
		"4917_0123_4567":                other,
		"-4_9":                          other,
		"1_000.5":                       other,
		"+1.5":                          other,
		"+.5":                           other,
		".5":                            other,
		"5.":                            other,
		"-.5":                           other,
		"0x1F":                          other,
		"-0x1F":                         other,
		"0XFF":                          other,
		"0xFFFFFFFFFFFFFFFFFF":          other,
		"0x1_F":                         other,
		"0o17":                          other,
		"0o7777777777777777777777777":   other,
		"0b101":                         other,
		"-0b101":                        other,
		"0b1" + strings.Repeat("0", 70): other,
		"+1e400":                        other,
		"1_0e400":                       other,
		"007":                           zero,
		"+007":                          zero,
		"08":                            zero,
		"017":                           zero,
		"00491701234567":                zero,
		"00.5":                          zero,
		"0_7":                           other,
		"1e400":                         large,
		"-1e400":                        large,
		"12e3456":                       large,
		".inf":                          finite,
		"-.INF":                         finite,
		"+.inf":                         finite,
		".NaN":                          finite,
		"!!str 007":                     tag,
		"!!int '7'":                     tag,
		"!!float 7":                     tag,
		"!mine 7":                       tag,
		"!!map {a: 1}":                  tag,
		"!!seq [1]":                     tag,
		"{!!str 1: 2}":                  "put it in quotes",
	} {
		def, mistakes := Compile([]byte(head+"do: [{a: {set: {x: "+text+"}}}]\n"), Limits{})
		if def == nil {
			if len(mistakes) != 1 || !strings.Contains(mistakes[0].GetMessage(), want) || mistakes[0].GetColumn() < 20 {
				t.Errorf("%s: %v, want %s", text, mistakes, want)
			}
			continue
		}
		got, err := as[*workflow.Set](t, def.Tasks["/do/0/a"]).Value.Eval(value("{}"), &workflow.Args{})
		if err != nil || string(got.JSON()) != `{"x":`+want+`}` {
			t.Errorf("%s: %s, %v, want %s", text, got.JSON(), err, want)
		}
	}
	_, mistakes := Compile([]byte(`{"document":{"dsl":"1.0.3","namespace":"a","name":"b","version":"1.0.0"},
		"do":[{"a":{"set":{"x":1e400,"y":-1e400,"z":1e308}}}]}`), Limits{})
	if len(mistakes) != 2 || !strings.Contains(mistakes[0].GetMessage(), large) {
		t.Errorf("as JSON: %v", mistakes)
	}
}

// TestAllNumbersAreTold compiles a document with many numbers that only YAML knows: each is told at its place.
func TestAllNumbersAreTold(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("testdata/numbers.yaml")
	if err != nil {
		t.Fatal(err)
	}
	def, mistakes := Compile(document, Limits{})
	var lines []string
	for _, m := range mistakes {
		if m.GetColumn() < 9 || !strings.Contains(m.GetMessage(), "put it in quotes") {
			t.Errorf("%v", m)
		}
		lines = append(lines, strings.Split(m.GetMessage(), `"`)[1])
	}
	const want = "+491701234567 +89490200001234567890 4917_0123_4567 0x1F 0o17 0b101 .5 1e400 0xFFFFFFFFFFFFFFFFFF"
	if got := strings.Join(lines, " "); def != nil || got != want {
		t.Errorf("refused are %s, want %s", got, want)
	}
}

// TestStoredNumbers checks that a document that an earlier version took keeps the meaning that it had.
func TestStoredNumbers(t *testing.T) {
	t.Parallel()
	document := []byte(head + "do: [{a: {set: {phone: +491701234567, n: 1_000, h: 0x1F, f: .5, e: 1e3, long: 123456789012345678901234567890, s: !!str 12}}}]\n")
	if def, _ := Compile(document, Limits{}); def != nil {
		t.Error("it is taken anew")
	}
	def, mistakes := Load(document, Limits{})
	if def == nil {
		t.Fatal(mistakes)
	}
	v, err := as[*workflow.Set](t, def.Do.Tasks[0]).Value.Eval(value("{}"), &workflow.Args{})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"phone":491701234567,"n":1000,"h":31,"f":0.5,"e":1e3,"long":123456789012345678901234567890,"s":"12"}`
	if got := string(v.JSON()); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
