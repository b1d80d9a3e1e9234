package definition

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/holdfast-run/holdfast/messages"
)

// setOf compiles files, by their names, into what protoc writes of them.
func setOf(tb testing.TB, sources ...string) []byte {
	tb.Helper()
	set := &descriptorpb.FileDescriptorSet{}
	for i, source := range sources {
		file, err := linkProto([]byte(source))
		if err != nil {
			tb.Fatal(err)
		}
		file.Name = new(string(rune('a'+i)) + ".proto")
		set.File = append(set.File, file)
	}
	encoded, err := proto.Marshal(set)
	if err != nil {
		tb.Fatal(err)
	}
	return encoded
}

// serviceOf is what was found, which has to be a service.
func serviceOf(tb testing.TB, found protoreflect.Descriptor) protoreflect.ServiceDescriptor {
	tb.Helper()
	s, is := found.(protoreflect.ServiceDescriptor)
	if !is {
		tb.Fatalf("%v is no service", found)
	}
	return s
}

// methodOf finds a method in what describes it.
func methodOf(tb testing.TB, content []byte, service, name protoreflect.Name) (string, protoreflect.MethodDescriptor) {
	tb.Helper()
	files, err := protoFiles(content, 64)
	if err != nil {
		tb.Fatal(err)
	}
	found, err := files.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		tb.Fatal(err)
	}
	text, err := described(serviceOf(tb, found).Methods().ByName(name), files)
	if err != nil {
		tb.Fatal(err)
	}
	encoded, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		tb.Fatal(err)
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := messages.DecodeDescription(encoded, set); err != nil {
		tb.Fatal(err)
	}
	if files, err = messages.Described(set); err != nil {
		tb.Fatal(err)
	}
	if found, err = files.FindDescriptorByName(protoreflect.FullName(service)); err != nil {
		tb.Fatal(err)
	}
	return set.String(), serviceOf(tb, found).Methods().ByName(name)
}

// TestDescribed: what an adapter gets has all that a method needs, and nothing else.
func TestDescribed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		source     string
		has, lacks []string
	}{
		"nested": {
			`syntax = "proto3"; option java_package = "x.y";
			service S { rpc M(A) returns (B.C.D) { option idempotency_level = IDEMPOTENT; } rpc Other(U) returns (U); }
			message A { repeated A again = 1; map<string, E> by = 2; optional int32 o = 3; }
			message B { message C { message D { F.G g = 1; } message Unused {} U u = 1; } message Unused {} }
			message F { enum G { X = 0; } U u = 1; } enum E { Y = 0; } message U {} service T { rpc N(U) returns (U); }`,
			[]string{`"A"`, `"ByEntry"`, `map_entry:true`, `"B"`, `"C"`, `"D"`, `"F"`, `"G"`, `"E"`, `"M"`, "proto3_optional:true", "IDEMPOTENT"},
			[]string{`"U"`, `"Unused"`, `"Other"`, `"T"`, "java_package", `"u"`},
		},
		"proto2": {
			`syntax = "proto2"; service S { rpc M(A) returns (A); } message A { required string a = 1 [default = "x"]; optional group G = 2 { optional B b = 1; }
			extensions 100 to 200; } message B {} extend A { optional U u = 100; } message U {}`,
			[]string{`"a"`, `"G"`, `"B"`, `default_value:"x"`},
			[]string{`"U"`},
		},
		"editions": {
			`edition = "2023"; option features.field_presence = IMPLICIT; service S { rpc M(A) returns (A); } message A { string a = 1; }`,
			[]string{"IMPLICIT", `"a"`},
			nil,
		},
		"any": {
			`syntax = "proto3"; import "google/protobuf/any.proto"; service S { rpc M(A) returns (A); } message A { google.protobuf.Any a = 1; } message U { message V {} }`,
			[]string{`"U"`, `"V"`, `"google/protobuf/any.proto"`},
			[]string{`"type_url"`},
		},
		"options": {
			`syntax = "proto3"; import "google/protobuf/descriptor.proto"; extend google.protobuf.FieldOptions { O o = 50000; } message O { string s = 1; }
			service S { rpc M(A) returns (A); } message A { string a = 1 [(o).s = "for others", deprecated = true]; }`,
			[]string{"deprecated:true"},
			[]string{"for others", `"O"`, "descriptor.proto"},
		},
	} {
		for _, content := range [][]byte{[]byte(c.source), setOf(t, c.source)} {
			text, m := methodOf(t, content, "S", "M")
			text = strings.ReplaceAll(text, "  ", " ")
			if m == nil {
				t.Fatalf("%s: no method in %s", name, text)
			}
			for _, part := range c.has {
				if !strings.Contains(text, part) {
					t.Errorf("%s: no %s in %s", name, part, text)
				}
			}
			for _, part := range c.lacks {
				if strings.Contains(text, part) {
					t.Errorf("%s: %s is in %s", name, part, text)
				}
			}
		}
	}
	_, m := methodOf(t, []byte(`edition = "2023"; option features.field_presence = IMPLICIT; service S { rpc M(A) returns (A); } message A { string a = 1; }`), "S", "M")
	if m.Input().Fields().Get(0).HasPresence() {
		t.Error("a field of an edition has presence")
	}
}

