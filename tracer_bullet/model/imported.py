"""What an import read, and what it lost or repaired on the way: `import.json` of a run folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedFile:
    """One input. `format` is empty when it was not recognised; then `problem` says what it looks like.

    `lost` and `repaired` map reasons to counts, `examples` reasons to a few values. `traces` counts trace ids in this
    input, so that a trace split over files counts in each.
    """

    name: str
    format: str = ""
    spans: int = 0
    traces: int = 0
    lost: Mapping[str, int] = field(default_factory=dict)
    repaired: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """All inputs of an import, in the order they were read; `traces` counts each trace once."""

    files: tuple[ImportedFile, ...]
    spans: int
    traces: int
