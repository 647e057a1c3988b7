"""Secrets in multipart bodies (RFC 2046, 5.1; RFC 7578): each part as a field, or as text; binary parts are emptied."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tracer_bullet.capture.redaction.looking.encodings import as_text
from tracer_bullet.capture.redaction.rules import Action, Place
from tracer_bullet.capture.redaction.texts import Scrubber

_BOUNDARY: Final = re.compile(r";\s*boundary\s*=\s*(?:\"([^\"]{1,200})\"|([^\s;\"]{1,200}))", re.IGNORECASE)
_NAME: Final = re.compile(r";\s*name\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;\"]+))", re.IGNORECASE)
_TYPE: Final = re.compile(r"(?im)^content-type\s*:\s*([^\s;]+)")


@dataclass(frozen=True, slots=True)
class Parts:
    """What is left of a multipart body; `cut`: a binary part was emptied."""

    content: bytes
    cut: bool


def redact_multipart(content: bytes, declared: str, scrubber: Scrubber, note: Callable[[str], None]) -> Parts | None:
    """The body without secrets, other bytes as they were; None when its parts cannot be told apart.

    `declared`: the Content-Type line. `note` gets `form:name` for each part that changed.
    """
    found = _BOUNDARY.search(declared)
    if found is None:
        return None
    mark = b"--" + (found[1] or found[2]).encode("latin-1", "replace")
    # A delimiter begins its line; the first one may be at the very beginning.
    pieces = re.split(rb"(?:(?<=\r\n)|(?<=\n)|\A)(" + re.escape(mark) + rb"(?:--)?[ \t]*(?:\r?\n|\Z))", content)
    if len(pieces) < 3 or not pieces[-2].rstrip().endswith(b"--") or pieces[0].strip() or pieces[-1].strip():
        return None
    cut = False
    for at in range(2, len(pieces) - 1, 2):
        new, emptied = _part(pieces[at], scrubber, note)
        if new is None:
            return None
        pieces[at] = new
        cut = cut or emptied
    return Parts(b"".join(pieces), cut)


def _part(part: bytes, scrubber: Scrubber, note: Callable[[str], None]) -> tuple[bytes | None, bool]:
    """A part without secrets; None when it is damaged. And whether it was emptied."""
    split = re.search(rb"\r?\n\r?\n", part)
    if split is None:
        if not part.startswith((b"\r\n", b"\n")):  # neither headers nor an empty line before the content
            return None, False
        head, gap, rest = b"", b"", part
    else:
        head, gap, rest = part[: split.start()], split[0], part[split.end() :]
    end = b"\r\n" if rest.endswith(b"\r\n") else b"\n" if rest.endswith(b"\n") else b""
    body = rest[: len(rest) - len(end)]
    headers = as_text(head)
    if headers is None:
        headers = head.decode("latin-1")
    match = _NAME.search(headers)
    name = (match[1] if match[1] is not None else match[2]) if match else ""
    kept_headers = scrubber.scrub(headers)
    media_type = _TYPE.search(headers)
    if media_type is not None and scrubber.rules.content_action(media_type[1].lower()) is Action.KEEP:
        new: bytes = body
    else:
        action, digits = scrubber.rules.names(Place.FORM, name) if name else (None, False)
        text = as_text(body)
        if action is Action.KEEP:
            new = body
        elif text is None:
            new = b""
        else:
            new = (scrubber.named(text, action, digits=digits) or "").encode("utf-8", "surrogatepass")
    if new != body or kept_headers != headers:
        note(f"form:{name}")
    head = kept_headers.encode("utf-8") if kept_headers != headers else head
    return head + gap + new + end, as_text(body) is None and new != body