// TestDescribedOfSeveral: a set has files that import others, also for those that import them.
func TestDescribedOfSeveral(t *testing.T) {
	t.Parallel()
	file := func(name string, imports []string, public []int32, message, of string) *descriptorpb.FileDescriptorProto {
		f := &descriptorpb.FileDescriptorProto{
			Name: &name, Syntax: new("proto3"), Dependency: imports, PublicDependency: public,
			MessageType: []*descriptorpb.DescriptorProto{{Name: &message}},
		}
		if of != "" {
			f.MessageType[0].Field = []*descriptorpb.FieldDescriptorProto{{
				Name: new("f"), JsonName: new("f"), Number: new(int32(1)), TypeName: &of,
				Type: descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
			}}
		}
		return f
	}
	first := file("a.proto", []string{"b.proto", "unused.proto"}, nil, "A", ".C")
	first.Service = []*descriptorpb.ServiceDescriptorProto{{Name: new("S"), Method: []*descriptorpb.MethodDescriptorProto{{
		Name: new("M"), InputType: new(".A"), OutputType: new(".A"),
	}}}}
	encoded, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{
		first, file("b.proto", []string{"c.proto"}, []int32{0}, "B", ""), file("c.proto", nil, nil, "C", ""), file("unused.proto", nil, nil, "U", ""),
	}})
	if err != nil {
		t.Fatal(err)
	}
	text, m := methodOf(t, encoded, "S", "M")
	if m == nil || strings.Contains(text, "b.proto") || strings.Contains(text, "unused") || !strings.Contains(text, "c.proto") {
		t.Errorf("%s", text)
	}
}

// FuzzProto: no resource makes reading it panic, or take long, and what can be read can be described.
func FuzzProto(f *testing.F) {
	const source = `syntax = "proto3"; import "google/protobuf/any.proto"; service S { rpc M(A) returns (stream A) { option idempotency_level = IDEMPOTENT; } }
		message A { map<string, A> a = 1; enum E { X = 0; } E e = 2 [packed = false]; oneof o { string s = 3; } reserved 5 to 7, 100 to max; }`
	f.Add([]byte(source))
	f.Add([]byte(`edition = "2023"; /* { */ message A { extensions 1 to 5; string s = "'\"{"; }`))
	f.Add(setOf(f, source))
	f.Fuzz(func(t *testing.T, content []byte) {
		if len(content) > 64<<10 {
			return
		}
		start := time.Now()
		files, err := protoFiles(content, 64)
		if took := time.Since(start); took > fuzzTime {
			t.Errorf("took %s", took)
		}
		if err != nil {
			return
		}
		files.RangeFiles(func(file protoreflect.FileDescriptor) bool {
			for i := range file.Services().Len() {
				for j := range file.Services().Get(i).Methods().Len() {
					if m := file.Services().Get(i).Methods().Get(j); !m.Input().IsPlaceholder() {
						if _, err := described(m, files); err != nil {
							t.Errorf("%s: %v", m.FullName(), err)
						}
					}
				}
			}
			return true
		})
	})
}
