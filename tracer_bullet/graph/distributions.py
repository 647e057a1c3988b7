"""Durations of groups as `Distribution`s, by one portable query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tracer_bullet.graph.engines import Engine, Row
from tracer_bullet.model import Distribution
from tracer_bullet.model.distribution import GROWTH

_QUERY: Final = """
SELECT {keys}, bucket, count(*) AS n, sum(d) AS total, min(d) AS shortest, max(d) AS longest
FROM (
    SELECT {keys}, d, CAST(floor(ln(greatest(d, 1)) / ln({growth})) AS INTEGER) AS bucket
    FROM (SELECT {selected}, greatest({duration}, 0) AS d FROM {source}) AS timed
) AS placed
GROUP BY {keys}, bucket
ORDER BY {keys}, bucket
"""


def read_distributions(engine: Engine, keys: Sequence[str], duration: str, source: str) -> dict[Row, Distribution]:
    """The distribution of `duration` (an SQL expression in ns) for each group of `keys`, of `source`.

    `source` is what stands after FROM: a table, joins and a WHERE. A key is a column or `expression AS name`.
    """
    names = [key.rpartition(" AS ")[2].rpartition(".")[2] for key in keys]
    query = _QUERY.format(
        keys=", ".join(names), selected=", ".join(keys), duration=duration, source=source, growth=GROWTH
    )
    groups: dict[Row, list[Row]] = {}
    width = len(keys)
    for row in engine.rows(query):
        groups.setdefault(row[:width], []).append(row[width:])
    return {
        key: Distribution(
            buckets=tuple((bucket, n) for bucket, n, *_ in some),
            total_ns=int(sum(total for _, _, total, _, _ in some)),
            min_ns=min(shortest for *_, shortest, _ in some),
            max_ns=max(longest for *_, longest in some),
        )
        for key, some in groups.items()
    }
