"""Rows that cannot be sent are found before anything is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.load.data.feeding import located, write
from tests.unit.load.script.made import BASE
from tracer_bullet.errors import UsageError
from tracer_bullet.load.data import make_rows
from tracer_bullet.load.script import sendable_rows
from tracer_bullet.workspace.load import Located

GOOD, EMPTY, UP = {"id": "a"}, {"id": ""}, {"id": ".."}


def fed(folder: Path, feed: dict[str, Any], **headers: str) -> Located[Any]:
    scenario = located(folder, {"id": "x", "token": ""}, feed)
    step = scenario.value.steps[0]
    request = step.request.model_copy(update={"path": "/orders/${id}", "headers": headers})
    steps = (step.model_copy(update={"request": request}),)
    return Located(value=scenario.value.model_copy(update={"steps": steps}), file=scenario.file, lines=scenario.lines)


def test_all_rows_that_can_be_sent_are(tmp_path: Path) -> None:
    scenario = fed(tmp_path, {"file": "d.csv"})
    assert sendable_rows(scenario, base_url=BASE, variables={}, rows=[GOOD, {}, GOOD]) == (GOOD, {}, GOOD)
    assert sendable_rows(scenario, base_url=BASE, variables={}, rows=[]) == ()


def test_a_row_of_a_file_that_cannot_be_sent_is_a_mistake(tmp_path: Path) -> None:
    write(tmp_path, "d.csv", "id\n")
    with pytest.raises(UsageError, match="row 2 cannot be sent: a: the variable 'id' in the path is empty") as caught:
        sendable_rows(fed(tmp_path, {"file": "d.csv"}), base_url=BASE, variables={}, rows=[GOOD, EMPTY])
    assert (caught.value.code, caught.value.where) == ("TB1012", f"{tmp_path}/scenarios/s.yaml:8")


def test_drawn_rows_that_cannot_be_sent_are_left_out(tmp_path: Path) -> None:
    scenario = fed(tmp_path, {"strategy": "d.py:x"})
    assert sendable_rows(scenario, base_url=BASE, variables={}, rows=[EMPTY, GOOD, UP]) == (GOOD,)
    with pytest.raises(UsageError, match="no row can be sent; row 1 cannot be sent"):
        sendable_rows(scenario, base_url=BASE, variables={}, rows=[EMPTY, UP])


def test_rows_of_a_feed_have_been_looked_at(tmp_path: Path) -> None:
    write(
        tmp_path, "d.py", "from hypothesis import strategies as st\nx = st.fixed_dictionaries({'id': st.text('a.')})\n"
    )
    scenario = fed(tmp_path, {"strategy": "d.py:x", "rows": 30})
    found = make_rows(scenario.value.load.data, scenario, seed=1)
    assert found
    assert not {str(row["id"]) for row in found} & {"", ".", ".."}
    write(tmp_path, "d.csv", "id\na\n..\n")
    scenario = fed(tmp_path, {"file": "d.csv"})
    with pytest.raises(UsageError, match="row 2 cannot be sent"):
        make_rows(scenario.value.load.data, scenario, seed=1)


def test_a_default_that_is_to_be_replaced_refuses_no_row(tmp_path: Path) -> None:
    write(tmp_path, "d.csv", "id\na\n")
    scenario = fed(tmp_path, {"file": "d.csv"}, authorization="Bearer ${token}")
    assert make_rows(scenario.value.load.data, scenario, seed=1) == ({"id": "a"},)
