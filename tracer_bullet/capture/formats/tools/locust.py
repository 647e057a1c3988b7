"""The CSV of Locust's CsvRequestLogger (locust/contrib/csv_request_logger.py): one row a request.

`name` is a path only where the test has not given another: rows whose name is neither path nor address are lost.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import BinaryIO, Final

from tracer_bullet.capture.formats.base import ReadOptions
from tracer_bullet.capture.formats.shared import parts
from tracer_bullet.capture.formats.shared.streams import lines
from tracer_bullet.model.exchange import SAFE_METHODS, Answer, Exchange, Lack, Request
from tracer_bullet.model.losses import Losses

NAMED: Final = "Locust rows with a name that is no path"
BAD_ROW: Final = "Locust rows that cannot be read"
_COLUMNS: Final = b"timestamp,request_type,name,response_time_ms,response_length,status_code,exception"


class LocustCsv:
    """The reader."""

    name = "Locust request log"

    def recognises(self, head: bytes) -> bool:
        """Whether its first line has the logger's columns."""
        return head.startswith(_COLUMNS)

    def read(self, stream: BinaryIO, losses: Losses, options: ReadOptions) -> Iterator[Exchange]:
        """One exchange a row."""
        rows = _rows(stream, losses)
        next(rows, None)
        for row in rows:
            found = _exchange(row, losses, options) if len(row) >= 6 else None
            if found is not None:
                yield found
            elif len(row) < 6:
                losses.lose(BAD_ROW, row)


def _rows(stream: BinaryIO, losses: Losses) -> Iterator[list[str]]:
    """Rows a line: an exception's text may hold line breaks, whose further lines are no rows of their own."""
    for line in lines(stream, losses):
        text = line.decode("utf-8", "replace").replace("\0", "")
        try:
            yield from csv.reader([text])
        except csv.Error as error:
            losses.lose(BAD_ROW, error)


def _exchange(row: list[str], losses: Losses, options: ReadOptions) -> Exchange | None:
    started, took = _ns(row[0], 10**9), _ns(row[3], 10**6)
    if started is None:
        losses.lose(parts.NO_TIME, row[0])
        return None
    name = row[2]
    lacks = {Lack.REQUEST_HEADERS, Lack.SESSION}
    if "://" in name:
        place = parts.place(name, losses)
    elif name.startswith("/"):
        lacks |= {Lack.AUTHORITY, Lack.SCHEME}
        place = parts.Place(options.scheme, options.authority, parts.origin_form(name, losses))
    else:
        losses.lose(NAMED, name)
        return None
    method = parts.method(row[1], losses)
    if place is None or method is None:
        return None
    body = b"" if method in SAFE_METHODS else None
    if body is None:
        lacks.add(Lack.REQUEST_BODY)
    ended = None if took is None else parts.bounded_ns(started + took)
    if ended is None:
        lacks.add(Lack.DURATION)
    answer = None
    if row[5].isascii() and row[5].isdigit() and 100 <= int(row[5][:4]) < 1000:
        answer = Answer(status=int(row[5][:4]), body=None)
        lacks |= {Lack.ANSWER_HEADERS, Lack.ANSWER_BODY}
    return Exchange(
        id="",
        session="",
        source="locust",
        started_ns=started,
        ended_ns=ended,
        request=Request(method=method, scheme=place.scheme, authority=place.authority, target=place.target, body=body),
        answer=answer,
        lacks=frozenset(lacks),
    )


def _ns(text: str, scale: int) -> int | None:
    try:
        return parts.scaled_ns(Decimal(text[:40]), scale)
    except InvalidOperation:
        return None
