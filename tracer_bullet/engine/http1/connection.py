"""One HTTP/1.1 connection: writes a request, reads its answer. One at a time, no pipelining.

The usual answer, which comes in one read and of which only the figures are wanted, costs three callbacks of llhttp and
no copy. Everything else (answers to HEAD, kept ones, those in many reads) also goes through `_rest`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol, cast

import httptools

from tracer_bullet.engine import client as codes
from tracer_bullet.engine.client import ALL, BACK_OFF, COOKIES, Shot, now_ns
from tracer_bullet.engine.http1.answers import (
    AnswerError,
    cookies_of,
    ends_with_connection,
    final_head,
    read_answer,
    stays_open,
)
from tracer_bullet.engine.patience import Patience

if TYPE_CHECKING:
    from tracer_bullet.engine.settings import EngineSettings

# Larger requests are handed to the transport as they are instead of being joined first.
_JOIN_UNTIL = 65_536


class Owner(Protocol):
    """The pool, as a connection sees it."""

    settings: EngineSettings
    patience: Patience
    buffer: memoryview
    """One for all connections: a read is parsed before the next one begins."""

    def ended(self, connection: Connection, shot: Shot, *, reusable: bool) -> None:
        """The shot is over."""

    def gone(self, connection: Connection) -> None:
        """The connection was closed, by whomever."""

    def broke(self, connection: Connection, shot: Shot) -> None:
        """The connection was closed before the shot's answer was whole."""


