"""GoReplay → exchanges: requests paired with their original answers by id.

An id is used again after a while (it is ports, address and TCP number), so a pair is the request and the next answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO, Final

from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.formats.gor.records import HEADER, SEPARATOR, Record, records
from tracer_bullet.capture.formats.shared import http1, parts
from tracer_bullet.capture.formats.shared.streams import RECORD_BYTES
from tracer_bullet.capture.formats.shared.waiting import Waiting
from tracer_bullet.model.exchange import Answer, Exchange, Lack, Request
from tracer_bullet.model.losses import Losses

REPLAYED: Final = "answers of a replay (GoReplay's type 3), which are not the recording's"
JOINED: Final = "pieces of request bodies in records of their own: joined"
UNASKED: Final = "answers without their request"
NO_HOST: Final = "requests without a host that can be read"
_NUMBERED: Final = re.compile(r"[0-9a-f]{24}")
_FIRST_LINE: Final = re.compile(rb"(?:[!-~]{1,40} \S[^\r\n]* HTTP/\d|HTTP/\d(?:\.\d)? \d{3})")


@dataclass(slots=True)
class _Asked:
    record: Record
    message: http1.Message


class Gor:
    """The reader."""

    name = "GoReplay"
    glue = SEPARATOR  # between the files of a folder

    def recognises(self, head: bytes) -> bool:
        """Whether it begins with a record's header and a line of HTTP."""
        found = HEADER.match(head.lstrip())
        return found is not None and _FIRST_LINE.match(head.lstrip()[found.end() :].lstrip()) is not None

    def read(self, stream: BinaryIO, losses: Losses, options: ReadOptions) -> Iterator[Exchange]:
        """One exchange a request, in the order of the requests."""
        waiting: Waiting[_Asked, tuple[Record, http1.Message]] = Waiting()
        for record in records(stream, losses):
            if record.kind == 1:
                ready = _ask(waiting, record, losses)
            elif record.kind == 2:
                ready = _answer(waiting, record, losses)
            else:
                losses.lose(REPLAYED)
                continue
            for asked, answered in ready:
                yield from _exchange(asked, answered, losses, options)
        for asked, answered in waiting.rest():
            yield from _exchange(asked, answered, losses, options)
        if waiting.unasked:
            losses.lose(UNASKED, count=waiting.unasked)


_Ready = Iterator[tuple[_Asked, tuple[Record, http1.Message] | None]]


def _ask(waiting: Waiting[_Asked, tuple[Record, http1.Message]], record: Record, losses: Losses) -> _Ready:
    if parts.bounded_ns(record.stamp_ns) is None:
        losses.lose(parts.NO_TIME, record.stamp_ns)
        return iter(())
    if not _FIRST_LINE.match(record.message.lstrip(b"\r\n")) and _continues(waiting.open(record.id), record, losses):
        return iter(())
    message = http1.request(record.message, losses)
    if message is None:
        return iter(())
    return waiting.ask(record.id, _Asked(record, message), len(record.message))


def _continues(before: _Asked | None, record: Record, losses: Losses) -> bool:
    """Whether it is a piece of the body that the request before it lacks: GoReplay writes late packets on their own."""
    if before is None or not before.message.cut:
        return False
    raw = before.record.message + record.message
    whole = http1.request(raw, Losses()) if len(raw) <= RECORD_BYTES else None
    if whole is None:
        return False
    losses.repair(JOINED)
    before.record, before.message = replace(before.record, message=raw), whole
    return True


def _answer(waiting: Waiting[_Asked, tuple[Record, http1.Message]], record: Record, losses: Losses) -> _Ready:
    # Answers may stand before their requests, whose method is not known then.
    message = http1.answer(record.message, "GET", losses)
    if message is None or parts.bounded_ns(record.stamp_ns) is None:
        return iter(())
    return waiting.answer(record.id, (record, message), len(record.message))


def _exchange(
    asked: _Asked, answered: tuple[Record, http1.Message] | None, losses: Losses, options: ReadOptions
) -> Iterator[Exchange]:
    lacks: set[Lack] = set()
    request = _request(asked.message, lacks, losses, options)
    if request is None:
        return
    record = asked.record
    answer, first_byte, ended = None, None, None
    if answered is None:
        lacks.add(Lack.ANSWER)
    else:
        said, message = answered
        if request.method == "HEAD":
            message = replace(message, body=b"", cut=False)
        answer = Answer(status=message.status, headers=message.headers, body=message.body, trailers=message.trailers)
        if message.cut:
            lacks.add(Lack.ANSWER_BODY_CUT)
        first_byte = said.stamp_ns
        if said.took_ns is not None and said.took_ns >= 0:
            ended = parts.bounded_ns(said.stamp_ns + said.took_ns)
    if ended is None:
        lacks.add(Lack.DURATION)
    session = record.id[:16] if _NUMBERED.fullmatch(record.id) else ""
    if not session:
        lacks.add(Lack.SESSION)
    yield Exchange(
        id="",  # GoReplay's own repeats
        session=session,
        source="goreplay",
        started_ns=record.stamp_ns,
        first_byte_ns=first_byte,
        ended_ns=ended,
        request=request,
        answer=answer,
        lacks=frozenset(lacks),
    )


def _request(message: http1.Message, lacks: set[Lack], losses: Losses, options: ReadOptions) -> Request | None:
    method = parts.method(message.method, losses)
    if method is None:
        return None
    scheme, authority, target = options.scheme, parts.first(message.headers, "host"), message.target
    if method == "CONNECT":
        authority, target = target, "/"
    elif "://" in target:  # to a proxy; RFC 9112, 3.2.2: it wins over Host
        place = parts.place(target, losses)
        if place is None:
            return None
        scheme, authority, target = place.scheme, place.authority, place.target
    if not parts.is_authority(authority):
        authority = options.authority
        lacks.add(Lack.AUTHORITY)
    if message.cut:
        lacks.add(Lack.REQUEST_BODY_CUT)
    return Request(
        method=method,
        scheme=scheme,
        authority=authority,
        target=parts.origin_form(target, losses),
        http_version=message.http_version,
        headers=message.headers,
        body=message.body,
        trailers=message.trailers,
    )
