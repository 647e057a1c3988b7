"""Comparing release numbers of guarded libraries, without a dependency for it."""

from __future__ import annotations

import operator
import re

_COMPARE = {">=": operator.ge, "<": operator.lt, "<=": operator.le, ">": operator.gt, "==": operator.eq}


def satisfies(version: str, ranges: str) -> bool:
    """Whether the release part of `version` is in `ranges`, such as `>=2.0,<2.2`; an unknown version is not."""
    found = _release(version)
    if not found:
        return False
    for part in ranges.split(","):
        match = re.fullmatch(r"\s*([<>=]=?)\s*([\d.]+)\s*", part)
        if match is None:
            raise ValueError(f"not a version range: {part!r}")
        wanted = _release(match.group(2))
        width = max(len(found), len(wanted))
        if not _COMPARE[match.group(1)](_pad(found, width), _pad(wanted, width)):
            return False
    return True


def _release(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(n) for n in match.group().split(".")) if match else ()


def _pad(release: tuple[int, ...], width: int) -> tuple[int, ...]:
    return release + (0,) * (width - len(release))
