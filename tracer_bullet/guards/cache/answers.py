"""What a suppressed Redis command answers: by a read where a read tells the truth, else a neutral value.

Each answer is a function of the command that gives the step in its place. Here: strings, keys,
hashes, scripts and messages; lists, sets, sorted sets and streams are in `redis_collections.py`.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Final, NoReturn

from tracer_bullet.guards.cache.collections import COLLECTIONS
from tracer_bullet.guards.cache.commands import Command, has_its_words, name_of, operation_of
from tracer_bullet.guards.cache.steps import (
    Answer,
    constant,
    count_missing,
    count_present,
    distinct,
    integer,
    ok,
    options_of,
    raise_error,
    same,
)
from tracer_bullet.guards.cache.wire import Step, Wire
from tracer_bullet.guards.policy import WriteRefused

_ARITY: Final = "wrong number of arguments for '{}' command"
Scripts = MutableMapping[bytes, bytes]
"""Lua scripts by their SHA-1 in hexadecimal: what a bullet loaded, which no server has."""


def answer(command: Command, scripts: Scripts) -> Step:
    """What is sent instead of a write, and how its reply is made; nothing that is sent can write.

    Raises WriteRefused when no answer can be inferred.
    """
    name = name_of(command)
    found = _ANSWERS.get(name) or COLLECTIONS.get(name)
    if not has_its_words(name, command):
        return Step((), lambda _replies, _wire: raise_error(_ARITY.format(name.replace(" ", "|").lower())))
    try:
        if name in _SCRIPTED:
            return _SCRIPTED[name](command, scripts)
        if found is not None:
            return found(command)
    except (IndexError, ValueError):
        pass  # malformed: the server would have refused it, but it is not ours to try
    raise WriteRefused(operation_of(command), "no answer can be inferred for a command that is not sent")


def _set(command: Command) -> Step:
    key, options = command[1], options_of(command[3:])
    if b"GET" in options:
        return Step(((b"GET", key),))
    if not options & {b"NX", b"XX"}:
        return ok(command)

    def finish(replies: list[Any], wire: Wire) -> Any:
        return wire.text(b"OK") if bool(replies[0]) == (b"XX" in options) else None

    return Step(((b"EXISTS", key),), finish)


def _msetnx(command: Command) -> Step:
    return Step(((b"EXISTS", *command[1::2]),), lambda r, _: int(r[0] == 0))


def _setrange(command: Command) -> Step:
    end = int(command[2]) + len(command[3]) if command[3] else 0
    return Step(((b"STRLEN", command[1]),), lambda r, _: max(r[0], end))


def _increment(sign: int, by: int | None) -> Answer:
    def make(command: Command) -> Step:
        step = sign * (int(command[2]) if by is None else by)
        return Step(((b"GET", command[1]),), lambda r, _: integer(r[0]) + step)

    return make


def _increment_float(read: Command, by: bytes) -> Step:
    step = float(by)

    def finish(replies: list[Any], wire: Wire) -> Any:
        try:
            return wire.text(f"{float(replies[0] or 0) + step:.17g}".encode())
        except ValueError:
            raise_error("value is not a valid float")

    return Step((read,), finish)


def _bitop(command: Command) -> Step:
    return Step(tuple((b"STRLEN", key) for key in command[3:]), lambda r, _: max(r))


def _bitfield(command: Command) -> Step:
    """GET and SET answer what is there; what INCRBY would give depends on its overflow rules and is not inferred."""
    words, at = [command[1]], 2
    while at < len(command):
        match command[at].upper():
            case b"GET":
                words += [b"GET", *command[at + 1 : at + 3]]
                at += 3
            case b"SET":
                words += [b"GET", *command[at + 1 : at + 3]]
                at += 4
            case _:
                raise ValueError(command[at])
    return Step(((b"BITFIELD_RO", *words),))


def _expire(unit_ms: int, *, absolute: bool) -> Answer:
    def make(command: Command) -> Step:
        wanted = int(command[2]) * unit_ms - (int(time.time() * 1000) if absolute else 0)
        options = options_of(command[3:])

        def finish(replies: list[Any], _wire: Wire) -> int:
            left = replies[0]
            if left == -2:
                return 0
            now = math.inf if left == -1 else left
            holds = {b"NX": left == -1, b"XX": left != -1, b"GT": wanted > now, b"LT": wanted < now}
            return int(all(holds.get(option, True) for option in options))

        return Step(((b"PTTL", command[1]),), finish)

    return make


def _rename(command: Command) -> Step:
    def finish(replies: list[Any], wire: Wire) -> Any:
        if not replies[0]:
            raise_error("no such key")
        return wire.text(b"OK")

    return Step(((b"EXISTS", command[1]),), finish)


def _renamenx(command: Command) -> Step:
    def finish(replies: list[Any], _wire: Wire) -> int:
        if not replies[0]:
            raise_error("no such key")
        return int(not replies[1])

    return Step(((b"EXISTS", command[1]), (b"EXISTS", command[2])), finish)


def _copy(command: Command) -> Step:
    options = options_of(command[3:])
    if b"DB" in options:
        raise ValueError("DB")  # what is there cannot be seen from here
    replace = b"REPLACE" in options

    def finish(replies: list[Any], _wire: Wire) -> int:
        return int(bool(replies[0]) and (replace or not replies[1]))

    return Step(((b"EXISTS", command[1]), (b"EXISTS", command[2])), finish)


def _restore(command: Command) -> Step:
    def finish(replies: list[Any], wire: Wire) -> Any:
        if replies[0] and b"REPLACE" not in options_of(command[4:]):
            from redis.exceptions import ResponseError  # noqa: PLC0415

            raise ResponseError("BUSYKEY Target key name already exists.")
        return wire.text(b"OK")

    return Step(((b"EXISTS", command[1]),), finish)


def _hset(command: Command) -> Step:
    return Step(((b"HMGET", command[1], *distinct(command[2::2])),), count_missing)


def _fields(command: Command) -> Command:
    """The fields of `… FIELDS count field …`."""
    at = [word.upper() for word in command].index(b"FIELDS")
    return command[at + 2 : at + 2 + int(command[at + 1])]


def _field_expiry(command: Command) -> Step:
    read = (b"HMGET", command[1], *_fields(command))
    return Step((read,), lambda r, _: [-2 if value is None else 1 for value in r[0]])


def _known_scripts() -> dict[bytes, int]:
    """redis-py's own lock scripts, which answer 1 when all is well."""
    from redis.lock import Lock  # noqa: PLC0415

    bodies = (Lock.LUA_RELEASE_SCRIPT, Lock.LUA_EXTEND_SCRIPT, Lock.LUA_REACQUIRE_SCRIPT)
    return {sha_of(body.encode()): 1 for body in bodies}


