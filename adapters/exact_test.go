package adapters

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

type exactAddress struct {
	City string `json:"city"`
	ZIP  string
}

type exactBase struct {
	ID    string `json:"id"`
	Name  string // hidden by the field of exactOrder
	Shade string
}

type exactOther struct{ Shade string } // with that of exactBase: neither counts

type exactSelf struct{ Raw string }

func (s *exactSelf) UnmarshalJSON(data []byte) error {
	s.Raw = string(data)
	return nil
}

// The decoder's odd cases are what is tested.
//
//nolint:staticcheck // tags that are unusual or wrong
type exactOrder struct {
	exactBase
	*exactOther

	IMSI    string                  `json:"imsi"`
	Kelvin  int                     `json:"k"`
	Dash    int                     `json:"-,"`
	Never   int                     `json:"-"`
	Wrong   int                     `json:"a\\b"` // no name that the decoder takes
	Home    exactAddress            `json:"home"`
	Away    *exactAddress           `json:"away"`
	All     []exactAddress          `json:"all"`
	By      map[string]exactAddress `json:"by"`
	Any     any                     `json:"any"`
	Self    exactSelf               `json:"self"`
	At      time.Time               `json:"at"`
	Next    *exactOrder             `json:"next"`
	Name    string                  `json:"Name"`
	Numbers [2]int                  `json:"numbers"`
}

// standard is the decoder by itself.
func standard(data []byte, v any) error { return json.Unmarshal(data, v) }

func TestPropertiesAreReadAsWritten(t *testing.T) {
	t.Parallel()
	for input, want := range map[string]string{
		`{"imsi":"999","IMSI":"123456"}`:                       `{"imsi":"999"}`,
		`{"IMSI":"123456","imsi":"999"}`:                       `{"imsi":"999"}`,
		`{"ID":"1","id":"2","iD":"3","Id":"4"}`:                `{"id":"2"}`,
		"{\"\u212A\":1,\"k\":2}":                               `{"k":2}`,
		`{"K":1,"k":2}`:                                        `{"k":2}`,
		`{"\u0049MSI":"1","\u0069msi":"2"}`:                    `{"imsi":"2"}`,
		`{"name":"x","Name":"y"}`:                              `{"Name":"y"}`,
		`{"Shade":"x","shade":"y"}`:                            `{"Shade":"x"}`,
		`{"-":1,"Never":2,"Dash":3,"never":4}`:                 `{"-":1}`,
		`{"Wrong":1,"wrong":2}`:                                `{"Wrong":1}`,
		`{"home":{"City":"a","city":"c"},"Home":{"city":"b"}}`: `{"home":{"city":"c"}}`,
		`{"home":{"city":"a","zip":"1","ZIP":"2"}}`:            `{"home":{"city":"a","ZIP":"2"}}`,
		`{"all":[{"CITY":"a","city":""},{"city":"b"}],"by":{"X":{},"x":{"city":"d"}}}`: `{"all":[{},{"city":"b"}],"by":{"X":{},` +
			`"x":{"city":"d"}}}`,
		`{"any":{"City":"1","city":"2"},"self":{"IMSI":1}}`: `{"any":{"City":"1","city":"2"},"self":{"IMSI":1}}`,
		`{"next":{"NEXT":{"IMSI":1},"next":{}}}`:            `{"next":{"next":{}}}`,
		`{"ID" : "1" , "id" : "2" , "iD" : [ { } ] }`:       `{"id":"2"}`,
		`{"away":{"Cit":{"x":1}},"AWAY":1}`:                 `{"away":{}}`,
		`{"hidden":1,"Hidden":2,"unknown":{"IMSI":1}}`:      `{}`,
	} {
		var got, expected exactOrder
		if err := decode([]byte(input), &got); err != nil {
			t.Errorf("%s: %v", input, err)
			continue
		}
		if err := standard([]byte(want), &expected); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, expected) {
			t.Errorf("%s was read as %+v, want %+v", input, got, expected)
		}
	}
}

