"""The net below the guards: what a bullet does through code that no guard stands for.

An audit hook (PEP 578) sees connects, datagrams, files opened for writing, file-system changes
and subprocesses of Python code and of the standard library. What the nearest library on the
stack has no guard for is left on the trace, or refused (`net="deny"`). It is a net and not a
wall: docs/guards/net.md lists its blind spots, `blind_spots()` those of this process.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import PurePath
from typing import Any, Final

from opentelemetry import trace

from tracer_bullet.context.scope import Scope, live_scope
from tracer_bullet.guards.below import is_below
from tracer_bullet.guards.config import Net, Policy
from tracer_bullet.guards.evidence import span_parent
from tracer_bullet.guards.policy import DECISIONS, WriteRefused
from tracer_bullet.model import RequestType, attributes

Describe = Callable[[tuple[Any, ...]], str]
"""From an audit event's arguments: what the trace says of it, without values; empty when it is harmless."""

PROCESS: Final = "RUN process"
"""What the trace says of work in another process of Python's own, which has no scope."""
_WRITE_FLAGS: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Log lines are telemetry, imports write bytecode, and tempfile's files are the process's own.
_TRUSTED_STDLIB: Final = ("logging", "importlib", "tempfile")
_TRUSTED: Final = frozenset({"tracer_bullet", "opentelemetry"})
# Libraries that others call: who called them says whether a guard stands above.
_HELPERS: Final = frozenset(
    {
        "aiobotocore", "aiohappyeyeballs", "aiomysql", "aiormq", "aiosqlite", "amqp", "anyio", "asgiref", "asyncmy",
        "async_timeout", "asyncpg", "billiard", "boto3", "bson", "exceptiongroup", "greenlet", "gridfs", "h11", "h2",
        "kombu", "mysql", "MySQLdb", "pamqp", "pg8000", "psycopg", "psycopg2", "psycopg_pool", "pymysql", "requests",
        "requests_toolbelt", "s3transfer", "sniffio", "tenacity", "urllib3", "vine", "wrapt",
    }
)  # fmt: skip
BLIND: Final = {
    "uvloop": "uvloop (its sockets raise no audit events)",
    "psycopg_binary": "psycopg (libpq's sockets)",
    "psycopg_c": "psycopg (libpq's sockets)",
    "psycopg2": "psycopg2 (libpq's sockets)",
    "MySQLdb": "mysqlclient (libmysqlclient's sockets)",
    "confluent_kafka": "confluent-kafka (librdkafka's sockets)",
    "grpc": "grpcio (its C core's sockets)",
    "pycurl": "pycurl (libcurl's sockets)",
    "pyodbc": "pyodbc (the ODBC driver's sockets)",
    "oracledb": "oracledb (in thick mode)",
    "zmq": "pyzmq (libzmq's sockets)",
    "pylibmc": "pylibmc (libmemcached's sockets)",
    "duckdb": "duckdb (files that it writes)",
    "pyarrow": "pyarrow (files and object stores that it writes)",
}


def _address(value: Any) -> str:
    if isinstance(value, tuple) and len(value) >= 2:
        return f"{value[0]}:{value[1]}"
    return "unix socket" if value is not None else ""


def _sends(args: tuple[Any, ...]) -> str:
    address = _address(args[1] if len(args) > 1 else None)
    return f"SEND {address}" if address else ""  # on a connected socket: its connect was seen


def _opens(args: tuple[Any, ...]) -> str:
    path, mode, flags = (*args, None, None, None)[:3]
    writes = any(c in mode for c in "wax+") if isinstance(mode, str) else bool(int(flags or 0) & _WRITE_FLAGS)
    return f"WRITE {_place(path)}" if writes and _place(path) else ""


def _place(path: Any) -> str:
    """A file by folder and kind, since names may hold values; empty for devices and open descriptors."""
    if isinstance(path, int) or path is None:
        return ""
    found = PurePath(os.fsdecode(path))
    return "" if found.parts[:2] in {("/", "dev"), ("/", "proc")} else str(found.parent / f"*{found.suffix}")


def _changes(verb: str) -> Describe:
    return lambda args: f"{verb} {_place(args[0])}" if args and _place(args[0]) else ""


def _runs(args: tuple[Any, ...]) -> str:
    program = args[0] if args else ""
    text = os.fsdecode(program) if isinstance(program, (str, bytes, os.PathLike)) else str(program)
    return f"RUN {PurePath(text.split(' ', 1)[0]).name}"


