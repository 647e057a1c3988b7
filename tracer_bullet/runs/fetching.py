"""Spans at an address: any answer of a trace server's query API that an importer knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import BinaryIO, Final, cast
from urllib.parse import urlsplit, urlunsplit

import httpx

from tracer_bullet.runs.importing import Input

_CONNECT_TIMEOUT_S: Final = 10.0
# Between two pieces of an answer: a server may search for long before the first.
_READ_TIMEOUT_S: Final = 300.0


def url_input(url: str, headers: Mapping[str, str]) -> Input:
    """An input that is fetched by GET when it is opened, and read as it comes.

    Opening or reading raises OSError that says what the server said or why it broke off. The name has no password.
    """
    parts = urlsplit(url)
    name = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return Input(name=name, open=partial(_open, url, dict(headers)))


@contextmanager
def _open(url: str, headers: Mapping[str, str]) -> Iterator[BinaryIO]:
    timeout = httpx.Timeout(_READ_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S)
    try:
        with httpx.stream("GET", url, headers=dict(headers), timeout=timeout, follow_redirects=True) as answer:
            if answer.status_code != 200:
                raise OSError(None, f"it answered {answer.status_code} {answer.reason_phrase}")
            # A reader of importers takes `read` alone.
            yield cast("BinaryIO", _Body(answer))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OSError(None, f"{type(error).__name__}: {error}") from error


class _Body:
    """The body of an answer, decoded, as a stream."""

    def __init__(self, answer: httpx.Response) -> None:
        self._pieces = answer.iter_bytes()
        self._left = b""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; empty at the end. Raises OSError when the server breaks off."""
        while not self._left:
            try:
                self._left = next(self._pieces)
            except StopIteration:
                return b""
            except httpx.HTTPError as error:
                raise OSError(None, f"the answer broke off: {type(error).__name__}: {error}") from error
        taken, self._left = (self._left, b"") if size < 0 else (self._left[:size], self._left[size:])
        return taken
