"""Redis' commands: which write, where their keys are, and what the trace calls them.

The table `commands.txt` is what a real server says of itself (`COMMAND`); it is written by
`python -m tests.servers.redis`, and a test holds it against the server it runs on. What newer
servers know besides is below. A command that is in neither is a write.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib import resources
from typing import Final

Command = tuple[bytes, ...]
"""A command as it goes over the wire: its name, of one word or two, and its arguments."""

_TABLE: Final = "commands.txt"
# Since Redis 7.2, 7.4 and 8.0 (from their documentation), in the form of the table's rows.
_NEWER: Final = """
CLIENT MAINT_NOTIFICATIONS	-1
CLIENT NO-TOUCH	-1
CLIENT SETINFO	-1
CLUSTER MYSHARDID	-1
CLUSTER SLOT-STATS	-1
HEXPIRE	-6	write	i1/r0,1,0
HEXPIREAT	-6	write	i1/r0,1,0
HEXPIRETIME	-5	readonly	i1/r0,1,0
HGETDEL	-5	write	i1/r0,1,0
HGETEX	-5	write	i1/r0,1,0
HPERSIST	-5	write	i1/r0,1,0
HPEXPIRE	-6	write	i1/r0,1,0
HPEXPIREAT	-6	write	i1/r0,1,0
HPEXPIRETIME	-5	readonly	i1/r0,1,0
HPTTL	-5	readonly	i1/r0,1,0
HSETEX	-6	write	i1/r0,1,0
HTTL	-5	readonly	i1/r0,1,0
WAITAOF	-1
"""
# Scripts may write, and messages are seen by others; `COMMAND` does not show its flag for either.
_EFFECTS: Final = frozenset({"EVAL", "EVALSHA", "FCALL", "PUBLISH", "SPUBLISH", "SCRIPT LOAD"})
# Flagged `write` or nothing, yet about the whole server or out of it, or about how replies are sent.
_SERVER: Final = frozenset(
    {"FLUSHALL", "FLUSHDB", "SWAPDB", "MIGRATE", "MOVE", "RESTORE-ASKING", "FUNCTION DELETE", "FUNCTION FLUSH",
     "FUNCTION KILL", "FUNCTION LOAD", "FUNCTION RESTORE", "SCRIPT DEBUG", "SCRIPT FLUSH", "SCRIPT KILL",
     "MEMORY PURGE", "CLIENT REPLY"}
)  # fmt: skip
# Flagged `admin`, and change nothing.
_ADMIN_READS: Final = frozenset(
    {"ACL GETUSER", "ACL LIST", "ACL USERS", "CLIENT LIST", "CLUSTER REPLICAS", "CLUSTER SLAVES", "CONFIG GET",
     "LATENCY HISTORY", "LATENCY LATEST", "MODULE LIST", "SLOWLOG GET", "SLOWLOG LEN"}
)  # fmt: skip
CHANNELS: Final = frozenset({"PUBLISH", "SPUBLISH"})
SUBSCRIPTIONS: Final = frozenset(
    {"SUBSCRIBE", "UNSUBSCRIBE", "PSUBSCRIBE", "PUNSUBSCRIBE", "SSUBSCRIBE", "SUNSUBSCRIBE"}
)
_SEGMENT_MAX = 32


class Kind(Enum):
    """What a command does: `SERVER` is about the whole server, and no suppressed or shadowed form of it exists."""

    READ = "read"
    WRITE = "write"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Known:
    """A command of the table. `arity`: how many words it has, or, when negative, at least has. `keys`: specifications
    as in `tests/servers/redis.py`, `command_table`."""

    kind: Kind
    arity: int
    keys: tuple[str, ...]


def read_row(row: str) -> tuple[str, Known]:
    """One row of the table: name, arity, flags and keys, divided by tabs."""
    name, arity, flags, keys = (*row.split("\t"), "", "")[:4]
    return name, Known(_kind(name, frozenset(flags.split(","))), int(arity), tuple(keys.split()))


def _kind(name: str, flags: frozenset[str]) -> Kind:
    if name in _SERVER or ("admin" in flags and name not in _ADMIN_READS):
        return Kind.SERVER
    return Kind.WRITE if "write" in flags or name in _EFFECTS else Kind.READ


@cache
def known_commands() -> dict[str, Known]:
    """Every command that this release knows, by its name in capitals (`XGROUP CREATE`)."""
    table = resources.files("tracer_bullet.guards.cache").joinpath(_TABLE).read_text(encoding="ascii")
    return dict(read_row(row) for row in (_NEWER + table).splitlines() if row)


@cache
def _containers() -> frozenset[str]:
    return frozenset(name.split()[0] for name in known_commands() if " " in name)


def name_of(command: Command) -> str:
    """The command's name in capitals, with its subcommand where it has one."""
    first = command[0].decode("ascii", "replace").upper()
    if first in _containers() and len(command) > 1:
        return f"{first} {command[1].decode('ascii', 'replace').upper()}"
    return first


