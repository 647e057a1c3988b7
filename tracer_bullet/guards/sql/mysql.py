"""What a rollback does not undo in MySQL and MariaDB although the statement looks like any other write.

Tables of engines without transactions (MyISAM, Aria, MEMORY and others) keep what was
written, whether a statement names them or a trigger, view or function leads there. The
server's catalogue is read once a minute, by bullets alone.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from tracer_bullet.guards.config import Policy
from tracer_bullet.guards.sql.lane import Lane, drive
from tracer_bullet.guards.sql.raw_judging import Judged, Ways
from tracer_bullet.guards.sql.raw_lanes import RawSession
from tracer_bullet.guards.sql.statements import Statement, StatementKind

DIALECTS: Final = frozenset({"mysql", "mariadb"})
Ask = Callable[[str], Iterable[Any]]
"""Runs a query on the bullet's own connection, without judgement; gives its rows."""

# The statements that write and commit nothing by themselves. Every other one may end the transaction:
# https://mariadb.com/docs/server/reference/sql-statements/transactions/sql-statements-that-cause-an-implicit-commit
_STAYS: Final = frozenset({"INSERT", "REPLACE", "UPDATE", "DELETE", "SELECT", "LOAD", "DO", "VALUES", "SET", "SIGNAL"})
_TABLES: Final = """
SELECT t.table_schema, t.table_name, t.engine, e.transactions
FROM information_schema.tables t LEFT JOIN information_schema.engines e ON e.engine = t.engine
WHERE t.table_schema NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys')
"""
# What runs when a table, view or function is used.
_BODIES: Final = (
    "SELECT event_object_table, action_statement FROM information_schema.triggers WHERE event_object_schema <> 'sys'",
    "SELECT routine_name, routine_definition FROM information_schema.routines WHERE routine_schema <> 'sys'",
    "SELECT table_name, view_definition FROM information_schema.views WHERE table_schema <> 'sys'",
)
_KEPT_S: Final = 60.0
_WORD: Final = re.compile(r"[\w$]+")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Names in lower case. `lasting`: tables that keep what a rollback should undo, with and without schema."""

    tables: frozenset[str]
    lasting: frozenset[str]
    bodies: dict[str, tuple[str, ...]]

    def why_not(self, name: str) -> str:
        """Why writing to `name`, or calling it, would leave something; empty when it would not."""
        name = name.lower()
        if name in self.lasting:
            return f"the engine of {name} has no transactions"
        waiting, seen = [name.rpartition(".")[2]], set[str]()
        while waiting and self.lasting:
            one = waiting.pop()
            seen.add(one)
            for body in self.bodies.get(one, ()):
                if not body:
                    return f"what {one} does cannot be read, and there are tables without transactions"
                words = set(_WORD.findall(body.lower()))
                found = sorted(words & self.lasting)
                if found:
                    return f"{one} leads to {found[0]}, whose engine has no transactions"
                waiting.extend((words & self.bodies.keys()) - seen)
        return ""


class MysqlSession(RawSession):
    """A session on MySQL or MariaDB, whose lanes' channels have `ask` (see above). For drivers that block."""

    def _possible(self, judged: Judged, ways: Ways) -> Judged:
        judged = super()._possible(judged, ways)
        if not judged.decision or judged.refuse or judged.policy is not Policy.ROLLBACK:
            return judged
        channel: Any = drive(self.acquire()).channel
        try:
            why = why_not(judged.statement, channel.ask, self.source.key)
        finally:
            drive(self.let_go())
        return judged.refused(why) if why else judged

    async def _recover(self, lane: Lane) -> None:
        """After some errors (a deadlock) the server has rolled back the whole transaction, and the lane with it."""
        channel: Any = lane.channel
        if channel.usable() and asked(channel.ask) is False:
            lane.cut()
        await super()._recover(lane)


def in_transaction(connection: Any, ask: Ask) -> bool | None:
    """Whether a driver's connection is in a transaction; None when nobody can say."""
    status = getattr(connection, "server_status", None)  # PyMySQL, asyncmy and aiomysql note the server's last word
    # It says nothing new with rows (INSERT … RETURNING), so that its No may be of before.
    return True if status is not None and status & 1 else asked(ask)


def asked(ask: Ask) -> bool | None:
    """Whether the server says that a transaction is open; None when it cannot say."""
    try:
        return bool(next(iter(ask("SELECT @@in_transaction")))[0])
    except Exception:  # noqa: BLE001  # MySQL has no such variable
        return None


_catalogues: dict[Hashable, tuple[float, Catalogue]] = {}
_lock = threading.Lock()


def why_not(statement: Statement, ask: Ask, server: Hashable) -> str:
    """Why a rollback would not undo a write of MySQL's or MariaDB's; empty when it would.

    `server` names what `ask` is connected to: answers are kept under it.
    """
    if statement.kind is not StatementKind.WRITE:
        return ""
    for operation in statement.operations:
        verb, _, name = operation.removeprefix("EXPLAIN ").partition(" ")
        if statement.is_ddl or verb not in _STAYS:
            return "it may commit by itself, or a rollback may not undo it"
        if verb == "SELECT" or not name:
            found = _of(ask, server).why_not(name) if name else _unnamed(verb, ask, server)
        else:
            found = _of_table(name, ask, server)
        if found:
            return found
    return ""


def _of_table(name: str, ask: Ask, server: Hashable) -> str:
    catalogue = _of(ask, server)
    if name.lower() not in catalogue.tables:  # it may be younger than what is known
        catalogue = _of(ask, server, fresh=True)
    if name.lower() not in catalogue.tables:
        return f"the engine of {name} is not known"
    return catalogue.why_not(name)


def _unnamed(verb: str, ask: Ask, server: Hashable) -> str:
    if verb in ("DO", "SELECT", "SET", "SIGNAL", "VALUES") or not _of(ask, server).lasting:
        return ""
    return "what it writes is not known, and there are tables without transactions"


def _of(ask: Ask, server: Hashable, *, fresh: bool = False) -> Catalogue:
    now_s = time.monotonic()
    with _lock:
        read_s, found = _catalogues.get(server, (0.0, None))
    if found is None or fresh or now_s - read_s > _KEPT_S:
        found = read_catalogue(ask)
        with _lock:
            _catalogues[server] = (now_s, found)
    return found


def read_catalogue(ask: Ask) -> Catalogue:
    """Ask the server which tables have transactions and, if some have none, what leads to them."""
    tables, lasting = set[str](), set[str]()
    for schema, name, engine, transactions in ask(_TABLES):
        both = {_text(name), f"{_text(schema)}.{_text(name)}"}
        tables |= both
        if engine is not None and _text(transactions or "no") != "yes":
            lasting |= both
    bodies: dict[str, tuple[str, ...]] = {}
    for query in _BODIES if lasting else ():
        for name, body in ask(query):
            bodies[_text(name)] = (*bodies.get(_text(name), ()), _text(body or ""))
    return Catalogue(frozenset(tables), frozenset(lasting), bodies)


def _text(value: Any) -> str:
    """Drivers give names as text or bytes."""
    return (value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)).lower()
