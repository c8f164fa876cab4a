package main

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// isTree reports whether a setting is a list of structs, which only a file can hold.
func isTree(f reflect.Value) bool {
	return f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct
}

// setTree sets a list of structs. Keys that the structs do not have are faults. The places of all values are kept, for what validation finds.
func (l *loader) setTree(i int, name string, node ast.Node) {
	s := &l.settings[i]
	s.origin = position(name, node.GetToken())
	l.keepPlaces(s.key, name, node)
	err := yaml.NewDecoder(strings.NewReader(""), yaml.Strict()).DecodeFromNode(node, s.field.Addr().Interface())
	if err == nil {
		return
	}
	o, text := s.origin, err.Error()
	if at := yaml.Error(nil); errors.As(err, &at) {
		text = at.GetMessage()
		if tk := at.GetToken(); tk != nil {
			o = position(name, tk)
		}
	}
	s.field.SetZero() // not half of it
	l.faults.add(o, "%s: %s", s.key, text)
}

// keepPlaces remembers where the value of each key below key stands, as alert.routes[2].match.level.
func (l *loader) keepPlaces(key, name string, node ast.Node) {
	l.places[key] = position(name, node.GetToken())
	switch n := node.(type) {
	case *ast.SequenceNode:
		for i, item := range n.Values {
			l.keepPlaces(fmt.Sprintf("%s[%d]", key, i), name, item)
		}
	case ast.MapNode:
		for it := n.MapRange(); it.Next(); {
			l.keepPlaces(key+"."+it.Key().GetToken().Value, name, it.Value())
		}
	}
}

// placeOf is where the value of a key, or what it is in, was set.
func (l *loader) placeOf(key string) origin {
	for {
		if i, ok := l.byKey[key]; ok {
			if o := l.settings[i].origin; o.source != "default" {
				return o
			}
			return origin{}
		}
		if o, ok := l.places[key]; ok {
			return o
		}
		i := strings.LastIndexAny(key, ".[")
		if i < 0 {
			return origin{}
		}
		key = key[:i]
	}
}
