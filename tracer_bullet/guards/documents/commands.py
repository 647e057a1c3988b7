"""MongoDB's commands: which of them write, and what the trace calls those. An unknown command is a write."""

from __future__ import annotations

from typing import Any, Final

from tracer_bullet.guards.documents.message import Message, plain

READS: Final = frozenset(
    """
    aggregate authenticate balancerstatus buildinfo collstats connectionstatus connpoolstats count
    currentop datasize dbhash dbstats distinct endsessions explain features find getcmdlineopts
    getdefaultrwconcern getlog getmore getnonce getparameter getshardmap getshardversion hello hostinfo
    isdbgrid ismaster killcursors listcollections listcommands listdatabases listindexes listshards
    lockinfo logout mapreduce ping plancachelistfilters refreshsessions replsetgetconfig
    replsetgetstatus rolesinfo saslcontinue saslstart serverstatus shardingstate startsession top
    usersinfo validatedbmetadata whatsmyuri
    """.split()  # noqa: SIM905  # fifty quoted words would be harder to read
)
"""Commands that write nothing, in small letters; `aggregate` and `mapReduce` do with some arguments."""

TRANSACTION_ENDS: Final = frozenset({"committransaction", "aborttransaction"})
_STAGES: Final = ("$out", "$merge")


def is_write(message: Message) -> bool:
    """Whether a command writes."""
    name = message.name.lower()
    if name == "aggregate":
        return last_stage(message) is not None
    if name == "mapreduce":
        return not _is_inline(message)
    return name not in READS and name not in TRANSACTION_ENDS


def last_stage(message: Message) -> str | None:
    """The stage by which an aggregation writes its result; it can only be the last one, but a `$facet` is not asked."""
    for stage in message.field("pipeline") or ():
        for name in _STAGES:
            if name in stage:
                return name
    return None


def _is_inline(message: Message) -> bool:
    out = plain(message.field("out"))
    return isinstance(out, dict) and "inline" in out


def collection_of(message: Message) -> str:
    """The collection that a command is about; empty where it is about none."""
    value: Any = message.body[message.name]
    if message.name == "bulkWrite":
        spaces = [str(plain(space).get("ns", "")) for space in message.field("nsInfo") or ()]
        return spaces[0].partition(".")[2] if len(set(spaces)) == 1 else ""
    return value if isinstance(value, str) else ""


def operation_of(message: Message) -> str:
    """What the trace says of a write: `INSERT orders`."""
    return f"{message.name.upper()} {collection_of(message)}".strip()


def in_transaction(message: Message) -> bool:
    """Whether it is part of a transaction of several commands; retryable writes have a number too, but end at once."""
    return message.body.get("autocommit") is False
