"""What the middleware for ASGI and WSGI share: what is recorded, and where it goes.

It fails soft: whatever goes wrong here costs a recording, never a request. Where the exchange goes to must not wait:
`take` queues and returns (`Recorder.take` does). Imports stay small, since services import this.
"""

from __future__ import annotations

import atexit
import hashlib
import importlib
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from tracer_bullet.context.carriers import BAGGAGE, CARRIER_NAMES, HEADER, TRACESTATE, read_claim
from tracer_bullet.model.exchange import Answer, Exchange, Headers, Lack, Request

FILE_VARIABLE: Final = "TRACER_BULLET_CAPTURE"
KEY_FILE_VARIABLE: Final = "TRACER_BULLET_CAPTURE_KEY_FILE"
SAMPLE_VARIABLE: Final = "TRACER_BULLET_CAPTURE_SAMPLE"
SETTINGS_VARIABLE: Final = "TRACER_BULLET_CAPTURE_SETTINGS"
_BODY_LIMIT: Final = 1 << 20
_LOG: Final = logging.getLogger("tracer_bullet.capture")

Take = Callable[[Exchange], object]


@dataclass(slots=True)
class Capture:
    """Where exchanges go, and which do. `body_limit`: bytes of a body that are kept; what is longer is marked as cut.

    `sample`: the share of sessions, whole ones, always the same ones; `session_of` tells them apart, by default the
    cookie `sid`, else Authorization, else the client's address. `counts` says what became of requests: `taken`,
    `bullet`, `excluded`, `sampled-out`, `failed`.
    """

    take: Take
    body_limit: int = _BODY_LIMIT
    exclude_paths: Collection[str] = ()
    sample: float = 1.0
    session_cookies: Collection[str] = ("sid", "session", "sessionid")
    counts: Counter[str] = field(default_factory=Counter)

    def wants(self, path: str, headers: Headers, client: str) -> bool:
        """Whether a request is to be recorded. Never raises."""
        try:
            why = self._why_not(path, headers, client)
        except Exception:  # noqa: BLE001  # a recording is lost, not a request
            why = "failed"
        if why:
            self.counts[why] += 1
        return not why

    def hand_over(self, make: Callable[[], Exchange]) -> None:
        """Give a finished exchange away. Never raises."""
        try:
            self.take(make())
        except Exception as error:  # noqa: BLE001
            self.failed(error)
        else:
            self.counts["taken"] += 1

    def failed(self, error: Exception) -> None:
        """Count a recording that was lost; the first one is logged, without values."""
        self.counts["failed"] += 1
        if self.counts["failed"] == 1:
            _LOG.warning("requests are not recorded: %s", type(error).__name__)

    def _why_not(self, path: str, headers: Headers, client: str) -> str:
        if is_bullet(headers):
            return "bullet"
        if any(fnmatchcase(path, glob) for glob in self.exclude_paths):
            return "excluded"
        if self.sample < 1 and _share(self._session(headers, client)) >= self.sample:
            return "sampled-out"
        return ""

    def _session(self, headers: Headers, client: str) -> str:
        shown = ""
        for name, value in headers:
            lowered = name.lower()
            if lowered == "cookie":
                for part in value.split(";"):
                    cookie, _, content = part.strip().partition("=")
                    if cookie in self.session_cookies:
                        return content
            elif lowered == "authorization":
                shown = value
        return shown or client


def is_bullet(headers: Headers) -> bool:
    """Whether a request claims the flag, validly or not: bullets, and what our own replay sends."""
    carriers: dict[str, list[str]] = {}
    for name, value in headers:
        lowered = name.lower()
        if lowered in CARRIER_NAMES:
            carriers.setdefault(lowered, []).append(value)
    if not carriers:
        return False
    return read_claim(carriers.get(BAGGAGE, ()), carriers.get(TRACESTATE, ()), carriers.get(HEADER, ())) is not None


def _share(session: str) -> float:
    digest = hashlib.sha256(session.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:6], "big") / (1 << 48)


@dataclass(slots=True)
class Kept:
    """A body as it flows by: the first `limit` bytes, and whether there were more."""

    limit: int
    parts: list[bytes] = field(default_factory=list)
    size: int = 0
    cut: bool = False

    def add(self, part: bytes) -> None:
        """See a part."""
        room = self.limit - self.size
        if len(part) > room:
            self.cut = True
            part = part[:room]
        if part:
            self.parts.append(bytes(part))
            self.size += len(part)

    @property
    def content(self) -> bytes:
        """What was kept."""
        return b"".join(self.parts)