_EVENTS: Final[dict[str, Describe]] = {
    "socket.connect": lambda args: f"CONNECT {_address(args[1])}",
    "socket.sendto": _sends,
    "socket.sendmsg": _sends,
    "open": _opens,
    "os.remove": _changes("REMOVE"),
    "os.rename": _changes("RENAME"),
    "os.rmdir": _changes("REMOVE"),
    "os.mkdir": _changes("CREATE"),
    "os.link": _changes("LINK"),
    "os.symlink": _changes("LINK"),
    "os.truncate": _changes("TRUNCATE"),
    "os.chmod": _changes("CHMOD"),
    "os.chown": _changes("CHOWN"),
    "subprocess.Popen": _runs,
    "os.system": _runs,
    "os.exec": _runs,
    "os.fork": lambda _: PROCESS,
    "os.forkpty": lambda _: PROCESS,
    "os.posix_spawn": _runs,
    "os.spawn": lambda args: _runs(args[1:]),
}


_COVERED: ContextVar[bool] = ContextVar("tracer_bullet_covered", default=False)


class _Net:
    """The hook's state. A hook cannot be taken out again, so it is switched by `watching`."""

    def __init__(self) -> None:
        self.watching = False
        self.guarded: Callable[[], frozenset[str]] = frozenset
        self._hooked = False
        self._busy = threading.local()

    def spread(self, guarded: Callable[[], frozenset[str]]) -> None:
        """Watch from now on; `guarded` names the modules whose guards are armed."""
        self.guarded = guarded
        self.watching = True
        if not self._hooked:
            self._hooked = True
            sys.addaudithook(self._seen)

    def _seen(self, event: str, args: tuple[Any, ...]) -> None:
        describe = _EVENTS.get(event)
        if describe is None or not self.watching:
            return
        scope = live_scope()
        if scope is None or _COVERED.get() or is_below() or getattr(self._busy, "now", False):
            return
        self._busy.now = True  # what the report itself does must not be reported
        try:
            operation = describe(args)
            if operation and not _is_guarded(sys._getframe(1), self.guarded()):
                _report(scope, operation)
        finally:
            self._busy.now = False


_net = _Net()


def spread(guarded: Callable[[], frozenset[str]]) -> None:
    """Install the net, or switch it on again; `guarded` names the modules whose guards are armed."""
    _net.spread(guarded)


def seen(scope: Scope, operation: str) -> None:
    """Tell of an act of a bullet's that raises no audit event, or refuse it."""
    if _net.watching and not _COVERED.get() and not is_below():
        _report(scope, operation)


def fold() -> None:
    """Switch the net off."""
    _net.watching = False


@contextmanager
def covered() -> Iterator[None]:
    """Run the block as a guard's: what it starts is ruled on already, also in tasks of its own (happy eyeballs)."""
    token = _COVERED.set(True)
    try:
        yield
    finally:
        _COVERED.reset(token)


def blind_spots() -> tuple[str, ...]:
    """Modules imported in this process whose writes the net cannot see; a guard may stand for them all the same."""
    return tuple(name for name in BLIND if name in sys.modules)


def _is_guarded(frame: Any, guarded: frozenset[str]) -> bool:
    """Whether the nearest library on the stack is one that a guard stands for, or is to be trusted."""
    while frame is not None:
        name: str = frame.f_globals.get("__name__", "")
        root = name.partition(".")[0]
        if name in guarded or root in guarded or root in _TRUSTED or root in _TRUSTED_STDLIB:
            return True
        if root not in sys.stdlib_module_names and root not in _HELPERS:
            return False
        frame = frame.f_back
    return False


def _report(scope: Scope, operation: str) -> None:
    """Leave it on the trace, once a request; refuse it where the configuration says so."""
    from tracer_bullet.guards.rulings import owner  # noqa: PLC0415  # which imports the registry, and that this

    armed = owner(scope)
    if armed.config.net is Net.OFF:
        return
    refused = armed.config.net is Net.DENY
    if scope.context.request_type is RequestType.STANDARD and not refused:
        return  # a tester's request is on no bullet's trace
    told: set[str] = scope.state.setdefault(_KEY, set())
    if operation not in told:
        told.add(operation)
        decision = DECISIONS[Policy.DENY] if refused else attributes.UNGUARDED
        span = armed.tracer.start_span(
            operation,
            context=span_parent(scope),
            kind=trace.SpanKind.INTERNAL,
            attributes={attributes.DECISION: decision, attributes.OPERATION: operation},
        )
        span.end()
    if refused:
        raise WriteRefused(operation, "no guard stands for the code that does it, and net is deny")


_KEY = object()
