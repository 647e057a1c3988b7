"""The flag on the wire and in the process: carriers, token, decision, request scope, bridges.

Runs inside services, so it imports little and must not know any guarded library.
Posture: safety fails closed (what cannot be proved is refused), telemetry fails soft.
"""

from tracer_bullet.context.scope import current, is_trace, stale_contexts

__all__ = ["current", "is_trace", "stale_contexts"]
