"""What goes over a Redis connection in a bullet, and what the client is told came back.

A `Step` stands for one command of the client: what is sent in its place, and how its reply is
made of the replies to that. Replies are given in the form in which redis-py's parser would have
given the server's, so that whatever comes above it (callbacks, pipelines, clusters, locks) goes on
as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tracer_bullet.guards.cache.commands import Command
from tracer_bullet.guards.policy import WriteRefused


@dataclass(frozen=True, slots=True)
class Wire:
    """How replies look on a connection: `decode` as its encoder does, `resp3` whether it speaks RESP3."""

    decode: Callable[[bytes], Any]
    resp3: bool

    def text(self, value: bytes) -> Any:
        """A string, bytes or text."""
        return self.decode(value)

    def double(self, value: float) -> Any:
        """A floating-point number: RESP2 has none and sends text."""
        return value if self.resp3 else self.decode(f"{value:.17g}".encode())


Finish = Callable[[list[Any], Wire], Any]


@dataclass(frozen=True, slots=True)
class Step:
    """One command of the client: `sends` go out for it; `finish` makes its reply of theirs (None: the only one's).

    Replies that are errors are raised instead, unless `errors_too`.
    """

    sends: tuple[Command, ...]
    finish: Finish | None = None
    errors_too: bool = False

    def reply(self, replies: list[Any], wire: Wire) -> Any:
        """The reply, which may be an exception to raise."""
        error = next((r for r in replies if isinstance(r, Exception)), None)
        if error is not None and not self.errors_too:
            return error
        try:
            return replies[0] if self.finish is None else self.finish(replies, wire)
        except Exception as caught:  # noqa: BLE001  # it is the reply
            return caught


def pack(commands: Iterable[Command]) -> list[bytes]:
    """Commands in Redis' protocol, in the form in which connections take what is packed."""
    parts: list[bytes] = []
    for command in commands:
        parts.append(b"*%d\r\n" % len(command))
        parts.extend(b"$%d\r\n%s\r\n" % (len(word), word) for word in command)
    return [b"".join(parts)]


def unpack(packed: Any) -> list[Command]:
    """The commands in what a client is about to send.

    Raises WriteRefused for what is not in the protocol's form, since it could be anything.
    """
    if isinstance(packed, str):
        packed = packed.encode()
    data = bytes(packed) if isinstance(packed, (bytes, bytearray, memoryview)) else b"".join(packed)
    commands: list[Command] = []
    at = 0
    try:
        while at < len(data):
            count, at = _number(data, at, b"*")
            words: list[bytes] = []
            for _ in range(count):
                size, at = _number(data, at, b"$")
                words.append(data[at : at + size])
                at += size + 2
            if not words or at > len(data):
                raise ValueError
            commands.append(tuple(words))
    except ValueError:
        raise WriteRefused("?", "what was to be sent is no command in Redis' protocol") from None
    return commands


def _number(data: bytes, at: int, sign: bytes) -> tuple[int, int]:
    end = data.index(b"\r\n", at)
    if data[at : at + 1] != sign:
        raise ValueError
    return int(data[at + 1 : end]), end + 2


def in_transactions(steps: Sequence[tuple[Command, Step]], queued: list[Step] | None) -> tuple[list[Step], Any]:
    """Fit steps into the transactions that they are part of: replies come at EXEC, all in one.

    `queued` are the steps since an open MULTI, or None; so is the second value returned, for afterwards.
    """
    fitted: list[Step] = []
    for command, step in steps:
        name = command[0].upper()
        if name == b"EXEC" and queued is not None:
            fitted.append(Step(step.sends, _divide(queued)))
            queued = None
        elif name == b"MULTI" and queued is None:
            fitted.append(step)
            queued = []
        elif queued is None or name in (b"DISCARD", b"RESET"):
            fitted.append(step)
            queued = None
        else:
            fitted.append(Step(step.sends, _queued))
            queued.append(step)
    return fitted, queued


def _queued(_replies: list[Any], wire: Wire) -> Any:
    return wire.text(b"QUEUED")


def _divide(steps: list[Step]) -> Finish:
    """EXEC's reply: that of each command, made of as many replies as were sent for it."""
    steps = list(steps)

    def finish(replies: list[Any], wire: Wire) -> Any:
        (all_of_them,) = replies
        if all_of_them is None:  # a watched key was changed
            return None
        rest = list(all_of_them)
        found: list[Any] = []
        for step in steps:
            mine, rest = rest[: len(step.sends)], rest[len(step.sends) :]
            found.append(step.reply(mine, wire))
        for reply in found:
            if isinstance(reply, WriteRefused):
                raise reply
        return found

    return finish