func TestPropertiesThatDifferInCaseAreRefused(t *testing.T) {
	t.Parallel()
	const read = ": names are read exactly as they are written"
	for input, want := range map[string]string{
		`{"IMSI":"123456"}`:                          `"IMSI", where "imsi" is expected`,
		`{"name":"x"}`:                               `"name", where "Name" is expected`,
		"{\"\u212A\":1}":                             "\"\u212A\", where \"k\" is expected",
		`{"id":"1","\u0049MSI":"1"}`:                 `"IMSI", where "imsi" is expected`,
		`{"home":{"City":"a"}}`:                      `"City" at /home, where "city" is expected`,
		`{"all":[{"city":"a"},{"city":"","Zip":1}]}`: `"Zip" at /all/1, where "ZIP" is expected`,
		`{"by":{"imsi":{"CITY":"a"}}}`:               `"CITY" at /by/imsi, where "city" is expected`,
		`{"imsi":"1","next":{"IMSI":"2"}}`:           `"IMSI" at /next, where "imsi" is expected`,
		`{"next":{"imsi":"2"},"IMSI":"1"}`:           `"IMSI", where "imsi" is expected`,
	} {
		err := decode([]byte(input), new(exactOrder))
		if want := "the input has the property " + want + read; err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", input, err, want)
		}
	}
}

func TestNothingToBlankIsNotCopied(t *testing.T) {
	t.Parallel()
	input := []byte(`{"imsi":"1","unknown":2,"home":{"city":"x"}}`)
	if got, err := exact(input, shapeOf(reflect.TypeFor[*exactOrder]())); err != nil || &got[0] != &input[0] {
		t.Errorf("the input was copied: %v", err)
	}
	offset := func(input string) string {
		var v exactOrder
		return fmt.Sprint(decode([]byte(input), &v))
	}
	if a, b := offset(`{"imsi":1,"IMSI":"1"}`), offset(`{"imsi":1,"IMSJ":"1"}`); a != b || !strings.Contains(a, "imsi") {
		t.Errorf("messages differ: %s, %s", a, b)
	}
}

func TestNamesTwice(t *testing.T) {
	t.Parallel()
	var raw json.RawMessage
	var typed exactOrder
	for _, in := range []any{&raw, &typed} {
		err := decode([]byte(`{"home":{"city":"a","city":"b"}}`), in)
		if err == nil || !strings.Contains(err.Error(), `"city" twice at /home`) {
			t.Errorf("%T: %v", in, err)
		}
	}
	for _, out := range []any{json.RawMessage(`{"a":1,"a":2}`), map[string]any{"x": json.RawMessage(`{"a":1,"a":2}`)}} {
		if _, err := encode(out); err == nil || !strings.Contains(err.Error(), `"a" twice`) {
			t.Errorf("%s: %v", out, err)
		}
	}
}

