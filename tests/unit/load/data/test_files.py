"""CSV and JSON lines become rows; what is wrong in them is told with its line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.load.data.feeding import rows, write
from tracer_bullet.errors import UsageError
from tracer_bullet.load.data import rows as rows_module

VARIABLES = {"sku": "A", "n": 1, "f": 0.5, "gift": False}
CSV = {"file": "d.csv"}
LINES = {"file": "d.jsonl"}
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


def test_no_data_is_no_rows(tmp_path: Path) -> None:
    assert rows(tmp_path, VARIABLES) == ()


def test_csv_values_are_texts_where_the_variable_is_one(tmp_path: Path) -> None:
    write(tmp_path, "d.csv", '\ufeffsku, n,f,gift\r\n007,7,1e3,true\r\n\r\n"a, ""b""\nc",-1,2,false\r\n')
    assert rows(tmp_path, VARIABLES, CSV) == (
        {"sku": "007", "n": 7, "f": 1000.0, "gift": True},
        {"sku": 'a, "b"\nc', "n": -1, "f": 2, "gift": False},
    )


def test_json_lines_keep_their_types_and_may_leave_variables_out(tmp_path: Path) -> None:
    write(tmp_path, "d.ndjson", '{"sku": 5, "n": "x"}\n\n  {"gift": {"to": ["ä", null]}}\n{"f": null}')
    assert rows(tmp_path, VARIABLES, {"file": "d.ndjson"}) == (
        {"sku": 5, "n": "x"},
        {"gift": '{"to":["ä",null]}'},
        {"f": "null"},
    )


def test_a_prefix_is_put_before_names(tmp_path: Path) -> None:
    write(tmp_path, "d.csv", "sku\nx\n")
    assert rows(tmp_path, {"my_sku": "A"}, {**CSV, "prefix": "my_"}) == ({"my_sku": "x"},)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(st.tuples(TEXT, st.integers(-(10**17), 10**17)), min_size=1, max_size=10))
def test_what_is_written_is_read(tmp_path: Path, given_rows: list[tuple[str, int]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(["sku", "n"])
    writer.writerows(given_rows)
    write(tmp_path, "d.csv", text.getvalue())
    write(tmp_path, "d.jsonl", "\n".join(json.dumps({"sku": sku, "n": n}) for sku, n in given_rows))
    expected = tuple({"sku": sku, "n": n} for sku, n in given_rows)
    assert rows(tmp_path, VARIABLES, CSV) == expected
    assert rows(tmp_path, VARIABLES, LINES) == expected


@pytest.mark.parametrize(
    ("name", "text", "code", "line", "words"),
    [
        ("d.csv", "", "TB1013", 1, "the file is empty"),
        ("d.csv", "sku;n\n1;2\n", "TB1013", 1, "separate columns by commas"),
        ("d.csv", "sku,sku\n1,2\n", "TB1013", 1, "the column 'sku' is there twice"),
        (
            "d.csv",
            "sku,n\n1,2\n\n3\n",
            "TB1013",
            4,
            "this row has 1 field, and the header 2\n  cure: give each variable",
        ),
        ("d.csv", 'sku,n\n"1,2\n', "TB1013", 2, "no CSV"),
        ("d.csv", "sku,n\nA,5\nB,five\n", "TB1012", 3, "the variable 'n' must be a number, not 'five'"),
        ("d.csv", "sku,gift\nA,yes\n", "TB1012", 2, "must be true or false"),
        ("d.csv", "skuu,n\nA,5\n", "TB1014", 2, "did you mean 'sku'?"),
        ("d.csv", "colour\nred\n", "TB1014", 2, "declare `colour:` under `variables:`"),
        ("d.jsonl", '{"sku": "A"}\n{"sku"\n', "TB1013", 2, "no JSON"),
        ("d.jsonl", '\n["A"]\n', "TB1013", 2, "a row is an object of variables"),
        ("d.jsonl", '{"n": NaN}\n', "TB1013", 1, "NaN is no JSON"),
        ("d.jsonl", '{"f": 1e999}\n', "TB1012", 1, "f is inf, which JSON cannot say"),
        ("d.jsonl", '{"sku": "\\ud800"}\n', "TB1012", 1, "sku holds half a character"),
        ("d.jsonl", '{"Sku": "A"}\n', "TB1014", 1, "did you mean 'sku'?"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_line(
    tmp_path: Path, name: str, text: str, code: str, line: int, words: str
) -> None:
    path = write(tmp_path, name, text)
    with pytest.raises(UsageError) as caught:
        rows(tmp_path, VARIABLES, {"file": name})
    assert (caught.value.code, caught.value.where) == (code, f"{path}:{line}")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("d.xlsx", b"PK", "d.xlsx is no feed"),
        ("d.csv", b"sku\n\xff\n", "d.csv is not UTF-8"),
        ("d.csv", b"sku\n", "this feed has no rows"),
        ("none.csv", None, "none.csv cannot be read: No such file"),
    ],
)
def test_a_file_that_is_no_feed_is_told_where_the_scenario_names_it(
    tmp_path: Path, name: str, text: bytes | None, words: str
) -> None:
    if text is not None:
        write(tmp_path, name, text)
    with pytest.raises(UsageError, match=words) as caught:
        rows(tmp_path, VARIABLES, {"file": name})
    assert (caught.value.code, caught.value.where) == ("TB1013", f"{tmp_path}/scenarios/s.yaml:9")


def test_the_number_of_rows_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "MOST_ROWS", 2)
    write(tmp_path, "d.csv", "sku\na\nb\n")
    assert len(rows(tmp_path, VARIABLES, CSV)) == 2
    write(tmp_path, "d.csv", "sku\na\nb\nc\n")
    with pytest.raises(UsageError, match="more than 2 rows"):
        rows(tmp_path, VARIABLES, CSV)


def _two(tmp_path: Path, first: dict[str, Any], second: dict[str, Any]) -> list[tuple[Any, Any]]:
    write(tmp_path, "d.csv", "sku\na\nb\nc\nd\ne\n")
    write(tmp_path, "e.jsonl", '{"n": 1}\n{"n": 2}\n')
    return [(r["sku"], r["n"]) for r in rows(tmp_path, VARIABLES, {**CSV, **first}, {"file": "e.jsonl", **second})]


def test_feeds_lie_side_by_side_and_shorter_ones_begin_again(tmp_path: Path) -> None:
    assert _two(tmp_path, {}, {}) == [("a", 1), ("b", 2), ("c", 1), ("d", 2), ("e", 1)]
    assert _two(tmp_path, {"order": "unique"}, {}) == [("a", 1), ("b", 2), ("c", 1), ("d", 2), ("e", 1)]
    assert _two(tmp_path, {}, {"order": "unique"}) == [("a", 1), ("b", 2)]


def test_a_random_feed_beside_another_is_drawn_the_same_each_time(tmp_path: Path) -> None:
    drawn = _two(tmp_path, {}, {"order": "random"})
    assert [sku for sku, _ in drawn] == ["a", "b", "c", "d", "e"]
    assert {n for _, n in drawn} <= {1, 2}
    assert drawn == _two(tmp_path, {}, {"order": "random"})


def test_two_feeds_with_one_variable_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "d.csv", "sku\na\n")
    with pytest.raises(UsageError, match="two feeds give the variable 'sku'") as caught:
        rows(tmp_path, VARIABLES, CSV, CSV)
    assert caught.value.where == f"{tmp_path}/scenarios/s.yaml:10"
