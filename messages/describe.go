package messages

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	// The files that any other one may import: the registry has them by this.
	_ "google.golang.org/protobuf/types/known/anypb"
	_ "google.golang.org/protobuf/types/known/apipb"
	_ "google.golang.org/protobuf/types/known/durationpb"
	_ "google.golang.org/protobuf/types/known/emptypb"
	_ "google.golang.org/protobuf/types/known/fieldmaskpb"
	_ "google.golang.org/protobuf/types/known/sourcecontextpb"
	_ "google.golang.org/protobuf/types/known/structpb"
	_ "google.golang.org/protobuf/types/known/timestamppb"
	_ "google.golang.org/protobuf/types/known/typepb"
	_ "google.golang.org/protobuf/types/known/wrapperspb"
)

// wellKnown are the files of Protocol Buffers itself that a description always has, as a google.protobuf.Any may hold what is in them.
var wellKnown = []string{
	"any", "api", "duration", "empty", "field_mask", "source_context", "struct", "timestamp", "type", "wrappers",
}

// WellKnownFile returns a file of Protocol Buffers itself, such as google/protobuf/timestamp.proto; nil if it is none.
func WellKnownFile(path string) protoreflect.FileDescriptor {
	if !strings.HasPrefix(path, "google/protobuf/") {
		return nil
	}
	file, err := protoregistry.GlobalFiles.FindFileByPath(path)
	if err != nil {
		return nil
	}
	return file
}

// ErrMissingImport is why files can't be read without others.
var ErrMissingImport = errors.New("is imported, and not there")

// Described reads files that describe messages and services. They need not have those of Protocol Buffers itself. The error is
// ErrMissingImport if one lacks that another imports.
func Described(set *descriptorpb.FileDescriptorSet) (*protoregistry.Files, error) {
	whole := &descriptorpb.FileDescriptorSet{}
	has := make(map[string]bool)
	for _, file := range set.GetFile() {
		whole.File, has[file.GetName()] = append(whole.File, file), true
	}
	for _, name := range wellKnown {
		if path := "google/protobuf/" + name + ".proto"; !has[path] {
			whole.File, has[path] = append(whole.File, protodesc.ToFileDescriptorProto(WellKnownFile(path))), true
		}
	}
	for i := 0; i < len(whole.GetFile()); i++ { //nolint:intrange // the list grows
		for _, path := range whole.GetFile()[i].GetDependency() {
			if has[path] {
				continue
			}
			known := WellKnownFile(path)
			if known == nil {
				return nil, fmt.Errorf("%.200q %w", path, ErrMissingImport)
			}
			whole.File, has[path] = append(whole.File, protodesc.ToFileDescriptorProto(known)), true
		}
	}
	files, err := protodesc.NewFiles(whole)
	if err != nil {
		return nil, fmt.Errorf("read the description: %w", err)
	}
	return files, nil
}

// DecodeDescription decodes a file, or a set of files, that describes messages and services, without what only some programs know of them.
func DecodeDescription(encoded []byte, into proto.Message) error {
	o := proto.UnmarshalOptions{DiscardUnknown: true, Resolver: new(protoregistry.Types), RecursionLimit: maxDescriptionDepth}
	if err := o.Unmarshal(encoded, into); err != nil {
		return fmt.Errorf("decode the description: %w", err)
	}
	return nil
}

// maxDescriptionDepth is how deep what is in a description may nest: a message in a message is one level.
const maxDescriptionDepth = 200
