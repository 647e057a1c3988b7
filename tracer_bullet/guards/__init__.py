"""Guards in a service: bullets come in with proof or not at all, and their writes do not happen.

`arm()` arms the service; `asgi.GuardMiddleware` or `wsgi.GuardMiddleware` stands in front of
it; or neither, under `opentelemetry-instrument`. Must not import a guarded library that the
service does not use. Posture: safety fails closed, telemetry fails soft.
"""

from tracer_bullet.guards.config import GuardConfig, Net, Policy, Rule, Sink, Stub
from tracer_bullet.guards.policy import WriteRefused
from tracer_bullet.guards.registry import Armed, arm, census

__all__ = ["Armed", "GuardConfig", "Net", "Policy", "Rule", "Sink", "Stub", "WriteRefused", "arm", "census"]
