"""An exchange without secrets. Pure functions over exchanges; what is not redacted stays as it was on the wire.

It fails closed: a body that cannot be opened and read to its end is dropped and marked, and an exchange that defeats
the redactor raises RedactionError, so that it is not kept.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Final

from tracer_bullet.capture.redaction.bodies import redact_body
from tracer_bullet.capture.redaction.fields import redact_cookies, redact_fields, redact_set_cookie
from tracer_bullet.capture.redaction.looking.clients import CLIENT_HEADERS, addresses_in
from tracer_bullet.capture.redaction.pseudonyms import Pseudonyms
from tracer_bullet.capture.redaction.rules import Action, Books, Place, RedactionError, Rules, RuleSet
from tracer_bullet.capture.redaction.texts import Scrubber
from tracer_bullet.model.exchange import Answer, Exchange, Headers, Lack, Request

_MAX_TEXT: Final = 1 << 18  # of a target or a header line: no server takes more
_CACHE: Final = 8192
_CACHED_LENGTH: Final = 512
# What depends on the bytes of a body, and is wrong once they are others.
_OF_CONTENT: Final = frozenset({"content-encoding", "content-md5", "digest", "content-digest", "repr-digest"})

_Lines = tuple[tuple[str | None, tuple[str, ...]], ...]


class Redactor:
    """Redacts exchanges by rules, under a key. `dropped` counts bodies that could not be kept, by reason.

    Equal values have equal pseudonyms in all exchanges that were redacted under one key.
    """

    def __init__(self, rules: Rules, pseudonyms: Pseudonyms) -> None:
        self.rules = rules
        self.pseudonyms = pseudonyms
        self.dropped: Counter[str] = Counter()
        self._books = Books(rules)
        self._views: dict[int, _View] = {}

    @property
    def fingerprint(self) -> str:
        """Says under which rules and which key: archives with the same one can be joined. 32 hex digits."""
        return self.rules.fingerprint + hashlib.sha256(self.pseudonyms.of("fingerprint").encode()).hexdigest()[:16]

    def apply(self, exchange: Exchange) -> Exchange:
        """The exchange without secrets, the same object when it has none. Raises RedactionError."""
        try:
            return self._apply(exchange)
        except RedactionError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, the exchange must not be kept, and its values not be shown
            raise RedactionError(f"the redactor failed with {type(error).__name__}") from None

    def _apply(self, exchange: Exchange) -> Exchange:
        request = exchange.request
        view = self._view(self._books.of(request.target.partition("?")[0]))
        changes: dict[str, None] = {}  # a set in order
        lacks = set(exchange.lacks)
        target = view.target(request.target, changes)
        authority = view.text(request.authority, "authority", changes)
        headers = view.headers(request.headers, "", changes)
        trailers = view.headers(request.trailers, "trailer-", changes)
        body = request.body
        if body:
            body, headers = self._body(view, body, request.headers, headers, "request", lacks, changes)
        answer = self._answer(view, exchange.answer, lacks, changes)
        session = view.text(exchange.session, "session", changes)
        if not changes and lacks == exchange.lacks and not exchange.redacted:
            return exchange
        fresh = Request(
            method=request.method,
            scheme=request.scheme,
            authority=authority,
            target=target,
            http_version=request.http_version,
            headers=headers,
            body=body,
            trailers=trailers,
        )
        named = dict.fromkeys((*exchange.redacted, *changes))
        return replace(
            exchange, session=session, request=fresh, answer=answer, lacks=frozenset(lacks), redacted=tuple(named)
        )

    def _answer(self, view: _View, answer: Answer | None, lacks: set[Lack], changes: dict[str, None]) -> Answer | None:
        if answer is None:
            return None
        headers = view.headers(answer.headers, "answer:", changes)
        trailers = view.headers(answer.trailers, "answer:trailer-", changes)
        body = answer.body
        if body:
            body, headers = self._body(view, body, answer.headers, headers, "answer", lacks, changes)
        if headers is answer.headers and trailers is answer.trailers and body is answer.body:
            return answer
        return Answer(status=answer.status, headers=headers, body=body, trailers=trailers)

    def _body(
        self,
        view: _View,
        body: bytes,
        raw_headers: Headers,
        headers: Headers,
        side: str,
        lacks: set[Lack],
        changes: dict[str, None],
    ) -> tuple[bytes | None, Headers]:
        missing, cut = _MARKS[side]
        prefix = "" if side == "request" else "answer:"
        if cut in lacks:
            why = "cut"  # its end may be half a secret
        else:
            noted: dict[str, None] = {}
            found = redact_body(body, raw_headers, view.scrubber, self.rules.body_limit, noted.setdefault)
            if found.content is not None:
                changes.update(dict.fromkeys(f"{prefix}{what}" for what in noted))
                if found.cut:
                    lacks.add(cut)
                if not found.changed:
                    return body, headers
                return found.content, _of_new_content(headers, found.content)
            why = found.why
        self.dropped[f"{side} body: {why}"] += 1
        lacks.add(missing)
        lacks.discard(cut)
        changes[f"{prefix}body"] = None
        return None, headers

    def _view(self, rules: RuleSet) -> _View:
        view = self._views.get(id(rules))
        if view is None:
            view = self._views[id(rules)] = _View(rules, self.pseudonyms)
        return view


_MARKS: Final = {
    "request": (Lack.REQUEST_BODY, Lack.REQUEST_BODY_CUT),
    "answer": (Lack.ANSWER_BODY, Lack.ANSWER_BODY_CUT),
}


class _View:
    """The rules that hold for some paths, with what was found out under them."""

    __slots__ = ("_lines", "rules", "scrubber")

    def __init__(self, rules: RuleSet, pseudonyms: Pseudonyms) -> None:
        self.rules = rules
        self.scrubber = Scrubber(rules, pseudonyms)
        self._lines: dict[tuple[str, str], tuple[str | None, tuple[str, ...]]] = {}

    def text(self, text: str, where: str, changes: dict[str, None]) -> str:
        """A text that is judged by nothing but itself."""
        new = self.scrubber.scrub(text)
        if new != text:
            changes[where] = None
        return new

    def target(self, target: str, changes: dict[str, None]) -> str:
        """The request target: its path by rules and by itself, its query by names."""
        if len(target) > _MAX_TEXT:
            raise RedactionError("its target is too long")
        path, mark, query = target.partition("?")
        new_path = path
        for pattern, action in self.rules.paths:
            new_path = pattern.sub(partial(self._in_path, action=action), new_path)
        new_path = self.scrubber.scrub(new_path)
        if new_path != path:
            changes["path"] = None
        if not mark:
            return new_path
        new_query = redact_fields(query, Place.QUERY, self.scrubber, lambda name: changes.setdefault(f"query:{name}"))
        return f"{new_path}?{new_query}"

    def _in_path(self, match: re.Match[str], action: Action) -> str:
        """Every group of a path's rule is a value; without groups, all of it."""
        out: list[str] = []
        done = match.start()
        for group in range(1, len(match.groups()) + 1) or (0,):
            if match.start(group) < done:  # took no part, or lies in another
                continue
            out += (match.string[done : match.start(group)], self.scrubber.secret(match[group], action) or "")
            done = match.end(group)
        return "".join((*out, match.string[done : match.end()]))

    def _line(self, name: str, value: str) -> tuple[str | None, tuple[str, ...]]:
        """A header line's new value, None when the line goes, and the names of what changed."""
        if len(value) > _MAX_TEXT:
            raise RedactionError("a header is too long")
        lowered = name.lower()
        notes: dict[str, None] = {}
        new: str | None
        action, digits = self.rules.names(Place.HEADER, lowered)
        if action is None and lowered == "cookie":
            new = redact_cookies(value, self.scrubber, lambda cookie: notes.setdefault(f"cookie:{cookie}")) or None
        elif action is None and lowered == "set-cookie":
            new = redact_set_cookie(value, self.scrubber, lambda cookie: notes.setdefault(f"cookie:{cookie}"))
        elif action is None and lowered in CLIENT_HEADERS:
            new = self.scrubber.scrub(self._without_clients(value))
        else:
            new = self.scrubber.named(value, action, digits=digits)
        if new == value:
            return value, ()
        return new, tuple(notes) or (f"header:{lowered}",)

    def _without_clients(self, value: str) -> str:
        """A line with pseudonyms for the addresses in it."""
        out: list[str] = []
        done = 0
        for start, end, address in addresses_in(value):
            out += (value[done:start], self.scrubber.pseudonyms.address(address))
            done = end
        return "".join((*out, value[done:]))

    def headers(self, headers: Headers, prefix: str, changes: dict[str, None]) -> Headers:
        """Header lines without secrets; the same object when there are none."""
        fresh: list[tuple[str, str]] = []
        changed = False
        for line in headers:
            known = self._lines.get(line)
            if known is None:
                known = self._line(*line)
                if len(line[1]) <= _CACHED_LENGTH:
                    if len(self._lines) >= _CACHE:
                        self._lines.clear()
                    self._lines[line] = known
            value, notes = known
            if notes:
                changed = True
                for note in notes:
                    changes[f"{prefix}{note}"] = None
                if value is None:
                    continue
                fresh.append((line[0], value))
            else:
                fresh.append(line)
        return tuple(fresh) if changed else headers


def _of_new_content(headers: Headers, content: bytes) -> Headers:
    """Header lines that fit a new body: no content coding and no digests, and its length where one was said."""
    fresh: list[tuple[str, str]] = []
    for name, value in headers:
        lowered = name.lower()
        if lowered == "content-length":
            fresh.append((name, str(len(content))))
        elif lowered not in _OF_CONTENT:
            fresh.append((name, value))
    return tuple(fresh)
