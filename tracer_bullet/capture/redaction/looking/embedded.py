"""JSON documents inside other text: lines of logs and events, scripts of pages. Bounded work, whatever the text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

_START: Final = re.compile(r"[\[{](?=\s*+[\"\[{\d\-tfn])")
_MOST_FAILURES: Final = 200
_DECODER: Final = json.JSONDecoder(object_pairs_hook=len)


# `credentials = {…}`
_NAMED: Final = re.compile(r"([A-Za-z_$][\w.$\-\[\]]{1,63})[\"']?[ \t]*(?:=>|=|:)[ \t]*\Z", re.ASCII)


def json_spans(text: str) -> Iterator[tuple[int, int, str]]:
    """Where objects and arrays that are JSON begin and end, and the name before them; the outermost ones, in order."""
    at = failures = 0
    while failures < _MOST_FAILURES:
        match = _START.search(text, at)
        if match is None:
            return
        try:
            _, end = _DECODER.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            failures += 1
            at = match.end()
            continue
        if end - match.start() > 4:
            named = _NAMED.search(text, max(0, match.start() - 80), match.start())
            yield match.start(), end, named[1] if named else ""
        at = end
