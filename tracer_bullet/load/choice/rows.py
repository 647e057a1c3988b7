"""Which row of its data an iteration gets. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tracer_bullet.load.choice.chance import word
from tracer_bullet.workspace.data import DataSpec
from tracer_bullet.workspace.template import Scalar

Row = Mapping[str, Scalar]

_NOTHING: Final[Row] = {}
_STREAM: Final = 11


class Feed:
    """The rows of one scenario, by the rank of an iteration among those of its scenario, so that none is left out.

    `unique` when one of its feeds is: then there are only `most` iterations (else None), and each row is used once.
    `random` when all are; of a random feed beside others the rows are drawn already (`load/data/rows.py`).
    """

    def __init__(self, rows: Sequence[Row], specs: Sequence[DataSpec], seed: int) -> None:
        self._rows = rows
        self._seed = seed
        orders = {spec.order for spec in specs}
        self._at_random = orders == {"random"}
        self.most: int | None = len(rows) if "unique" in orders else None

    def row(self, rank: int) -> Row:
        """The row of the iteration with this rank."""
        rows = self._rows
        if not rows:
            return _NOTHING
        return rows[word(self._seed, _STREAM, rank) % len(rows) if self._at_random else rank % len(rows)]
