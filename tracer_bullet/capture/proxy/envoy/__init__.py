"""Envoy, as the proxy runs it: its configuration, its process, its admin interface and what comes out of that."""