def sha_of(script: bytes) -> bytes:
    """How Redis names a script."""
    return hashlib.sha1(script, usedforsecurity=False).hexdigest().encode()


def _load(command: Command, scripts: Scripts) -> Step:
    sha = sha_of(command[2])
    scripts[sha] = command[2]
    return Step((), lambda _, wire: wire.text(sha))


def _eval(command: Command, scripts: Scripts) -> Step:
    """Run it where it cannot write: the server itself refuses a script's writes under EVAL_RO."""
    by_sha = name_of(command) == "EVALSHA"
    sha = command[1].lower() if by_sha else sha_of(command[1])
    known = _known_scripts().get(sha)
    if known is not None:
        return constant(known)
    body = scripts.get(sha) if by_sha else command[1]
    read = (b"EVALSHA_RO", *command[1:]) if body is None else (b"EVAL_RO", body, *command[2:])
    return Step((read,), _read_only(command), errors_too=True)


def _fcall(command: Command, _scripts: Scripts) -> Step:
    return Step(((b"FCALL_RO", *command[1:]),), _read_only(command), errors_too=True)


def _read_only(command: Command) -> Callable[[list[Any], Wire], Any]:
    def finish(replies: list[Any], _wire: Wire) -> Any:
        reply = replies[0]
        if isinstance(reply, Exception):
            text = str(reply).lower()
            if "read-only script" in text or "write flag" in text or "unknown command" in text:
                refused(command)
            raise reply
        return reply

    return finish


