package definition

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/bufbuild/protocompile/linker"
	"github.com/bufbuild/protocompile/options"
	"github.com/bufbuild/protocompile/parser"
	"github.com/bufbuild/protocompile/reporter"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/holdfast-run/holdfast/messages"
)

// method finds the method that a call names in the resource that describes its service, and all that is there; nil after a mistake.
func (c *compiler) method(resource, service, name *node) (protoreflect.MethodDescriptor, *protoregistry.Files) {
	content, address := c.resource(resource)
	if address == "" || service == nil || name == nil {
		return nil, nil
	}
	files, read := c.protos[address]
	if !read {
		var err error
		if files, err = protoFiles(content, c.limits.Depth); err != nil {
			c.atf(resource, "the resource %s can't be used: %v", shorten(address, 200), err)
		}
		c.protos[address] = files
	}
	if files == nil {
		return nil, nil
	}
	found, err := files.FindDescriptorByName(protoreflect.FullName(service.text))
	s, is := found.(protoreflect.ServiceDescriptor)
	if err != nil || !is {
		c.atf(service, "there is no service %s in the resource: %s", shorten(service.text, 100),
			hint(service.text, servicesOf(files), "it has none"))
		return nil, nil
	}
	m := s.Methods().ByName(protoreflect.Name(name.text))
	switch {
	case m == nil:
		var known []string
		for i := range s.Methods().Len() {
			known = append(known, string(s.Methods().Get(i).Name()))
		}
		c.atf(name, "the service %s has no method %s: %s", s.FullName(), shorten(name.text, 100), hint(name.text, known, "it has none"))
		return nil, nil
	case m.IsStreamingClient():
		c.atf(name, "the method %s takes a stream of messages, and a call has the arguments of one: call a method that takes one message",
			m.FullName())
		return nil, nil
	}
	return m, files
}

// servicesOf returns the full names of the services of files, in the order of the alphabet.
func servicesOf(files *protoregistry.Files) (names []string) {
	files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			names = append(names, string(f.Services().Get(i).FullName()))
		}
		return true
	})
	slices.Sort(names)
	return names
}

// protoFiles reads what describes services: the source of a .proto file, or a set of files as "protoc --descriptor_set_out" writes it.
func protoFiles(content []byte, depth int) (*protoregistry.Files, error) {
	set := descriptorSet(content)
	if set == nil {
		file, err := compileProto(content, depth)
		if err != nil {
			return nil, err
		}
		set = &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{file}}
	}
	files, err := messages.Described(set)
	if errors.Is(err, messages.ErrMissingImport) {
		return nil, fmt.Errorf("%w: %s", err, importAdvice)
	}
	return files, err
}

const importAdvice = "a .proto file can import those of google/protobuf only; deploy a set of all files, as \"protoc --include_imports " +
	"--descriptor_set_out=FILE\" or \"buf build --as-file-descriptor-set -o FILE\" writes it, in place of it"

// descriptorSet decodes a set of files; nil if the content is none, but text.
func descriptorSet(content []byte) *descriptorpb.FileDescriptorSet {
	set := &descriptorpb.FileDescriptorSet{}
	o := proto.UnmarshalOptions{Resolver: new(protoregistry.Types), RecursionLimit: maxSetNesting}
	if o.Unmarshal(content, set) != nil || len(set.GetFile()) == 0 || len(set.ProtoReflect().GetUnknown()) > 0 {
		return nil
	}
	for _, file := range set.GetFile() {
		if file.GetName() == "" {
			return nil
		}
	}
	return set
}

// maxSetNesting is how deep the messages in a set of files may nest: a message within a message is two levels.
const maxSetNesting = 200

// compileProto compiles the source of a .proto file. An error has the line of what is wrong. It does no more than that: neither does it
// look for other files, nor start anything.
func compileProto(source []byte, depth int) (*descriptorpb.FileDescriptorProto, error) {
	if line := deepLine(source, depth); line > 0 {
		return nil, fmt.Errorf("line %d: it is nested more than %d deep", line, depth)
	}
	file, err := linkProto(source)
	if at, is := errors.AsType[reporter.ErrorWithPos](err); is {
		return nil, fmt.Errorf("line %d: %w", at.GetPosition().Line, at.Unwrap())
	}
	return file, err
}

