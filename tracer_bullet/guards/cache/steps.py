"""Parts that answers to suppressed Redis commands are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from tracer_bullet.guards.cache.commands import Command
from tracer_bullet.guards.cache.wire import Step, Wire

Answer = Callable[[Command], Step]
"""The step in place of a command; IndexError and ValueError say that the command is malformed."""


def constant(value: Any) -> Step:
    """A number, or None, whatever is there."""
    return Step((), lambda _replies, _wire: value)


def ok(_command: Command) -> Step:
    """`OK`, whatever is there."""
    return Step((), lambda _replies, wire: wire.text(b"OK"))


def same(replies: list[Any], _wire: Wire) -> Any:
    """The reply to what was sent."""
    return replies[0]


def count_missing(replies: list[Any], _wire: Wire) -> int:
    """How many values of a list are not there."""
    return sum(value is None for value in replies[0])


def count_present(replies: list[Any], _wire: Wire) -> int:
    """How many values of a list are there."""
    return sum(value is not None for value in replies[0])


def size(replies: list[Any], _wire: Wire) -> int:
    """How many items the reply has."""
    return len(replies[0])


def distinct(words: Iterable[bytes]) -> Command:
    """Each word once, in order."""
    return tuple(dict.fromkeys(words))


def options_of(words: Iterable[bytes]) -> frozenset[bytes]:
    """Options in capitals."""
    return frozenset(word.upper() for word in words)


def integer(value: Any, what: str = "value") -> int:
    """A counter's value; a missing one is 0."""
    try:
        return int(value or 0)
    except ValueError:
        raise_error(f"{what} is not an integer" + (" or out of range" if what == "value" else ""))


def raise_error(text: str) -> NoReturn:
    """Answer with an error, as the server's reply `ERR …` comes out of redis-py's parser."""
    from redis.exceptions import ResponseError  # noqa: PLC0415  # only where the service uses it

    raise ResponseError(text)
