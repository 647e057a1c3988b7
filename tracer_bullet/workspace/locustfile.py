"""What is said of a load test by a locustfile, beside the locustfile. docs/locustfiles.md is its reference."""

from __future__ import annotations

from typing import Literal

from tracer_bullet.workspace.audit import AuditSpec, TesterSpec
from tracer_bullet.workspace.load import Document
from tracer_bullet.workspace.safety import LoadGuardrailsSpec
from tracer_bullet.workspace.sending import Globs, LimitsSpec, ProofSpec


class LocustfileSpec(Document):
    """All but the version has a default: a locustfile needs no such file."""

    target: str | None = None
    """Of tracer-bullet.yaml; may be left out where there is only one."""
    trace: Literal["task", "user", "request"] = "task"
    """What one trace is: an execution of a task, all that a user does, or a single request."""
    flag_hosts: Globs = ()
    """Further `host` or `host:port` that belong to the target and get the flag."""
    allow_hosts: Globs = ()
    """`host` or `host:port` that may be talked to without the flag, as an identity provider or a metrics store."""
    tester: TesterSpec = TesterSpec()
    audit: AuditSpec = AuditSpec()
    guardrails: LoadGuardrailsSpec = LoadGuardrailsSpec()
    limits: LimitsSpec = LimitsSpec()
    proof: ProofSpec = ProofSpec()
