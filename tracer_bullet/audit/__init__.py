"""The audit of a bullet: was it harmless, and how is that known (docs/protocol.md, section 5).

Pure functions over traces. Posture: safety fails closed; no service's word is trusted
where the trace says otherwise.
"""

from tracer_bullet.audit.audit import AllowedWrite, AuditRules, audit_trace

__all__ = ["AllowedWrite", "AuditRules", "audit_trace"]
