package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// message prints an answer of the API as JSON: every field of it, always, in the
// proto's order and under the proto's own snake_case names; integers are numbers,
// signed documents objects, other bytes base64. (protojson would write integers
// as strings and leave out what is zero.)
type message struct{ proto.Message }

// MarshalJSON writes the message.
func (m message) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	if err := writeMessage(&b, m.ProtoReflect()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func writeMessage(b *bytes.Buffer, m protoreflect.Message) error {
	fields := m.Descriptor().Fields()
	b.WriteByte('{')
	for i := range fields.Len() {
		f := fields.Get(i)
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(b, "%q:", f.Name())
		if err := writeField(b, f, m.Get(f)); err != nil {
			return err
		}
	}
	b.WriteByte('}')
	return nil
}

func writeField(b *bytes.Buffer, f protoreflect.FieldDescriptor, v protoreflect.Value) error {
	if !f.IsList() {
		return writeValue(b, f, v)
	}
	list := v.List()
	b.WriteByte('[')
	for i := range list.Len() {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := writeValue(b, f, list.Get(i)); err != nil {
			return err
		}
	}
	b.WriteByte(']')
	return nil
}

func writeValue(b *bytes.Buffer, f protoreflect.FieldDescriptor, v protoreflect.Value) error {
	switch f.Kind() {
	case protoreflect.MessageKind:
		if !v.Message().IsValid() {
			b.WriteString("null")
			return nil
		}
		return writeMessage(b, v.Message())
	case protoreflect.BytesKind:
		return writeJSON(b, document(v.Bytes()))
	default:
		return writeJSON(b, v.Interface())
	}
}

func writeJSON(b *bytes.Buffer, v any) error {
	data, err := json.Marshal(v)
	b.Write(data)
	return err
}

// document is the JSON of bytes: a JSON object as it is, nothing as null, and
// anything else in base64.
func document(data []byte) json.RawMessage {
	switch {
	case len(data) == 0:
		return json.RawMessage("null")
	case data[0] == '{' && json.Valid(data):
		return json.RawMessage(data)
	default:
		return json.RawMessage(`"` + base64.StdEncoding.EncodeToString(data) + `"`)
	}
}

// printMessage prints an answer as it is, or for people through text.
func (a *app) printMessage(m proto.Message, text func(w io.Writer) error) error {
	return a.print(message{m}, text)
}
