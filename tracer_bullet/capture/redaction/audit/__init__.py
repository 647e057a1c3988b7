"""The search for secrets that were left in, in whatever encoding: what `capture audit` does.

It shares with redaction what a secret looks like, but not the way through an exchange: whatever redaction forgets to
look at is found here. Pseudonyms of ours are known by their shape. Reports never hold a secret.
"""

from tracer_bullet.capture.redaction.audit.find import Auditor, Secret, find_secrets
from tracer_bullet.capture.redaction.audit.report import AuditReport, AuditRow, audit_exchanges

__all__ = ["AuditReport", "AuditRow", "Auditor", "Secret", "audit_exchanges", "find_secrets"]