def refused(command: Command) -> NoReturn:
    """Raise the refusal of a script that would write."""
    raise WriteRefused(operation_of(command), "the script writes, and what it would answer cannot be inferred")


_SCRIPTED: Final[dict[str, Callable[[Command, Scripts], Step]]] = {
    "EVAL": _eval,
    "EVALSHA": _eval,
    "FCALL": _fcall,
    "SCRIPT LOAD": _load,
}
_ANSWERS: Final[dict[str, Answer]] = {
    "SET": _set,
    "SETNX": lambda c: Step(((b"EXISTS", c[1]),), lambda r, _: 1 - r[0]),
    "SETEX": ok,
    "PSETEX": ok,
    "MSET": ok,
    "MSETNX": _msetnx,
    "GETSET": lambda c: Step(((b"GET", c[1]),)),
    "GETDEL": lambda c: Step(((b"GET", c[1]),)),
    "GETEX": lambda c: Step(((b"GET", c[1]),)),
    "APPEND": lambda c: Step(((b"STRLEN", c[1]),), lambda r, _: r[0] + len(c[2])),
    "SETRANGE": _setrange,
    "INCR": _increment(1, 1),
    "DECR": _increment(-1, 1),
    "INCRBY": _increment(1, None),
    "DECRBY": _increment(-1, None),
    "INCRBYFLOAT": lambda c: _increment_float((b"GET", c[1]), c[2]),
    "SETBIT": lambda c: Step(((b"GETBIT", c[1], c[2]),)),
    "BITOP": _bitop,
    "BITFIELD": _bitfield,
    "PFADD": lambda _: constant(1),
    "PFMERGE": ok,
    "DEL": lambda c: Step(((b"EXISTS", *distinct(c[1:])),)),
    "UNLINK": lambda c: Step(((b"EXISTS", *distinct(c[1:])),)),
    "EXPIRE": _expire(1000, absolute=False),
    "PEXPIRE": _expire(1, absolute=False),
    "EXPIREAT": _expire(1000, absolute=True),
    "PEXPIREAT": _expire(1, absolute=True),
    "PERSIST": lambda c: Step(((b"PTTL", c[1]),), lambda r, _: int(r[0] >= 0)),
    "RENAME": _rename,
    "RENAMENX": _renamenx,
    "COPY": _copy,
    "RESTORE": _restore,
    "HSET": _hset,
    "HMSET": ok,
    "HSETNX": lambda c: Step(((b"HEXISTS", c[1], c[2]),), lambda r, _: 1 - r[0]),
    "HDEL": lambda c: Step(((b"HMGET", c[1], *distinct(c[2:])),), count_present),
    "HINCRBY": lambda c: Step(((b"HGET", c[1], c[2]),), lambda r, _: integer(r[0], "hash value") + int(c[3])),
    "HINCRBYFLOAT": lambda c: _increment_float((b"HGET", c[1], c[2]), c[3]),
    "HEXPIRE": _field_expiry,
    "HPEXPIRE": _field_expiry,
    "HEXPIREAT": _field_expiry,
    "HPEXPIREAT": _field_expiry,
    "HPERSIST": lambda c: Step(((b"HPTTL", c[1], b"FIELDS", str(len(_fields(c))).encode(), *_fields(c)),), _persisted),
    "HGETDEL": lambda c: Step(((b"HMGET", c[1], *_fields(c)),), same),
    "HGETEX": lambda c: Step(((b"HMGET", c[1], *_fields(c)),), same),
    "HSETEX": lambda _: constant(1),
    "PUBLISH": lambda _: constant(0),
    "SPUBLISH": lambda _: constant(0),
}


def _persisted(replies: list[Any], _wire: Wire) -> list[int]:
    return [left if left < 0 else 1 for left in replies[0]]


def answered_commands() -> frozenset[str]:
    """The names of all commands that can be answered without being sent."""
    return frozenset((*_ANSWERS, *COLLECTIONS, *_SCRIPTED))
