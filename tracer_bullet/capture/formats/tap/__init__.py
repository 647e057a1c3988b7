"""Envoy's tap (envoy.data.tap.v3): buffered traces and streamed segments, as JSON and as protobuf."""