@dataclass(slots=True, kw_only=True)
class Recording:
    """One request on its way. Times are Unix nanoseconds."""

    method: str
    scheme: str
    authority: str
    target: str
    http_version: str
    headers: Headers
    client: str
    started_ns: int
    body: Kept
    answer_body: Kept
    body_complete: bool = False
    """Whether the application read the request's body to its end: an exchange without it cannot be sent again."""
    body_assumed_empty: bool = False
    status: int = 0
    answer_headers: Headers = ()
    answer_trailers: Headers = ()
    first_byte_ns: int | None = None
    answer_complete: bool = False
    ended_ns: int | None = None

    def finish(self) -> Exchange:
        """What was recorded, with marks for what was not."""
        lacks: set[Lack] = set()
        if self.body.cut:
            lacks.add(Lack.REQUEST_BODY_CUT)
        elif not self.body_complete:
            if self.body.size:
                lacks.add(Lack.REQUEST_BODY_CUT)
            elif not self.body_assumed_empty:
                lacks.add(Lack.REQUEST_BODY)
        answer = None
        if not self.status:
            lacks.add(Lack.ANSWER)
        else:
            if self.answer_body.cut or not self.answer_complete:
                lacks.add(Lack.ANSWER_BODY_CUT)
            answer = Answer(
                status=self.status,
                headers=self.answer_headers,
                body=self.answer_body.content,
                trailers=self.answer_trailers,
            )
        return Exchange(
            id="",
            session="",
            source="middleware",
            started_ns=self.started_ns,
            request=Request(
                method=self.method,
                scheme=self.scheme,
                authority=self.authority,
                target=self.target,
                http_version=self.http_version,
                headers=self.headers,
                body=None if Lack.REQUEST_BODY in lacks else self.body.content,
            ),
            answer=answer,
            first_byte_ns=self.first_byte_ns,
            ended_ns=self.ended_ns,
            lacks=frozenset(lacks),
        )


def has_no_body(headers: Iterable[tuple[str, str]]) -> bool:
    """Whether a request says that it has no body (RFC 9112, 6.3): neither a length nor a transfer coding."""
    for name, value in headers:
        lowered = name.lower()
        if lowered == "transfer-encoding" or (lowered == "content-length" and value.strip() != "0"):
            return False
    return True


_open: dict[str, Capture | None] = {}
_opening = threading.Lock()
if hasattr(os, "register_at_fork"):  # a recorder's thread stays in the parent
    os.register_at_fork(after_in_child=_open.clear)


def from_environment(environ: Mapping[str, str] | None = None) -> Capture | None:
    """The capture that the environment asks for: one a process and file; None when it asks for none. Never raises.

    `TRACER_BULLET_CAPTURE`: the archive, where `{pid}` is the process's id, since every process needs one of its own;
    `…_CAPTURE_KEY` or `…_CAPTURE_KEY_FILE`: the key of pseudonyms; `…_CAPTURE_SAMPLE`: the share of sessions;
    `…_CAPTURE_SETTINGS`: a folder with a tracer-bullet.yaml whose `capture:` section counts. A capture that cannot be
    had is logged, and none: a service starts without it.
    """
    environ = os.environ if environ is None else environ
    path = environ.get(FILE_VARIABLE, "")
    if not path:
        return None
    path = path.replace("{pid}", str(os.getpid()))
    if path in _open:
        return _open[path]
    with _opening:
        if path not in _open:
            try:
                _open[path] = _opened(path, environ)
            except Exception as error:  # noqa: BLE001  # the service must serve
                _LOG.warning("nothing is recorded to %s: %s", path, error)
                _open[path] = None
        return _open[path]


def _opened(path: str, environ: Mapping[str, str]) -> Capture:
    archive: Any = importlib.import_module("tracer_bullet.capture.archive")
    recorder_of: Any = importlib.import_module("tracer_bullet.capture.recorder").Recorder
    redactor, options, sessions = _redactor(environ)
    writer = archive.ArchiveWriter(Path(path), created_by="middleware")
    recorder = recorder_of(writer, redactor, sessions=sessions)

    def close() -> None:
        recorder.close()
        writer.close()

    atexit.register(close)
    return Capture(recorder.take, **options)


def _redactor(environ: Mapping[str, str]) -> tuple[Any, dict[str, Any], Any]:
    """The redactor, what is captured, and what tells sessions apart."""
    options: dict[str, Any] = {}
    folder = environ.get(SETTINGS_VARIABLE, "")
    if folder:
        settings: Any = importlib.import_module("tracer_bullet.workspace.settings")
        spec = settings.load_settings(Path(folder), environ).value.capture
        making: Any = importlib.import_module("tracer_bullet.capture.redaction.settings")
        options = {"body_limit": spec.body_limit, "exclude_paths": spec.exclude_paths, "sample": spec.sample}
        redactor = making.make_redactor(spec, Path(folder), environ)
        sessions = importlib.import_module("tracer_bullet.capture.settings").sessions_of(spec, redactor)
    else:
        redaction: Any = importlib.import_module("tracer_bullet.capture.redaction")
        keys: Any = importlib.import_module("tracer_bullet.capture.redaction.keys")
        path = Path(environ.get(KEY_FILE_VARIABLE, "") or ".tracer-bullet/keys/capture.key")
        redactor = redaction.Redactor(redaction.Rules(), redaction.Pseudonyms(keys.load_key(path, environ)))
        sessions = importlib.import_module("tracer_bullet.capture.sessions").Sessions(redactor.pseudonyms.plain)
    if sample := environ.get(SAMPLE_VARIABLE, ""):
        options["sample"] = float(sample)
    return redactor, options, sessions


def now_ns() -> int:
    """The wall clock, in Unix nanoseconds."""
    return time.time_ns()
