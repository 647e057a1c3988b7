// The endpoint of docs/conformance.md with stock OpenTelemetry. Behind the sidecar of docs/envoy.md,
// x-tracer-bullet is there exactly when the request is a bullet with proof.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
)

const header = "x-tracer-bullet"

var written atomic.Int64
var client = http.Client{Transport: otelhttp.NewTransport(http.DefaultTransport)}

// run is the bullet's run, or empty for a customer's request.
func run(r *http.Request) (run, token string) {
	token = r.Header.Get(header)
	if token == "" {
		token = baggage.FromContext(r.Context()).Member("tb-token").Value()
	}
	if token == "" {
		return "", ""
	}
	var claims struct{ Run string }
	if parts := strings.Split(token, "."); len(parts) == 3 {
		raw, _ := base64.RawURLEncoding.DecodeString(parts[1])
		_ = json.Unmarshal(raw, &claims)
	}
	return claims.Run, token
}

func call(ctx context.Context, url, token string) error {
	out, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if token != "" {
		out.Header.Set(header, token) // OpenTelemetry carries the other two carriers
	}
	reply, err := client.Do(out)
	if err != nil {
		return err
	}
	return reply.Body.Close()
}

func conformance(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("content-type", "application/json")
	if r.Method == http.MethodGet {
		_ = json.NewEncoder(w).Encode(map[string]any{"written": written.Load()})
		return
	}
	var wanted struct {
		ForwardTo string `json:"forward_to"`
		Write     bool   `json:"write"`
	}
	run, token := run(r)
	if err := json.NewDecoder(r.Body).Decode(&wanted); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := call(r.Context(), wanted.ForwardTo, token); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	if token != "" {
		_ = json.NewEncoder(w).Encode(map[string]any{"request_type": "TRACE", "wrote": false, "run": run})
		return
	}
	if wanted.Write {
		written.Add(1)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"request_type": "STANDARD", "wrote": true})
}

func main() {
	otel.SetTracerProvider(trace.NewTracerProvider())
	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator(
		propagation.TraceContext{}, propagation.Baggage{}))
	http.Handle("/tracer-bullet/conformance", otelhttp.NewHandler(http.HandlerFunc(conformance), "conformance"))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Printf("listening on %d\n", listener.Addr().(*net.TCPAddr).Port)
	panic(http.Serve(listener, nil))
}
