"""Snippets of configuration for an Envoy or an nginx that already runs, so that it tells what our readers need. Pure.

What they write lies on that server's disk as it was sent, before our redaction: each snippet says so where it matters.
"""

from tracer_bullet.capture.config.envoy import envoy_log, envoy_mirror, envoy_tap
from tracer_bullet.capture.config.nginx import nginx_log

__all__ = ["envoy_log", "envoy_mirror", "envoy_tap", "nginx_log"]
