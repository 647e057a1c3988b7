"""A draft → head and body as bytes, with each slot where its value stands. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

from tracer_bullet.model.arrival import Slot
from tracer_bullet.replay.requests.draft import BODY, TARGET, Draft
from tracer_bullet.replay.requests.leaves import Mark

# RFC 9110, 8.6: methods whose content has a meaning say that there is none.
_WITH_LENGTH = frozenset({"POST", "PUT", "PATCH"})
_BAD_TARGET = re.compile(r"[\x00-\x20\x7f]")


def ascii_target(target: str) -> str:
    """A target with its bytes beyond ASCII percent-encoded; what is no bytes stays. Before marks are looked for, whose
    places are counted in it."""
    if target.isascii() or max(target) > "\xff":
        return target
    return quote(target, safe="!#$%&'()*+,/:;=?@[]~", encoding="latin-1")


def render(draft: Draft, *, base: str, host: str, marks: Iterable[Mark]) -> tuple[bytes, tuple[Slot, ...]] | None:
    """(head, slots): request line and header lines, each ended by CRLF, host first, content-length last.

    `base` is the path of the target's address. None when it cannot be written: the target has spaces or is no path, a
    header has a line break.
    """
    target = draft.target
    if not target.isascii() or (not target.startswith("/") and target != "*") or _BAD_TARGET.search(target):
        return None
    prefix = f"{draft.method} {'' if target == '*' else base}"
    lines = [f"{prefix}{target} HTTP/1.1", f"host: {host}"]
    lines += [f"{name}: {value}" for name, value in draft.headers]
    if draft.body or draft.method in _WITH_LENGTH:
        lines.append(f"content-length: {len(draft.body)}")
    text = "\r\n".join(lines)
    if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1:
        return None
    slots = tuple(_slot(mark, draft, lines, len(prefix)) for mark in marks)
    return f"{text}\r\n".encode("latin-1"), slots


def _slot(mark: Mark, draft: Draft, lines: list[str], prefix: int) -> Slot:
    leaf = mark.leaf
    if leaf.element == BODY:
        return Slot("body", leaf.start, leaf.length, mark.variable, leaf.encoding)
    if leaf.element == TARGET:
        return Slot("head", prefix + leaf.start, leaf.length, mark.variable, leaf.encoding)
    before = sum(len(line) + 2 for line in lines[: leaf.element + 2])
    start = before + len(draft.headers[leaf.element][0]) + 2 + leaf.start
    return Slot("head", start, leaf.length, mark.variable, leaf.encoding)