def kind_of(name: str) -> Kind:
    """What a command does; unknown ones write."""
    found = known_commands().get(name)
    return Kind.WRITE if found is None else found.kind


def has_its_words(name: str, command: Command) -> bool:
    """Whether the command has as many words as the server wants."""
    found = known_commands().get(name)
    return found is None or (len(command) == found.arity if found.arity > 0 else len(command) >= -found.arity)


def key_positions(command: Command) -> tuple[int, ...] | None:
    """Where a command's keys are among its words, in order; None when that cannot be known.

    Patterns that name keys (`SORT … BY`) are not keys.
    """
    name = name_of(command)
    found = known_commands().get(name)
    if found is None:
        return None
    if name == "SORT":
        return (1, *_sort_destination(command))
    try:
        return tuple(sorted({i for spec in found.keys if "?" not in spec for i in _positions(spec, command)}))
    except (ValueError, IndexError):  # malformed, which the server would say too
        return None


def _sort_destination(command: Command) -> tuple[int, ...]:
    """SORT's options may come in any order, and its last STORE counts."""
    words = [word.upper() for word in command]
    skip = {b"BY": 2, b"GET": 2, b"LIMIT": 3}
    at, found = 2, 0
    while at < len(words):
        if words[at] == b"STORE":
            found = at + 1
            at += 2
            continue
        at += skip.get(words[at], 1)
    return (found,) if found else ()


def _positions(spec: str, command: Command) -> Iterator[int]:
    begin, _, find = spec.partition("/")
    first = _begin(begin, command)
    if first is None:
        return
    numbers = [int(n) for n in find[1:].split(",")]
    if find[0] == "n":
        index, offset, step = numbers
        count = int(command[first + index])
        yield from range(first + offset, first + offset + count * step, step)
        return
    last, step, limit = numbers
    if last >= 0:
        end = first + last
    elif limit > 1:  # only that part of the rest holds keys: XREAD has as many ids after them
        end = first + (len(command) - first) // limit - 1
    else:
        end = len(command) + last
    yield from range(first, end + 1, step)


def _begin(begin: str, command: Command) -> int | None:
    if begin[0] == "i":
        return int(begin[1:])
    word, start = begin[1:].split(",")
    at = int(start)
    words = range(at, len(command)) if at > 0 else range(len(command) + at, 0, -1)
    return next((i + 1 for i in words if command[i].upper() == word.encode()), None)


def operation_of(command: Command) -> str:
    """What the trace says of a write: the command and the first segment of its first key or channel (`SET cart`)."""
    name = name_of(command)
    if name in CHANNELS:
        keys: tuple[int, ...] = (1,)
    else:
        keys = key_positions(command) or ()
    segment = _segment(command[keys[0]]) if keys and keys[0] < len(command) else ""
    return f"{name} {segment}".strip()


def _segment(key: bytes) -> str:
    """What may be told of a key: the namespace before its first colon, or the word that it begins with."""
    text = key.decode("utf-8", "replace")
    space, colon, _ = text.partition(":")
    if colon and re.fullmatch(rf"[\w.\-]{{1,{_SEGMENT_MAX}}}", space, re.ASCII):
        return space
    word = re.match(rf"[A-Za-z_.\-]{{1,{_SEGMENT_MAX}}}", text)
    return word.group().rstrip("_.-") if word else ""
