"""Whether a text needs a closer look at all: a few fast searches, since every string of every body pays for them.

Whatever detectors, pairs and encodings find must pass here first; tests hold them to it.
"""

from __future__ import annotations

import re
from typing import Final

from tracer_bullet.capture.redaction.looking.detectors import HINTS
from tracer_bullet.capture.redaction.looking.encodings import BASE64_HINTS, HEX_HINTS

# Each search is simple, so that the engine of regular expressions can do it at speed; alternatives would cost tenfold.
_SIGNS: Final = re.compile(r"[=%{\[&\\<]")
_COLON: Final = re.compile(r"[A-Za-z0-9_\]][\"']?[ \t]*:[ \t]*[^\s/]")
_RUN: Final = re.compile(r"[A-Za-z0-9+/_-]{14}")
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?")
_GROUPED: Final = re.compile(r"\d{4}[^A-Za-z0-9]\d{4,6}[^A-Za-z0-9]\d{4}", re.ASCII)
_DIGITS: Final = re.compile(r"\d{14}", re.ASCII)
_KEYS: Final = re.compile(HINTS)
_BASE64: Final = re.compile(BASE64_HINTS)
_HEX_RUN: Final = re.compile(r"[0-9a-fA-F]{14}")
_HEX: Final = re.compile(HEX_HINTS)
_SHORT: Final = 14


def may_hold_secret(text: str) -> bool:
    """Whether a text can hold a secret, by itself or wrapped in something."""
    if _SIGNS.search(text) is not None:
        return True
    if ":" in text:
        if _TIME.fullmatch(text):
            return False
        if ("://" in text and "@" in text) or _COLON.search(text) is not None:
            return True
    if len(text) < _SHORT:
        return False
    if "PRIVATE" in text:
        return True
    if _RUN.search(text) is not None and _UUID.fullmatch(text) is None and _may_be_run(text):
        return True
    return _GROUPED.search(text) is not None


def _may_be_run(text: str) -> bool:
    return (
        _KEYS.search(text) is not None
        or _BASE64.search(text) is not None
        or _DIGITS.search(text) is not None
        or (_HEX_RUN.search(text) is not None and _HEX.search(text) is not None)
        or "earer" in text
        or "BEARER" in text
        or "asic" in text
    )


def may_hold_email(text: str) -> bool:
    """The same where e-mail addresses are secrets."""
    return "@" in text or may_hold_secret(text)
