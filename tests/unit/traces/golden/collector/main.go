// Writes what the OpenTelemetry Collector's file exporter writes (its own marshalers, its own framing), for tests.
package main

import (
	"encoding/binary"
	"os"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

const base = 1763650000000000000

func add(to ptrace.Traces, service, name string, kind ptrace.SpanKind, trace, id, parent byte, startMs, endMs int64) ptrace.Span {
	resource := to.ResourceSpans().AppendEmpty()
	resource.Resource().Attributes().PutStr("service.name", service)
	resource.Resource().Attributes().PutStr("host.name", service+"-1")
	scope := resource.ScopeSpans().AppendEmpty()
	scope.Scope().SetName("shop/instrumentation")
	scope.Scope().SetVersion("1.2.3")
	span := scope.Spans().AppendEmpty()
	span.SetTraceID(pcommon.TraceID{0xAB, 15: trace})
	span.SetSpanID(pcommon.SpanID{0xCD, 7: id})
	if parent != 0 {
		span.SetParentSpanID(pcommon.SpanID{0xCD, 7: parent})
	}
	span.SetName(name)
	span.SetKind(kind)
	span.SetStartTimestamp(pcommon.Timestamp(base + startMs*1e6 + 1))
	span.SetEndTimestamp(pcommon.Timestamp(base + endMs*1e6 + 7))
	span.SetFlags(257)
	return span
}

func main() {
	first := ptrace.NewTraces()
	gateway := add(first, "gateway", "POST /orders", ptrace.SpanKindServer, 1, 1, 0, 0, 100)
	gateway.Attributes().PutInt("http.response.status_code", 201)
	gateway.Attributes().PutDouble("ratio", 0.25)
	gateway.Attributes().PutBool("cached", false)
	gateway.Attributes().PutEmptyBytes("raw").Append(0xFF, 0x00)
	tags := gateway.Attributes().PutEmptySlice("tags")
	tags.AppendEmpty().SetStr("a")
	tags.AppendEmpty().SetInt(9007199254740993)
	gateway.Attributes().PutEmptyMap("shape").PutStr("kind", "large")
	gateway.TraceState().FromRaw("vendor=1")
	call := add(first, "gateway", "POST", ptrace.SpanKindClient, 1, 2, 1, 10, 90)
	call.Attributes().PutStr("server.address", "cart")
	second := ptrace.NewTraces() // one trace over two lines
	cart := add(second, "cart", "POST /cart", ptrace.SpanKindServer, 1, 3, 2, 15, 80)
	cart.Status().SetCode(ptrace.StatusCodeError)
	cart.Status().SetMessage("out of stock")
	event := cart.Events().AppendEmpty()
	event.SetName("exception")
	event.SetTimestamp(pcommon.Timestamp(base + 70*1e6))
	event.Attributes().PutStr("exception.type", "OutOfStock")
	link := cart.Links().AppendEmpty()
	link.SetTraceID(pcommon.TraceID{0xAB, 15: 2})
	link.SetSpanID(pcommon.SpanID{0xCD, 7: 9})
	add(second, "", "nameless", ptrace.SpanKindUnspecified, 2, 9, 0, 5, 6).SetDroppedAttributesCount(3)

	metrics := pmetric.NewMetrics()
	metric := metrics.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	metric.SetName("orders")
	metric.SetEmptySum().DataPoints().AppendEmpty().SetIntValue(3)
	logs := plog.NewLogs()
	logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body().SetStr("hello")

	lines, framed := []byte{}, []byte{}
	json, proto := ptrace.JSONMarshaler{}, ptrace.ProtoMarshaler{}
	for _, traces := range []ptrace.Traces{first, second} {
		text, err := json.MarshalTraces(traces)
		check(err)
		lines = append(append(lines, text...), '\n')
		raw, err := proto.MarshalTraces(traces)
		check(err)
		framed = append(binary.BigEndian.AppendUint32(framed, uint32(len(raw))), raw...)
	}
	text, err := (&pmetric.JSONMarshaler{}).MarshalMetrics(metrics)
	check(err)
	lines = append(append(lines, text...), '\n')
	text, err = (&plog.JSONMarshaler{}).MarshalLogs(logs)
	check(err)
	lines = append(append(lines, text...), '\n')
	check(os.WriteFile("collector.jsonl", lines, 0o644))
	check(os.WriteFile("collector.binpb", framed, 0o644))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