// FuzzExact compares with a decoder that removes beforehand what has no exact name, and refuses what was to be a field.
func FuzzExact(f *testing.F) {
	for _, s := range []string{
		`{"imsi":"1","IMSI":"2","home":{"City":"a","city":"b"}}`, `[{"imsi":1}]`, `{"all":[{"ZIP":"","zip":""}],"ALL":[]}`, `{"a`,
		`{"NEXT":{},"next":{"ID":"1","id":"2"},"K":1}`, `{"IMSI":1 , "Imsi":2}`, "null", "", `{"":1}`, `{"I\u004dSI":"1"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		var got, want exactOrder
		shape := shapeOf(reflect.TypeFor[exactOrder]())
		read, misnamed := exact(input, shape)
		gotErr := standard(read, &got)
		var v any
		if json.Unmarshal(input, &v) != nil {
			if gotErr == nil {
				t.Fatalf("%q became JSON: %q", input, read)
			}
			return
		}
		if twice := decode(input, new(json.RawMessage)); twice != nil {
			return // which of the two counts is another question
		}
		if lost := loses(v, shape); lost != (misnamed != nil) {
			t.Fatalf("%s: %v, and a field is lost: %t", input, misnamed, lost)
		} else if lost {
			return
		}
		pruned, err := json.Marshal(prune(v, shape))
		if err != nil {
			t.Fatal(err)
		}
		wantErr := standard(pruned, &want)
		want.Self, got.Self = exactSelf{}, exactSelf{} // it sees how the input is written
		if (gotErr == nil) != (wantErr == nil) || gotErr == nil && fmt.Sprint(got) != fmt.Sprint(want) && got.Next == nil {
			t.Errorf("%s: %+v %v, want %+v %v", input, got, gotErr, want, wantErr)
		}
	})
}

// loses tells whether an object has a property in place of a field whose name differs in case only.
func loses(v any, s *shape) bool {
	if s == nil {
		return false
	}
	switch v := v.(type) {
	case []any:
		return slices.ContainsFunc(v, func(v any) bool { return loses(v, s.element) })
	case map[string]any:
		for name, value := range v {
			below, isField := s.element, false
			if s.isStruct {
				below, isField = s.fields[name]
			}
			for field := range s.fields {
				if _, ok := v[field]; !ok && !isField && strings.EqualFold(field, name) {
					return true
				}
			}
			if loses(value, below) {
				return true
			}
		}
	}
	return false
}

// prune removes what has no name of a field.
func prune(v any, s *shape) any {
	if s == nil {
		return v
	}
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = prune(v[i], s.element)
		}
	case map[string]any:
		for name := range v {
			if !s.isStruct {
				v[name] = prune(v[name], s.element)
			} else if below, ok := s.fields[name]; ok {
				v[name] = prune(v[name], below)
			} else {
				delete(v, name)
			}
		}
	}
	return v
}

func BenchmarkDecode(b *testing.B) {
	for name, input := range map[string]string{
		"small": `{"imsi":"262011234567890","home":{"city":"Bonn","ZIP":"53111"},"id":"1"}`,
		"case":  `{"imsi":"262011234567890","home":{"city":"Bonn","zip":"53111","ZIP":"53111"},"id":"1"}`,
		"large": `{"all":[` + strings.Repeat(`{"city":"Bonn","ZIP":"53111","street":"x","number":7},`, 1000) + `{}]}`,
	} {
		for how, read := range map[string]func([]byte, *exactOrder) error{
			"exact":    func(in []byte, v *exactOrder) error { return decode(in, v) },
			"standard": func(in []byte, v *exactOrder) error { return standard(in, v) },
		} {
			b.Run(name+"/"+how, func(b *testing.B) {
				b.SetBytes(int64(len(input)))
				b.ReportAllocs()
				for b.Loop() {
					var v exactOrder
					if err := read([]byte(input), &v); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// Long numbers, such as those of SIM cards, keep all of their digits where no type says what they are.
func TestLongNumbersInAny(t *testing.T) {
	t.Parallel()
	const input = `{"iccid":89490200001234567890,"list":[1.10,1e400],"n":1}`
	var untyped any
	var object map[string]any
	var mixed struct {
		ICCID any     `json:"iccid"`
		List  []any   `json:"list"`
		N     float64 `json:"n"`
	}
	for _, in := range []any{&untyped, &object, &mixed} {
		if err := decode([]byte(input), in); err != nil {
			t.Errorf("%T: %v", in, err)
		}
		if out, err := encode(in); err != nil || string(out) != input {
			t.Errorf("%T became %s, %v", in, out, err)
		}
	}
	for _, more := range []string{`{} {}`, `{}}`, `{},`, `1 2`} {
		if err := decode([]byte(more), new(any)); err == nil {
			t.Errorf("%s is taken", more)
		}
	}
	if err := decode([]byte(" {} \n"), new(any)); err != nil {
		t.Error(err)
	}
}
