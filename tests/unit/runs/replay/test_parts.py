"""Claim: shots are in Parquet parts as they came, ids bit for bit, and a later part knows later endpoints."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.engine.shot_batches import COLUMNS, batch, shot
from tracer_bullet.model.arrival import Endpoint
from tracer_bullet.model.shots import SHOT_ERRORS
from tracer_bullet.runs.replay import parts
from tracer_bullet.runs.replay.parts import SHOT_PART_SCHEMA, ShotParts
from tracer_bullet.traces.ids import signed
from tracer_bullet.workspace.runs import RunFolder, create_run


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return create_run(tmp_path, "run")


def names(count: int) -> list[Endpoint]:
    return [Endpoint(number=n, method="GET", name=f"/{n}") for n in range(count)]


def files(folder: RunFolder) -> list[str]:
    return sorted(p.name for p in folder.shot_parts.iterdir())


_SIZES = {"q": st.integers(-(2**63), 2**63 - 1), "Q": st.integers(0, 2**64 - 1), "i": st.integers(-(2**31), 2**31 - 1)}
_NAMED = {"endpoint": st.integers(0, 4), "error": st.integers(0, len(SHOT_ERRORS) - 1)}
ROWS = st.fixed_dictionaries({name: _NAMED.get(name, _SIZES.get(code, st.just(0))) for name, code in COLUMNS.items()})


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(ROWS, max_size=6), min_size=1, max_size=4))
def test_what_went_in_comes_out(tmp_path_factory: pytest.TempPathFactory, batches: list[list[dict[str, int]]]) -> None:
    folder = create_run(tmp_path_factory.mktemp("parts"), "run")
    writer = ShotParts(folder, names(5))
    for rows in batches:
        writer.add(batch(rows))
    writer.flush()
    expected = [row for rows in batches for row in rows]
    if not expected:
        assert files(folder) == []
        return
    table = pq.read_table(folder.shot_parts / "part-0001.parquet")
    assert table.schema.names == SHOT_PART_SCHEMA.names
    assert table.schema.metadata[b"tracer_bullet.schema"] == b"replay-shots-1"
    found = table.to_pylist()
    for row, told in zip(expected, found, strict=True):
        assert told["endpoint"] == f"GET /{row['endpoint']}"
        assert told["error"] == SHOT_ERRORS[row["error"]]
        for name, code in COLUMNS.items():
            if name not in _NAMED:
                assert told[name] == (signed(row[name]) if code == "Q" else row[name]), name


def test_endpoints_may_come_later(folder: RunFolder) -> None:
    known = names(1)
    writer = ShotParts(folder, known)
    writer.add(batch([shot(endpoint=0)]))
    known.extend(names(3)[1:])
    writer.add(batch([shot(endpoint=2), shot(endpoint=0)]))
    writer.flush()
    known.append(Endpoint(number=3, method="PUT", name="/x"))
    writer.add(batch([shot(endpoint=3)]))
    writer.flush()
    found = pq.read_table(folder.shot_parts)["endpoint"].to_pylist()
    assert found == ["GET /0", "GET /2", "GET /0", "PUT /x"]


def test_a_part_is_written_when_enough_is_held(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_ROWS", 10)
    writer = ShotParts(folder, names(1))
    writer.add(batch([shot(number=n) for n in range(9)]))
    assert files(folder) == []
    writer.add(batch([shot(number=9)]))
    assert files(folder) == ["part-0001.parquet"]
    writer.add(batch([shot(number=10)]))
    writer.flush()
    writer.flush()
    assert files(folder) == ["part-0001.parquet", "part-0002.parquet"]
    assert pq.read_table(folder.shot_parts)["number"].to_pylist() == list(range(11))


def test_only_names_have_dictionaries(folder: RunFolder) -> None:
    """Those of columns that are different in each row take more than the rows."""
    writer = ShotParts(folder, names(1))
    writer.add(batch([shot(number=n) for n in range(3)]))
    writer.flush()
    group = pq.read_metadata(folder.shot_parts / "part-0001.parquet").row_group(0)
    columns = [group.column(n) for n in range(group.num_columns)]
    assert {c.path_in_schema for c in columns if c.has_dictionary_page} == {"origin", "status", "endpoint", "error"}
