"""What bad traces have more often than good ones, over every attribute of spans and resources."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import pyarrow as pa

from tracer_bullet.graph.causes.shares import Strata, compare_shares
from tracer_bullet.graph.engines import Engine
from tracer_bullet.graph.sql import contrasts
from tracer_bullet.model import Contrast

MOST_CONTRASTS: Final = 50
LONGEST_VALUE: Final = 200
_BAD_SPANS: Final = 50_000
_GOOD_SPANS: Final = 100_000
_LEAST_SPANS: Final = 2_000
# Fewer traces than this can show nothing after the correction; they are neither looked at nor corrected for.
_FEWEST: Final = 3
_LEAST_SHARE: Final = 0.01
_LEVEL: Final = 0.05


def find_contrasts(engine: Engine) -> tuple[Contrast, ...]:
    """The values that bad traces have more often than good ones of the same root operations, most telling first.

    Reads what `find_causes` left in the engine. A value is that of an attribute of a service's spans or resource, had
    by a trace when any span of it has it; of `tb.flags`, each `flag=variant` is one. Left out is what tells of the
    error itself (docs/causes.md lists it), and what chance could explain: see `compare_shares` for the bound, which is
    Bonferroni's over all values that enough traces have.
    """
    sampled = contrasts.LOOKED_AT.format(bad_spans=_BAD_SPANS, good_spans=_GOOD_SPANS, least_spans=_LEAST_SPANS)
    engine.define("looked", sampled)
    strata = [tuple(map(int, row)) for row in engine.rows(contrasts.STRATA)]
    found: tuple[Contrast, ...] = ()
    if strata:
        found = _contrasts(engine, strata)
    engine.drop("looked")
    return found


def _contrasts(engine: Engine, strata: list[tuple[int, ...]]) -> tuple[Contrast, ...]:
    engine.define("looked_span", contrasts.LOOKED_SPANS)
    engine.define("held", contrasts.HELD.format(longest=LONGEST_VALUE))
    texts = [row[0] for row in engine.rows(contrasts.FLAG_TEXTS)]
    parts = [(text, part.strip()) for text in texts for part in sorted(set(text.split(","))) if part.strip()]
    engine.fill("flag_part", (("value", "VARCHAR"), ("part", "VARCHAR")), parts)
    bad_total, good_total = (sum(row[i] for row in strata) for i in (1, 2))
    support = max(_FEWEST, math.ceil(_LEAST_SHARE * bad_total))
    engine.define("held_value", contrasts.VALUES.format(support=support, traces=bad_total + good_total))
    looked_at = int(engine.rows(contrasts.LOOKED_FOR)[0][0])
    counts = engine.table(contrasts.COUNTS.format(support=support))
    named = {int(row[0]): row[1:] for row in engine.rows(contrasts.NAMES.format(support=support))}
    for table in ("flag_part", "looked_span", "held", "held_value"):
        engine.drop(table)
    if not counts.num_rows:
        return ()
    values, bad, good = _tabulate(counts, [row[0] for row in strata])
    totals = Strata(bad=np.array([row[1] for row in strata]), good=np.array([row[2] for row in strata]))
    shares = compare_shares(totals, bad, good, z=NormalDist().inv_cdf(1 - _LEVEL / looked_at))
    told = [
        Contrast(
            attribute=named[number][1],
            value=named[number][2],
            service=named[number][0],
            bad=int(bad[row].sum()),
            bad_total=bad_total,
            good=int(good[row].sum()),
            good_total=good_total,
            score=round(float(shares.correlation[row]), 6),
            low=round(float(shares.low[row]), 6),
        )
        for row, number in enumerate(values.tolist())
        if shares.low[row] > 0
    ]
    return tuple(sorted(told, key=lambda c: (-c.score, -c.low, c.service, c.attribute, c.value))[:MOST_CONTRASTS])


def _tabulate(counts: pa.Table, strata: list[int]) -> tuple[np.ndarray[Any, Any], ...]:
    """Value numbers, and how many bad and good traces of each stratum (columns) have each value (rows)."""
    numbers, stratum, bad, good = (
        counts[name].to_numpy().astype(np.int64) for name in ("value_no", "stratum", "bad", "good")
    )
    values, row = np.unique(numbers, return_inverse=True)
    column = np.searchsorted(np.array(strata), stratum)
    tables = []
    for cells in (bad, good):
        table = np.zeros((len(values), len(strata)), dtype=np.int64)
        table[row.reshape(-1), column] = cells
        tables.append(table)
    return values, *tables