// protoName is what a file is called that is compiled.
const protoName = "resource.proto"

func linkProto(source []byte) (*descriptorpb.FileDescriptorProto, error) {
	h := reporter.NewHandler(nil)
	tree, err := parser.Parse(protoName, bytes.NewReader(source), h)
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller says what it is about
	}
	parsed, err := parser.ResultFromAST(tree, true, h)
	if err != nil {
		return nil, err //nolint:wrapcheck // as above
	}
	var imports linker.Files
	for _, path := range parsed.FileDescriptorProto().GetDependency() {
		known := messages.WellKnownFile(path)
		if known == nil {
			return nil, fmt.Errorf("%.200q %w: %s", path, messages.ErrMissingImport, importAdvice)
		}
		file, err := linker.NewFileRecursive(known)
		if err != nil {
			return nil, fmt.Errorf("import %s: %w", path, err)
		}
		imports = append(imports, file)
	}
	linked, err := linker.Link(parsed, imports, nil, h)
	if err != nil {
		return nil, err //nolint:wrapcheck // as above
	}
	if _, err := options.InterpretOptions(linked, h); err != nil {
		return nil, err //nolint:wrapcheck // as above
	}
	return linked.FileDescriptorProto(), nil
}

// deepLine returns the first line of a .proto file where brackets nest deeper than they may; 0 if nowhere. Those in texts and comments
// don't count.
func deepLine(source []byte, most int) (line int) {
	line, depth := 1, 0
	for i := 0; i < len(source); i++ {
		switch c := source[i]; c {
		case '\n':
			line++
		case '{', '[', '(', '<':
			if depth++; depth > most {
				return line
			}
		case '}', ']', ')', '>':
			depth--
		case '"', '\'', '/':
			end := behind(source, i)
			line += bytes.Count(source[i:end], []byte("\n"))
			i = end - 1
		}
	}
	return 0
}

// behind returns where a text or a comment ends that begins at a place.
func behind(source []byte, begin int) int {
	rest := source[begin:]
	var end int
	switch {
	case bytes.HasPrefix(rest, []byte("//")):
		end = bytes.IndexByte(rest, '\n')
	case bytes.HasPrefix(rest, []byte("/*")):
		if end = bytes.Index(rest[2:], []byte("*/")); end >= 0 {
			end += 4
		}
	case rest[0] == '/':
		end = 1
	default:
		for end = 1; end < len(rest) && rest[end] != rest[0] && rest[end] != '\n'; end++ {
			if rest[end] == '\\' {
				end++
			}
		}
		end++
	}
	if end < 0 || end > len(rest) {
		end = len(rest)
	}
	return begin + end
}

// described describes a method, and what its messages are made of, but nothing else that its files have: a set of files, in base64.
func described(m protoreflect.MethodDescriptor, files *protoregistry.Files) (string, error) {
	p := pruner{
		all: files, kept: make(map[protoreflect.FullName]bool), imports: make(map[string]map[string]bool),
		files: make(map[string]protoreflect.FileDescriptor),
	}
	p.file(m)
	p.use(m.ParentFile().Path(), m.Input())
	p.use(m.ParentFile().Path(), m.Output())
	for len(p.open) > 0 {
		next := p.open[len(p.open)-1]
		p.open = p.open[:len(p.open)-1]
		for i := range next.Fields().Len() {
			f := next.Fields().Get(i)
			if d := f.Message(); d != nil {
				p.use(next.ParentFile().Path(), d)
			}
			if d := f.Enum(); d != nil {
				p.use(next.ParentFile().Path(), d)
			}
		}
	}
	set := &descriptorpb.FileDescriptorSet{}
	for _, path := range sortedNames(p.files) {
		set.File = append(set.File, p.pruned(p.files[path], m))
	}
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(set)
	if err != nil {
		return "", fmt.Errorf("encode: %w", err)
	}
	// What options say to other programs is left out.
	set = &descriptorpb.FileDescriptorSet{}
	if err := messages.DecodeDescription(encoded, set); err != nil {
		return "", err
	}
	if _, err := messages.Described(set); err != nil {
		return "", err
	}
	if encoded, err = (proto.MarshalOptions{Deterministic: true}).Marshal(set); err != nil {
		return "", fmt.Errorf("encode: %w", err)
	}
	return base64.StdEncoding.EncodeToString(encoded), nil
}

