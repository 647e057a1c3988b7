"""Which statuses an endpoint's answers may have. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_CLASS: Final = re.compile(r"[1-5]xx")
_STATUS: Final = re.compile(r"[1-9][0-9]{2}")


def statuses_of(texts: Iterable[str]) -> frozenset[int]:
    """The statuses that `201` or `2xx` stand for. Raises ValueError for other texts."""
    found: set[int] = set()
    for text in texts:
        if _CLASS.fullmatch(text):
            found.update(range(int(text[0]) * 100, int(text[0]) * 100 + 100))
        elif _STATUS.fullmatch(text):
            found.add(int(text))
        else:
            raise ValueError(f"{text!r} is neither a status, as 201, nor a class of them, as 2xx")
    return frozenset(found)