class Connection(asyncio.BufferedProtocol):
    """See the module. `shot` is the one under way. `rested`: it lay idle before, so the peer may have closed it."""

    __slots__ = (
        "_clean",
        "_collect",
        "_headed",
        "_is_head",
        "_keep",
        "_now",
        "_owner",
        "_parser",
        "_raw",
        "_status",
        "_whole",
        "blocked",
        "rested",
        "shot",
        "transport",
        "unwritten",
        "written_ns",
    )

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._parser: Any = httptools.HttpResponseParser(self)
        self._raw = bytearray()
        self._now = self._status = self.written_ns = 0
        self._collect = 0  # as `Shot.wants`
        self._whole = self._headed = self._keep = self._is_head = False
        self._clean = True
        self.shot: Shot | None = None
        self.rested = self.unwritten = False
        self.blocked = False  # part of the request still waits for the peer to read

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called once."""
        self.transport = cast("asyncio.Transport", transport)
        # Told as soon as anything is left to write: a request is written only when all of it is.
        self.transport.set_write_buffer_limits(high=1)  # at 0, TLS transports pause with nothing left at all

    def pause_writing(self) -> None:
        """Something is left to write."""
        self.blocked = True

    def resume_writing(self) -> None:
        """All is written."""
        self.blocked = False
        self.written_ns = now_ns()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  (the protocol's signature)
        """Where to read to."""
        return self._owner.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes came."""
        shot = self.shot
        if shot is None:
            self.transport.abort()  # nobody asked: an answer to nothing must not be taken for the next one's
            return
        self._now = now_ns()
        shot.answer_bytes += nbytes
        view = self._owner.buffer[:nbytes]
        if self._is_head:
            self._head_only(shot, view)
            return
        try:
            self._parser.feed_data(view)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._clean = False
            if not self._whole:
                self._fail(shot, codes.PROTOCOL)
                return
        if self._whole and not self._collect:
            self._end(shot)
        else:
            self._rest(shot, view)

    def eof_received(self) -> None:
        """The peer will send nothing more; which ends an answer that has no other end."""
        shot = self.shot
        if shot is not None and self._headed and not self._is_head and not self._whole:
            start, end = final_head(self._raw)
            if start >= 0 and ends_with_connection(self._raw[start:end]):
                self._now = now_ns()
                self._keep = False
                shot.status = self._status
                self._finish_collected(shot)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (the protocol's signature)
        """The connection is closed."""
        shot, self.shot = self.shot, None
        self._parser = None  # the two hold one another
        self._owner.gone(self)
        if shot is not None:
            if self._headed:
                shot.status = self._status
            self._owner.broke(self, shot)

    # llhttp's side.

    def on_message_begin(self) -> None:
        """An answer begins, perhaps a 1xx one."""
        shot = self.shot
        if self._whole or shot is None:
            self._clean = False
        else:
            shot.first_ns = self._now

    def on_headers_complete(self) -> None:
        """The header section is whole."""
        if not self._whole:
            self._headed = True
            self._status = status = self._parser.get_status_code()
            if status in BACK_OFF:
                self._collect = ALL

    def on_message_complete(self) -> None:
        """The answer is whole."""
        if self._whole:
            return
        if self._status < 200 and self._status != 101:
            self._headed = False
            return
        self._whole = True
        self._keep = self._parser.should_keep_alive()

    # The pool's side.

    def start(self, shot: Shot) -> None:
        """Write the shot's request."""
        self.shot = shot
        head, body = shot.head, shot.body
        self._collect = shot.wants
        if head[0] == 72 and head.startswith(b"HEAD "):  # 72: a cheap look first
            self._is_head = True
        write = self.transport.write
        if len(body) < _JOIN_UNTIL:
            data = b"".join((head, shot.carriers, b"\r\n", body))
            shot.request_bytes += len(data)
            self.written_ns = now = now_ns()
            write(data)
        else:
            data = b"".join((head, shot.carriers, b"\r\n"))
            shot.request_bytes += len(data) + len(body)
            self.written_ns = now = now_ns()
            self.transport.writelines((data, body))
        if not shot.sent_ns:
            shot.sent_ns = now
        if self.transport.is_closing():
            # The first write failed at once: the peer had closed before, and the system took nothing of it.
            self.unwritten = True

    def late(self, now: int) -> int:
        """The time-out that the shot under way has passed; 0 for none."""
        shot, settings = self.shot, self._owner.settings
        if shot is None:
            return 0
        if self._owner.patience.is_over(shot, now):
            return codes.TOTAL_TIMEOUT
        if self.blocked:
            return codes.SEND_TIMEOUT if now - shot.sent_ns > settings.send_s * 1e9 else 0
        if not shot.answer_bytes and now - self.written_ns > settings.answer_s * 1e9:
            return codes.ANSWER_TIMEOUT
        return 0

    def give_up(self, error: int) -> None:
        """End the shot under way with this error, and close."""
        if self.shot is not None:
            self._now = 0
            self._fail(self.shot, error)

    def take_back(self) -> Shot | None:
        """Close at once; the shot under way, of which nobody is told."""
        shot, self.shot = self.shot, None
        self.transport.abort()
        return shot

    # The less usual answers.

    def _rest(self, shot: Shot, view: memoryview) -> None:
        """After a read that did not simply end the answer: collect what is needed of it."""
        if self._collect == COOKIES and self._whole and not self._raw:
            shot.status = self._status
            shot.answer = cookies_of(view, self._status)
            self._end(shot)
            return
        if self._collect == ALL:
            if len(self._raw) < self._owner.settings.head_bytes + self._owner.settings.keep_bytes:
                self._raw += view
        elif not self._headed or not self._raw or final_head(self._raw)[0] < 0:
            self._raw += view  # the head is needed if the answer turns out to have no length
        if self._whole:
            shot.status = self._status
            self._finish_collected(shot)
        elif not self._headed and len(self._raw) > self._owner.settings.head_bytes:
            self._fail(shot, codes.TOO_LARGE)

    def _head_only(self, shot: Shot, view: memoryview) -> None:
        """An answer to HEAD, whose length says what a GET would have had."""
        self._raw += view
        if not shot.first_ns:
            shot.first_ns = self._now
        try:
            start, end = final_head(self._raw)
        except AnswerError:
            self._fail(shot, codes.PROTOCOL)
            return
        if start < 0:
            if len(self._raw) > self._owner.settings.head_bytes:
                self._fail(shot, codes.TOO_LARGE)
            return
        self._status = int(self._raw[start + 9 : start + 12])
        self._keep = stays_open(self._raw[start:end])
        self._clean = self._clean and end == len(self._raw)
        self._collect = ALL if self._status in BACK_OFF else self._collect
        self._finish_collected(shot)

    def _finish_collected(self, shot: Shot) -> None:
        self._whole = True
        if self._collect == COOKIES:
            shot.answer = cookies_of(self._raw, self._status)
        elif self._collect:
            try:
                shot.answer, shot.cut = read_answer(self._raw, self._owner.settings.keep_bytes, is_head=self._is_head)
            except AnswerError:
                self._fail(shot, codes.TOO_LARGE)
                return
            shot.cut = shot.cut or len(self._raw) < shot.answer_bytes
        self._end(shot)

    def _end(self, shot: Shot) -> None:
        shot.status = self._status
        shot.ended_ns = self._now
        # An answer that came before the request was written: the rest of it must not be taken for the next one.
        reusable = self._keep and self._clean and not self.blocked
        self.shot = None
        self._whole = self._headed = False
        if self._raw or self._is_head:
            self._raw = bytearray()
            self._is_head = False
        self._owner.ended(self, shot, reusable=reusable)

    def _fail(self, shot: Shot, error: int) -> None:
        shot.error = error
        shot.status = self._status if self._headed else 0
        shot.ended_ns = self._now or now_ns()
        self.shot = None
        self._owner.ended(self, shot, reusable=False)
