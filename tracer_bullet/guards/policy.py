"""What becomes of an operation in a bullet: pure decisions, and the refusal they may end in."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from tracer_bullet.guards.config import GuardConfig, Policy, Rule, Sink, Stub
from tracer_bullet.guards.sql.statements import Statement, StatementKind

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # RFC 9110, section 9.2.1


class WriteRefused(Exception):  # noqa: N818  # the protocol's name
    """A bullet tried to write where that cannot be made harmless. `operation` has no values."""

    def __init__(self, operation: str, why: str) -> None:
        super().__init__(f"tracer bullet: {operation} was refused: {why}")
        self.operation = operation
        self.why = why


DECISIONS: Final = {
    Policy.ROLLBACK: "rolled_back",
    Policy.NOOP: "suppressed",
    Policy.SHADOW: "shadowed",
    Policy.STUB: "stubbed",
    Policy.REDIRECT: "shadowed",
    Policy.FORWARD: "forwarded",
    Policy.DENY: "denied",
    Policy.ALLOW: "allowed",
}
"""What the trace says of a write under each policy."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What becomes of one write. `refuse` says why it must not happen in any form; empty when it may."""

    policy: Policy
    refuse: str = ""

    @property
    def decision(self) -> str:
        """What the trace says."""
        return DECISIONS[Policy.DENY if self.refuse else self.policy]


def find_rule(config: GuardConfig, sink: Sink, operation: str) -> Rule | None:
    """The first rule that fits an operation of a sink."""
    name = operation.lower()
    return next((r for r in config.rules if r.sink is sink and fnmatchcase(name, r.operation.lower())), None)


@dataclass(frozen=True, slots=True)
class SqlAction:
    """`decision` for the trace (empty: not a write); `refuse` says why it must not run at all."""

    decision: str
    refuse: str = ""


@dataclass(frozen=True, slots=True)
class EgressAction:
    """What becomes of an HTTP call to a third party."""

    decision: str = ""
    stub: Stub | None = None
    redirect_to: str = ""
    refuse: str = ""


# Where DDL ends the transaction by itself, a rollback cannot undo it.
_DDL_COMMITS = frozenset({"mysql", "mariadb", "oracle"})
_NO_WRITE = frozenset({StatementKind.READ, StatementKind.SAVEPOINT})
_CONTROL = frozenset({StatementKind.BEGIN, StatementKind.COMMIT, StatementKind.ROLLBACK})


def sql_action(statement: Statement, policy: Policy, dialect: str) -> SqlAction:
    """Judge one SQL statement of a bullet."""
    if statement.kind in _NO_WRITE or statement.kind in _CONTROL:
        return SqlAction("")
    if policy is Policy.ALLOW or policy is Policy.NOOP:
        return SqlAction(DECISIONS[policy])
    refuse = _why_not(statement, policy, dialect)
    return SqlAction(DECISIONS[Policy.DENY if refuse else policy], refuse)


def _why_not(statement: Statement, policy: Policy, dialect: str) -> str:
    """Why a write cannot be rolled back or sent to a shadow table; empty when it can."""
    if policy is Policy.DENY:
        return "the policy for SQL is deny"
    if statement.kind is StatementKind.ESCAPE:
        why = f": {statement.why}" if statement.why else ""
        return f"a rollback would not undo it{why}" if policy is Policy.ROLLBACK else f"it cannot be shadowed{why}"
    if policy is Policy.SHADOW:
        return "a change of the schema cannot be shadowed" if statement.is_ddl else ""
    if statement.is_ddl and dialect in _DDL_COMMITS:
        return f"{dialect} commits before and after DDL"
    return ""


def egress_action(method: str, host: str, url: str, ruling: Ruling, config: GuardConfig) -> EgressAction:
    """How an unsafe HTTP call of a bullet to a third party is dealt with; `url` comes without query."""
    if ruling.refuse:
        return EgressAction(decision="denied", refuse=ruling.refuse)
    if ruling.policy is Policy.ALLOW:
        return EgressAction(decision="allowed")
    if ruling.policy is Policy.REDIRECT:
        for glob, base in config.redirects:
            if fnmatchcase(host.lower(), glob.lower()):
                return EgressAction(decision="shadowed", redirect_to=base)
        return EgressAction(decision="denied", refuse=f"no redirect is configured for {host}")
    for stub in config.stubs:
        if stub.method in ("*", method.upper()) and fnmatchcase(url, stub.url):
            return EgressAction(decision="stubbed", stub=stub)
    return EgressAction(decision="denied", refuse=f"no stub is configured for {method.upper()} {url}")


def is_inside(host: str, port: int | None, globs: tuple[str, ...]) -> bool:
    """Whether an address is part of the system."""
    names = (host.lower(), f"{host.lower()}:{port}")
    return any(fnmatchcase(name, glob.lower()) for name in names for glob in globs)
