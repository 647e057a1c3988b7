"""One shot on its stream: what was sent of it, and what has come."""

from __future__ import annotations

from typing import Final

from tracer_bullet.engine import client as codes
from tracer_bullet.engine.client import ALL, BACK_OFF, COOKIES, Shot
from tracer_bullet.engine.http2.dialect import status_of, texts
from tracer_bullet.engine.patience import Patience
from tracer_bullet.engine.settings import EngineSettings
from tracer_bullet.model.exchange import Answer, Headers

# RFC 9113, section 6.5.2: how the size of a header list is counted.
_FIELD_COST: Final = 32
_BODILESS: Final = frozenset({204, 304})
Fields = list[tuple[bytes, bytes]]


class Stream:
    """`unsent` is what the peer's windows have not let out yet; `written_ns` is 0 until all is out."""

    __slots__ = (
        "_body",
        "_came",
        "_headers",
        "_room",
        "_status",
        "_trailers",
        "_wants_body",
        "number",
        "shot",
        "unsent",
        "unwritten",
        "written_ns",
    )

    def __init__(self, number: int, shot: Shot, keep_bytes: int) -> None:
        self.number = number
        self.shot = shot
        self.unsent = memoryview(shot.body)
        self.written_ns = 0
        self.unwritten = False
        self._room = keep_bytes
        self._came = 0
        self._status = 0
        self._headers: Headers = ()
        self._trailers: Headers = ()
        self._body: list[bytes] = []
        self._wants_body = shot.wants == ALL

    def headed(self, fields: Fields, now: int, settings: EngineSettings) -> int:
        """The final answer's header section came; an error when it is not acceptable, else 0."""
        shot = self.shot
        shot.first_ns = now
        if _size(fields) > settings.head_bytes:
            return codes.TOO_LARGE
        self._status = shot.status = status_of(fields)
        if not shot.status:
            return codes.PROTOCOL
        self._headers = texts(fields)
        self._wants_body = shot.wants == ALL or shot.status in BACK_OFF
        return 0

    def trailed(self, fields: Fields, settings: EngineSettings) -> int:
        """Trailers came; an error when they are too long, else 0."""
        self._trailers = texts(fields)
        return codes.TOO_LARGE if _size(fields) > settings.head_bytes else 0

    def data(self, data: bytes) -> None:
        """A piece of the body came."""
        self._came += len(data)
        if self._wants_body and self._room >= 0:
            if len(data) > self._room:
                self.shot.cut = True
            self._body.append(data[: self._room])
            self._room -= len(self._body[-1])

    def late(self, now: int, settings: EngineSettings, patience: Patience) -> int:
        """The time-out that has passed; 0 for none."""
        shot = self.shot
        if patience.is_over(shot, now):
            return codes.TOTAL_TIMEOUT
        if not self.written_ns:
            return codes.SEND_TIMEOUT if now - shot.sent_ns > settings.send_s * 1e9 else 0
        if not shot.first_ns and now - self.written_ns > settings.answer_s * 1e9:
            return codes.ANSWER_TIMEOUT
        return 0

    @property
    def head(self) -> tuple[int, Headers, Headers]:
        """Status, headers and trailers, as they came."""
        return self._status, self._headers, self._trailers

    @property
    def well_formed(self) -> bool:
        """Whether the body has the length that the header section told (RFC 9113, section 8.1.1)."""
        told = {value.strip() for name, value in self._headers if name.lower() == "content-length"}
        if not told or self.shot.method == b"HEAD" or self._status in _BODILESS:
            return True
        return told == {str(self._came)}

    def answer(self) -> Answer | None:
        """The answer itself, where it is wanted; with the status that was sent, whatever the shot's is taken for."""
        status, headers, trailers = self.head
        if not self._wants_body and self.shot.status not in BACK_OFF:
            sets = self.shot.wants == COOKIES and any(name.lower() == "set-cookie" for name, _ in headers)
            return Answer(status=status, headers=headers, body=None) if sets else None
        return Answer(status=status, headers=headers, body=b"".join(self._body), trailers=trailers)


def _size(fields: Fields) -> int:
    return sum(len(name) + len(value) + _FIELD_COST for name, value in fields)