// pruner finds what of some files is needed.
type pruner struct {
	all *protoregistry.Files
	// kept are the messages and enumerations that are needed, files those that they are in, and imports what each of these imports.
	kept    map[protoreflect.FullName]bool
	files   map[string]protoreflect.FileDescriptor
	imports map[string]map[string]bool
	open    []protoreflect.MessageDescriptor // whose fields were not looked at yet
}

// file notes that the file of something is needed.
func (p *pruner) file(d protoreflect.Descriptor) {
	path := d.ParentFile().Path()
	if p.files[path] == nil {
		p.files[path], p.imports[path] = d.ParentFile(), make(map[string]bool)
	}
}

// use notes that a file needs a message or an enumeration.
func (p *pruner) use(by string, d protoreflect.Descriptor) {
	path := d.ParentFile().Path()
	if path != by && p.imports[by] != nil {
		p.imports[by][path] = true
	}
	if p.kept[d.FullName()] {
		return
	}
	p.kept[d.FullName()] = true
	if messages.WellKnownFile(path) != nil {
		if d.FullName() == "google.protobuf.Any" { // it can hold any of them
			p.all.RangeFiles(func(f protoreflect.FileDescriptor) bool {
				p.useAll(f.Messages())
				return true
			})
		}
		return
	}
	p.file(d)
	if m, is := d.(protoreflect.MessageDescriptor); is {
		p.open = append(p.open, m)
	}
}

// useAll notes that messages are needed, with those in them.
func (p *pruner) useAll(all protoreflect.MessageDescriptors) {
	for i := range all.Len() {
		d := all.Get(i)
		p.use(d.ParentFile().Path(), d)
		p.useAll(d.Messages())
	}
}

// pruned returns what of a file is needed.
func (p *pruner) pruned(f protoreflect.FileDescriptor, m protoreflect.MethodDescriptor) *descriptorpb.FileDescriptorProto {
	whole := protodesc.ToFileDescriptorProto(f)
	file := &descriptorpb.FileDescriptorProto{
		Name: whole.Name, Package: whole.Package, Syntax: whole.Syntax, Edition: whole.Edition,
		Dependency:  sortedNames(p.imports[f.Path()]),
		MessageType: p.messages(whole.GetMessageType(), f.Package()), EnumType: p.enums(whole.GetEnumType(), f.Package()),
	}
	if features := whole.GetOptions().GetFeatures(); features != nil {
		file.Options = &descriptorpb.FileOptions{Features: features}
	}
	if f.Path() == m.ParentFile().Path() {
		for _, s := range whole.GetService() {
			if s.GetName() == string(m.Parent().Name()) {
				s.Method = slices.DeleteFunc(s.GetMethod(), func(of *descriptorpb.MethodDescriptorProto) bool {
					return of.GetName() != string(m.Name())
				})
				file.Service = append(file.Service, s)
			}
		}
	}
	return file
}

// messages are those that are needed, and those that such are in.
func (p *pruner) messages(all []*descriptorpb.DescriptorProto, in protoreflect.FullName) (needed []*descriptorpb.DescriptorProto) {
	for _, d := range all {
		name := in.Append(protoreflect.Name(d.GetName()))
		d.Extension = nil
		d.NestedType, d.EnumType = p.messages(d.GetNestedType(), name), p.enums(d.GetEnumType(), name)
		switch {
		case p.kept[name]:
			needed = append(needed, d)
		case len(d.GetNestedType())+len(d.GetEnumType()) > 0:
			needed = append(needed, &descriptorpb.DescriptorProto{Name: d.Name, Options: d.Options, NestedType: d.NestedType, EnumType: d.EnumType})
		}
	}
	return needed
}

// enums are those that are needed.
func (p *pruner) enums(all []*descriptorpb.EnumDescriptorProto, in protoreflect.FullName) []*descriptorpb.EnumDescriptorProto {
	return slices.DeleteFunc(all, func(d *descriptorpb.EnumDescriptorProto) bool {
		return !p.kept[in.Append(protoreflect.Name(d.GetName()))]
	})
}
