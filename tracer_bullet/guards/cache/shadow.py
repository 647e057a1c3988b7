"""Redis under the policy `shadow`: a bullet's writes go to keys and channels with a prefix.

A key is copied into the shadow before a bullet's first write to it (streams are not: they start
empty), so that counters, hashes and conditions go on from what is there. A read goes to the shadow
when this request has written the key or when the shadow has it, else to the real key.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from tracer_bullet.guards.cache.answers import Scripts, sha_of
from tracer_bullet.guards.cache.commands import (
    CHANNELS,
    SUBSCRIPTIONS,
    Command,
    Kind,
    key_positions,
    kind_of,
    known_commands,
    name_of,
    operation_of,
)
from tracer_bullet.guards.cache.wire import Finish, Step, Wire
from tracer_bullet.guards.policy import WriteRefused

COPY_MAX_BYTES: Final = 1 << 20
"""A bigger key is not copied, since the server does nothing else meanwhile."""

Asking = Generator[list[Command], list[Any], "T_"]
"""Yields commands to be sent at once, takes their replies (errors among them), returns its result."""

T_ = TypeVar("T_")
# Their replies begin with the name of a key, or have one for each stream.
_NAMES_FIRST: Final = frozenset({"BLPOP", "BRPOP", "BZPOPMIN", "BZPOPMAX", "LMPOP", "ZMPOP", "BLMPOP", "BZMPOP"})
_NAMES_STREAMS: Final = frozenset({"XREAD", "XREADGROUP"})


@dataclass(frozen=True, slots=True)
class Shadow:
    """The shadow of one server and database, as one request sees it. `written`: real names of keys that it wrote."""

    prefix: bytes
    written: set[bytes]
    scripts: Scripts

    def steps(self, commands: list[Command], writes: list[bool]) -> Asking[list[Step | WriteRefused]]:
        """The steps in place of commands, of which some write; a refusal in place of what cannot be shadowed."""
        commands = [self._with_body(c) for c in commands]
        refusals = [self._refusal(c) if w else None for c, w in zip(commands, writes, strict=True)]
        keys = [[c[i] for i in key_positions(c) or ()] for c in commands]
        asked = list(dict.fromkeys(k for one in keys for k in one if k not in self.written))
        there = set()
        if asked:
            replies = yield [(b"EXISTS", self.prefix + key) for key in asked]
            there = {key for key, reply in zip(asked, _unless_error(replies, commands), strict=True) if reply}
        fresh = [
            key
            for command, write, one, refusal in zip(commands, writes, keys, refusals, strict=True)
            if write and refusal is None
            for key in one
            if key not in self.written and key not in there and not _is_stream(command)
        ]
        too_big = (yield from self._copy(list(dict.fromkeys(fresh)), commands)) if fresh else set()
        steps: list[Step | WriteRefused] = []
        for command, write, one, refusal in zip(commands, writes, keys, refusals, strict=True):
            if write and too_big.intersection(one):
                refusal = f"a key of more than {COPY_MAX_BYTES} bytes is not copied into the shadow"  # noqa: PLW2901
            if refusal is not None:
                steps.append(WriteRefused(operation_of(command), refusal))
                continue
            if write:
                self.written.update(one)
            steps.append(self._step(command, there))
        return steps

    def _copy(self, keys: list[bytes], commands: list[Command]) -> Asking[set[bytes]]:
        """Copy keys that are there; those that are too big are returned."""
        sizes = _unless_error((yield [(b"MEMORY", b"USAGE", key) for key in keys]), commands)
        small = [key for key, size in zip(keys, sizes, strict=True) if size is not None and size <= COPY_MAX_BYTES]
        if small:
            _unless_error((yield [(b"COPY", key, self.prefix + key) for key in small]), commands)
        return {key for key, size in zip(keys, sizes, strict=True) if size is not None and size > COPY_MAX_BYTES}

    def _with_body(self, command: Command) -> Command:
        """A script by its text, where the bullet knows it: the server need not have it."""
        if name_of(command) != "EVALSHA":
            return command
        body = self.scripts.get(command[1].lower()) or _lock_scripts().get(command[1].lower())
        return command if body is None else (b"EVAL", body, *command[2:])

    def _refusal(self, command: Command) -> str | None:
        name = name_of(command)
        if name in CHANNELS or name in ("SCRIPT LOAD", "EVALSHA"):
            return None
        if kind_of(name) is Kind.SERVER:
            return "it is about the whole server"
        keys = key_positions(command)
        if not keys:
            return "which keys it writes cannot be known"
        if name == "COPY" and b"DB" in [word.upper() for word in command[3:]]:
            return "it writes to another database"
        if name == "FCALL" or (name == "EVAL" and not touches_its_keys_only(command[1])):
            return "which keys the script writes cannot be known"
        return None

    def _step(self, command: Command, there: set[bytes]) -> Step:
        name = name_of(command)
        if name in CHANNELS:
            return Step(((command[0], self.prefix + command[1], *command[2:]),))
        if name in SUBSCRIPTIONS:
            return Step(((command[0], *(self.prefix + channel for channel in command[1:])),))
        if name == "SCRIPT LOAD":
            sha = sha_of(command[2])
            self.scripts[sha] = command[2]
            return Step((), lambda _, wire: wire.text(sha))
        if name == "EVALSHA":
            return Step((), _no_script)  # clients then load it, and the bullet learns its text
        words = list(command)
        for at in key_positions(command) or ():
            if words[at] in self.written or words[at] in there:
                words[at] = self.prefix + words[at]
        return Step((tuple(words),), self._renaming(name))

    def _renaming(self, name: str) -> Finish | None:
        if name in _NAMES_FIRST:
            return lambda r, _: r[0] and [self.real(r[0][0]), *r[0][1:]]
        if name in _NAMES_STREAMS:
            return lambda r, _: self._streams(r[0])
        return None

    def _streams(self, reply: Any) -> Any:
        if isinstance(reply, dict):
            return {self.real(name): entries for name, entries in reply.items()}
        return reply and [[self.real(one[0]), *one[1:]] for one in reply]

    def real(self, name: Any) -> Any:
        """A name without the prefix, bytes or text."""
        return name.removeprefix(self.prefix.decode() if isinstance(name, str) else self.prefix)


def _unless_error(replies: list[Any], commands: list[Command]) -> list[Any]:
    """Replies to what was asked first; in a cluster, whose slots the prefix changes, they are errors."""
    error = next((reply for reply in replies if isinstance(reply, Exception)), None)
    if error is not None:
        raise WriteRefused(operation_of(commands[0]), f"the shadow key could not be made: {error}")
    return replies


def _is_stream(command: Command) -> bool:
    return command[0][:1].upper() == b"X"


def _no_script(_replies: list[Any], _wire: Wire) -> Any:
    from redis.exceptions import NoScriptError  # noqa: PLC0415  # only where the service uses it

    raise NoScriptError("No matching script. Please use EVAL.")


def _lock_scripts() -> dict[bytes, bytes]:
    from redis.lock import Lock  # noqa: PLC0415

    bodies = (Lock.LUA_RELEASE_SCRIPT, Lock.LUA_EXTEND_SCRIPT, Lock.LUA_REACQUIRE_SCRIPT)
    return {sha_of(body.encode()): body.encode() for body in bodies}


_CALL: Final = re.compile(rb"redis\s*\.\s*p?call\s*\(\s*(['\"])([A-Za-z]+)\1\s*,\s*KEYS\s*\[\s*\d+\s*\]\s*([,)])")
_HARMLESS: Final = re.compile(rb"redis\s*\.\s*(?:error_reply|status_reply|sha1hex|log|LOG_[A-Z]+)\b")
# What could name a key in another way: other names for `redis` or KEYS, and code made at run time.
_SUSPICIOUS: Final = re.compile(
    rb"redis|server|_G|getfenv|setfenv|load|dofile|require|debug|rawset|setmetatable|KEYS\s*\[[^\]]*\]\s*=[^=]|"
    rb"(?<!#)\bKEYS\b(?!\s*\[)|\\"
)


def touches_its_keys_only(script: bytes) -> bool:
    """Whether a Lua script can be seen to write nothing but its KEYS: each call's one key is `KEYS[n]`."""
    for _, name, after in _CALL.findall(script):
        found = known_commands().get(name.decode().upper())
        alone = ("i1/r0,1,0", "i1/r-1,1,0") if after == b")" else ("i1/r0,1,0",)
        if found is None or found.kind is Kind.SERVER or len(found.keys) != 1 or found.keys[0] not in alone:
            return False
    return _SUSPICIOUS.search(_HARMLESS.sub(b"", _CALL.sub(b"(", script))) is None
