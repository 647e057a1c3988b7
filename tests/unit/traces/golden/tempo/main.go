// Writes what Tempo's `/api/traces/{id}` answers as JSON (its own types, its own marshaler), from an OTLP request, for tests.
package main

import (
	"os"

	"github.com/golang/protobuf/jsonpb"
	"github.com/golang/protobuf/proto"
	"github.com/grafana/tempo/pkg/tempopb"
)

func main() {
	raw, err := os.ReadFile(os.Args[1])
	check(err)
	// An export request and tempopb.Trace are the same on the wire.
	trace := &tempopb.Trace{}
	check(proto.Unmarshal(raw, trace))
	out, err := os.Create(os.Args[2])
	check(err)
	check((&jsonpb.Marshaler{}).Marshal(out, trace))
	check(out.Close())
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
