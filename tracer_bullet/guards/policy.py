"""What becomes of an operation in a bullet: pure decisions, and the refusal they may end in."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from tracer_bullet.guards.config import EgressPolicy, GuardConfig, SqlPolicy, Stub
from tracer_bullet.guards.statements import Statement, StatementKind

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # RFC 9110, section 9.2.1


class WriteRefused(Exception):  # noqa: N818  # the protocol's name
    """A bullet tried to write where that cannot be made harmless. `operation` has no values."""

    def __init__(self, operation: str, why: str) -> None:
        super().__init__(f"tracer bullet: {operation} was refused: {why}")
        self.operation = operation
        self.why = why


@dataclass(frozen=True, slots=True)
class SqlAction:
    """`decision` for the trace (empty: not a write); `refuse` says why it must not run at all."""

    decision: str
    refuse: str = ""


@dataclass(frozen=True, slots=True)
class EgressAction:
    """What becomes of an HTTP call. `inside`: to the system itself, with the flag; else without it."""

    inside: bool = False
    decision: str = ""
    stub: Stub | None = None
    redirect_to: str = ""
    refuse: str = ""


# Where DDL ends the transaction by itself, a rollback cannot undo it.
_DDL_COMMITS = frozenset({"mysql", "mariadb", "oracle"})
_NO_WRITE = frozenset({StatementKind.READ, StatementKind.SAVEPOINT})
_CONTROL = frozenset({StatementKind.BEGIN, StatementKind.COMMIT, StatementKind.ROLLBACK})


def sql_action(statement: Statement, policy: SqlPolicy, dialect: str) -> SqlAction:
    """Judge one SQL statement of a bullet."""
    if statement.kind in _NO_WRITE:
        return SqlAction("")
    if policy is SqlPolicy.ALLOW:
        return SqlAction("" if statement.kind in _CONTROL else "allowed")
    if statement.kind in _CONTROL:
        return SqlAction("")
    if policy is SqlPolicy.DENY:
        return SqlAction("denied", "the policy for SQL is deny")
    if statement.kind is StatementKind.ESCAPE:
        return SqlAction("denied", "a rollback would not undo it")
    if statement.is_ddl and dialect in _DDL_COMMITS:
        return SqlAction("denied", f"{dialect} commits before and after DDL")
    return SqlAction("rolled_back")


def egress_action(method: str, host: str, port: int | None, url: str, config: GuardConfig) -> EgressAction:
    """Judge one HTTP call of a bullet; `url` comes without query."""
    if is_inside(host, port, config.system_hosts):
        return EgressAction(inside=True)
    if method.upper() in SAFE_METHODS:
        return EgressAction()
    if config.egress is EgressPolicy.DENY:
        return EgressAction(decision="denied", refuse=f"{host} is a third party and the policy for egress is deny")
    if config.egress is EgressPolicy.REDIRECT:
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
