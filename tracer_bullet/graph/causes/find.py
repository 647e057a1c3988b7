"""Bad traces grouped by cause."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracer_bullet.graph.causes.judge import judge_traces
from tracer_bullet.graph.causes.path import read_paths
from tracer_bullet.graph.causes.texts import error_texts
from tracer_bullet.graph.engines import Engine
from tracer_bullet.graph.sql import causes as sql
from tracer_bullet.model import Catalog, Cause, Symptom

MOST_CAUSES: Final = 100
_MOST_EXAMPLES: Final = 3
_WRAP: Final = 1 << 64
_IDENTITY: Final = ("symptom", "service", "operation", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """One identity; the arrays are of its first examples. `leaf` is the first one's span."""

    symptom: Symptom
    service: str
    operation: str
    error: str
    traces: int
    peer: bool
    caller: str
    system: str
    example_ids: tuple[str, ...]
    example: tuple[int, int]
    leaf: int


def find_causes(engine: Engine, catalog: Catalog) -> tuple[tuple[Cause, ...], int]:
    """Why traces failed, were slow, or hid an error; and how many failed or were slow.

    Reads the tables of graph/prepare.py; leaves `judged` for `find_contrasts` and `choose_examples`. Each bad trace
    is in one cause; a trace that failed is not also slow, and one that swallowed an error may be slow. A symptom's
    causes beyond the 100 most frequent are one, without service and operation.
    """
    judge_traces(engine)
    groups = _group(engine.table(sql.ALL_BLAMED))
    engine.drop("blamed")
    totals = dict.fromkeys(Symptom, 0)
    for group in groups:
        totals[group.symptom] += group.traces
    bad = totals[Symptom.ERROR] + totals[Symptom.SLOW]
    paths = read_paths(engine, [(*g.example, g.leaf) for g in groups])
    causes = [
        Cause(
            key=_key(group),
            symptom=group.symptom,
            traces=group.traces,
            share=group.traces / (totals[Symptom.SWALLOWED] if group.symptom is Symptom.SWALLOWED else bad),
            service=group.service,
            operation=group.operation,
            peer=group.peer,
            caller=group.caller,
            error=group.error,
            owner=_owner(catalog, group),
            path=_with_peer(path, group) if group.service else (),
            example_trace_ids=group.example_ids,
        )
        for group, path in zip(groups, paths, strict=True)
    ]
    return tuple(sorted(causes, key=lambda c: (c.symptom is Symptom.SWALLOWED, -c.traces, c.key))), bad


def _owner(catalog: Catalog, group: _Group) -> str:
    """Who is told: the owner of what is blamed, else of the service that says so."""
    if not group.peer:
        return catalog.owner_of(group.service)
    qualified = catalog.owner_of(f"{group.system}/{group.service}") if group.system else ""
    return qualified or catalog.owner_of(group.service) or catalog.owner_of(group.caller)


def _with_peer(path: tuple[str, ...], group: _Group) -> tuple[str, ...]:
    return (*path, group.service) if group.peer else path


def _key(group: _Group) -> str:
    identity = json.dumps([group.symptom.value, group.service, group.operation, group.error])
    return hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _group(blamed: pa.Table) -> list[_Group]:
    if not blamed.num_rows:
        return []
    blamed = blamed.combine_chunks()
    columns = {name: _array(blamed[name]) for name in blamed.column_names}
    columns["error"] = error_texts(columns["error_type"], columns["error_message"])
    codes = _codes([columns[name] for name in _IDENTITY])
    codes = _fold(codes, columns["symptom"])
    hi, lo, weight = (columns[name].to_numpy(zero_copy_only=False) for name in ("trace_hi", "trace_lo", "weight"))
    order = np.lexsort((lo, hi, -weight, codes))
    starts = np.flatnonzero(np.diff(codes[order], prepend=codes[order][0] - 1))
    return [_read(columns, rows) for rows in np.split(order, starts[1:])]


def _read(columns: dict[str, pa.Array], rows: np.ndarray[Any, Any]) -> _Group:
    def value(name: str, row: int) -> Any:
        return columns[name][row].as_py()

    first = int(rows[0])
    some = pa.array(rows)
    same = all(pc.count_distinct(columns[name].take(some)).as_py() == 1 for name in _IDENTITY)
    peer = same and bool(pc.all(columns["peer"].take(some)).as_py())
    ids = [(value("trace_hi", int(row)), value("trace_lo", int(row))) for row in rows[:_MOST_EXAMPLES]]
    return _Group(
        symptom=Symptom(value("symptom", first)),
        service=value("service", first) if same else "",
        operation=value("operation", first) if same else "",
        error=value("error", first) if same else "(other causes)",
        traces=len(rows),
        peer=peer,
        caller=pc.min(columns["caller"].take(some)).as_py() if peer else "",
        system=value("system", first),
        example_ids=tuple(f"{hi % _WRAP:016x}{lo % _WRAP:016x}" for hi, lo in ids),
        example=ids[0],
        leaf=value("leaf", first),
    )


def _array(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    return array.cast(pa.string()) if pa.types.is_large_string(array.type) else array


def _codes(columns: Sequence[pa.Array]) -> np.ndarray[Any, Any]:
    """A number for each row, equal where all columns are; the numbers are in the order of the values."""
    codes = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        encoded = column.dictionary_encode()
        rank = np.empty(len(encoded.dictionary), dtype=np.int64)
        rank[pc.sort_indices(encoded.dictionary).to_numpy()] = np.arange(len(rank))
        inner = rank[encoded.indices.to_numpy(zero_copy_only=False)]
        codes = np.unique(codes * len(rank) + inner, return_inverse=True)[1].reshape(-1)
    return codes


def _fold(codes: np.ndarray[Any, Any], symptoms: pa.Array) -> np.ndarray[Any, Any]:
    """Give a symptom's rare groups one number together."""
    kinds = symptoms.dictionary_encode()
    kind_of = kinds.indices.to_numpy(zero_copy_only=False)
    folded = codes.copy()
    for kind in range(len(kinds.dictionary)):
        inside = kind_of == kind
        found, counts = np.unique(codes[inside], return_counts=True)
        if len(found) > MOST_CAUSES:
            kept = found[np.lexsort((found, -counts))][: MOST_CAUSES - 1]
            folded[inside & ~np.isin(codes, kept)] = codes.max() + 1 + kind
    return folded
