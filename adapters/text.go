package adapters

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/jsonscan"
)

// textError is about a text that is not UTF-8. The path is that of the value that the text is, or is the name of, the innermost step first.
type textError struct {
	text string
	path []string
}

func (e *textError) Error() string {
	text := messages.Cut(e.text, jsonscan.MostTold)
	return fmt.Sprintf("has text that is not valid UTF-8%s: %s", jsonscan.Place(e.path), strconv.QuoteToASCII(text))
}

// checkText says which text of a value that the standard encoder has encoded is not valid UTF-8, if one is. What a type encodes
// itself is taken as it is.
func checkText(v reflect.Value) error {
	if bad := textOf(v); bad != nil {
		return bad
	}
	return nil
}

func textOf(v reflect.Value) *textError {
	if !v.IsValid() {
		return nil
	}
	if v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		return textOf(v.Elem())
	}
	switch itself := interfaceOf(v).(type) {
	case json.Marshaler:
		return nil
	case encoding.TextMarshaler:
		text, _ := itself.MarshalText() // it was encoded without an error
		return textIn(string(text))
	}
	switch v.Kind() {
	case reflect.String:
		return textIn(v.String())
	case reflect.Struct:
		return textOfFields(v)
	case reflect.Map:
		for key, value := range v.Seq2() {
			name := fmt.Sprint(interfaceOf(key))
			if bad := textOf(key); bad != nil {
				return bad
			}
			if bad := textOf(value); bad != nil {
				return bad.inside(name)
			}
		}
	case reflect.Slice, reflect.Array:
		for i := 0; i < v.Len() && v.Type().Elem().Kind() != reflect.Uint8; i++ {
			if bad := textOf(v.Index(i)); bad != nil {
				return bad.inside(strconv.Itoa(i))
			}
		}
	default:
	}
	return nil
}

func textOfFields(v reflect.Value) *textError {
	for field, value := range v.Fields() {
		tag := field.Tag.Get("json")
		if tag == "-" || !field.IsExported() && !field.Anonymous {
			continue
		}
		name, _, _ := strings.Cut(tag, ",")
		bad := textOf(value)
		switch {
		case bad == nil:
			continue
		case name != "":
			return bad.inside(name)
		case field.Anonymous:
			return bad
		default:
			return bad.inside(field.Name)
		}
	}
	return nil
}

// interfaceOf is a value as its methods see it: those of its pointer, too, where the encoder can call them.
func interfaceOf(v reflect.Value) any {
	switch {
	case v.CanAddr() && v.Addr().CanInterface():
		return v.Addr().Interface()
	case v.CanInterface():
		return v.Interface()
	default:
		return nil // of an embedded struct that is not exported
	}
}

func textIn(text string) *textError {
	if utf8.ValidString(text) {
		return nil
	}
	return &textError{text: text}
}

func (e *textError) inside(step string) *textError {
	e.path = append(e.path, step)
	return e
}
