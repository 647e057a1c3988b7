"""What scenarios and replays alike say of harmlessness, and of whom their requests are for."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from tracer_bullet.model.finding import AUDIT_RULES
from tracer_bullet.workspace.fields import Why
from tracer_bullet.workspace.load import Mistake, MistakesError, Spec
from tracer_bullet.workspace.mistakes import suggest


class AllowSpec(Spec):
    """A write that may happen for real."""

    service: str
    """Glob on the service's name."""
    operation: str
    """Glob on the operation as `tb.guard.operation` has it, for instance `INSERT audit_log`."""
    why: Why
    """The reason, for the report."""


def _rule(value: str) -> str:
    if value not in AUDIT_RULES:
        cure = suggest(value, AUDIT_RULES) or f"the audit's rules are {', '.join(AUDIT_RULES)}"
        raise MistakesError([Mistake(path="", message=f"the audit has no rule {value!r}", cure=cure)])
    return value


class IgnoreSpec(Spec):
    """Findings that do not count against a bullet."""

    rule: Annotated[str, AfterValidator(_rule)]
    """The finding's rule."""
    why: Why
    """The reason, for the report."""


class AuditSpec(Spec):
    """What the trace must prove about the bullet's harmlessness."""

    no_writes: bool = True
    """Every write in the trace was rolled back, suppressed, shadowed, stubbed or denied."""
    every_service_flagged: bool = True
    """Every span of a service that takes part carries the flag."""
    allow: tuple[AllowSpec, ...] = ()
    ignore: tuple[IgnoreSpec, ...] = ()


class TesterSpec(Spec):
    """Whom the bullet's requests are for; travels as baggage."""

    user_id: str | None = None
    account_id: str | None = None
