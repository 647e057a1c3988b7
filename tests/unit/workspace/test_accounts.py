"""Claim: accounts are read as they are written, and every mistake is told with its line."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracer_bullet.errors import WorkspaceError
from tracer_bullet.workspace.accounts import load_accounts

QUICK = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufeff\u2028\u2029\x85")
)
NAMES = st.lists(WORDS.map(str.strip).filter(bool), min_size=1, max_size=4, unique=True)


def write(folder: Path, text: str | bytes, suffix: str = ".csv") -> Path:
    path = folder / f"testers{suffix}"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def mistakes(path: Path) -> list[tuple[int, str]]:
    with pytest.raises(WorkspaceError) as told:
        load_accounts(path)
    assert told.value.code == "TB986"
    assert all(p.file == str(path) for p in told.value.problems)
    return [(p.line, p.message) for p in told.value.problems]


def test_csv(tmp_path: Path) -> None:
    text = '\ufeffuser, password\r\nann,"a,""b"""\r\n\r\nben,0042\r\n'
    assert load_accounts(write(tmp_path, text)) == (
        {"user": "ann", "password": 'a,"b"'},
        {"user": "ben", "password": "0042"},
    )


def test_yaml(tmp_path: Path) -> None:
    text = "- {user: ann, password: '0042'}\n- user: ben\n  password: 017\n"
    assert load_accounts(write(tmp_path, text, ".yaml")) == (
        {"user": "ann", "password": "0042"},
        {"user": "ben", "password": "017"},
    )


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [(1, "there is no header line")]),
        ("user,password\n", [(1, "there is no account in it")]),
        ("user,user\na,b\n", [(1, "two columns have the same name")]),
        ("user,\na,b\n", [(1, "a column has no name")]),
        ("\n\nuser,user\na,b\n", [(3, "two columns have the same name")]),
        ("user,password\na\nb,c\nd,e,f\n", [(2, "1 fields, and the header line has 2"),
                                            (4, "3 fields, and the header line has 2")]),
    ],
)  # fmt: skip
def test_mistakes_in_csv(tmp_path: Path, text: str, lines: list[tuple[int, str]]) -> None:
    assert mistakes(write(tmp_path, text)) == lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("user: ann\n", [(1, "must be a list of maps, one an account")]),
        ("[]\n", [(1, "there is no account in it")]),
        ("- {user: ann}\n- ben\n", [(2, "account 1 is no map of fields")]),
        ("- user: ann\n  pin: 42\n- {user: ben, pin: [1]}\n", [(2, "pin must be a text: put it in quotes"),
                                                              (3, "pin must be a text: put it in quotes")]),
        ("- user: ann\n  user: ben\n", [(2, "'user' is given twice, first in line 1")]),
    ],
)  # fmt: skip
def test_mistakes_in_yaml(tmp_path: Path, text: str, lines: list[tuple[int, str]]) -> None:
    assert mistakes(write(tmp_path, text, ".yml")) == lines


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    assert "cannot be read" in mistakes(tmp_path / "nobody.csv")[0][1]
    assert "cannot be read" in mistakes(write(tmp_path, b"user\n\xff\xfe\n"))[0][1]
    assert mistakes(write(tmp_path, "- [", ".yaml"))[0][1].startswith("no valid YAML")


@QUICK
@given(names=NAMES, data=st.data())
def test_what_was_written_is_read(tmp_path: Path, names: list[str], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.lists(WORDS, min_size=len(names), max_size=len(names)), min_size=1, max_size=5))
    accounts = tuple(dict(zip(names, row, strict=True)) for row in rows)
    stream = io.StringIO()
    csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([names, *rows])
    assert load_accounts(write(tmp_path, stream.getvalue())) == accounts
    text = yaml.safe_dump(list(accounts), default_style='"', allow_unicode=True)
    assert load_accounts(write(tmp_path, text, ".yaml")) == accounts


@QUICK
@given(content=st.one_of(st.binary(), st.text().map(str.encode)), suffix=st.sampled_from([".csv", ".yaml"]))
def test_anything_is_read_or_refused(tmp_path: Path, content: bytes, suffix: str) -> None:
    try:
        accounts = load_accounts(write(tmp_path, content, suffix))
    except WorkspaceError:
        return
    assert accounts
    assert all(isinstance(v, str) for account in accounts for item in account.items() for v in item)
