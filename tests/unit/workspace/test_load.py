"""Documents: all mistakes at once, each with its line, what is valid, and a suggestion."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, model_validator

from tracer_bullet.errors import Problem, WorkspaceError
from tracer_bullet.workspace import Document, Mistake, MistakesError, Spec, load_document, load_located
from tracer_bullet.workspace.load import parse_located
from tracer_bullet.workspace.scenario import ScenarioSpec
from tracer_bullet.workspace.settings import Settings


class File(Spec):
    kind: Literal["file"]
    path: str


class Server(Spec):
    kind: Literal["server"]
    url: str
    port: int = 80


class Item(Spec):
    name: str
    size: int = Field(default=1, ge=1, le=9)
    mode: Literal["fast", "careful"] = "fast"
    ratio: float = 1.0


class Book(Document):
    items: tuple[Item, ...] = Field(min_length=1)
    by_name: dict[str, Item] = Field(default={})
    source: Annotated[File | Server, Field(discriminator="kind")] | None = None

    @model_validator(mode="after")
    def _two_at_once(self) -> Book:
        wrong = [i for i, item in enumerate(self.items) if item.name == "bad"]
        if wrong:
            raise MistakesError([Mistake(path=f"items.{i}.name", message="bad name") for i in wrong])
        return self


def problems(text: str, model: type[Document] = Book, **options: dict[str, str]) -> tuple[Problem, ...]:
    with pytest.raises(WorkspaceError) as caught:
        parse_located(text.encode(), model, file="b.yaml", **options)
    return caught.value.problems


def one(text: str) -> Problem:
    (problem,) = problems(text)
    return problem


def test_a_document_knows_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "b.yaml"
    path.write_text("version: 1\nitems:\n- name: a\n- name: b\n  size: 2\n")
    found = load_located(path, Book)
    assert found.value.items[1] == Item(name="b", size=2)
    assert (found.line("items.1.size"), found.line("items.1.mode"), found.line("nowhere.0")) == (5, 4, 1)
    assert found.where("items.1.size") == f"{path}:5"
    assert load_document(path, Book) == found.value


def test_the_line_of_a_key_with_dots() -> None:
    text = b"version: 1\nitems: [{name: a}]\nby_name:\n  x: {name: a}\n  a.b:\n    name: c\n"
    found = parse_located(text, Book, file="f")
    assert found.line("by_name.a.b.name") == 6
    assert found.line("by_name.a.c") == 3


def test_all_mistakes_are_told_at_once_in_order_of_lines() -> None:
    text = """\
version: 2
items:
  - nmae: x
    size: 10
  - name: y
    mode: fats
    ratio: .nan
by_name:
  server: {name: z, sise: 1}
source:
  kind: server
  prot: 81
"""
    found = [(p.line, p.path, p.message, p.cure) for p in problems(text)]
    assert found == [
        (1, "version", "must be 1, not 2", ""),
        (3, "items.0.name", "'name' is needed", "add `name:`"),
        (3, "items.0.nmae", "unknown key 'nmae'", "did you mean 'name'?; valid keys: name, size, mode, ratio"),
        (4, "items.0.size", "must be less than or equal to 9, not 10", ""),
        (6, "items.1.mode", "must be one of fast, careful, not 'fats'", "did you mean 'fast'?"),
        (
            7,
            "items.1.ratio",
            "must be a number, not '.nan'",
            "",
        ),
        (9, "by_name.server.sise", "unknown key 'sise'", "did you mean 'size'?; valid keys: name, size, mode, ratio"),
        (10, "source.url", "'url' is needed", "add `url:`"),
        (12, "source.prot", "unknown key 'prot'", "did you mean 'port'?; valid keys: kind, url, port"),
    ]


def test_a_union_names_its_tags() -> None:
    assert one("version: 1\nitems: [{name: a}]\nsource: {kind: sever}") == Problem(
        file="b.yaml",
        line=3,
        path="source.kind",
        message="must be one of file, server, not 'sever'",
        cure="did you mean 'server'?",
    )
    assert one("version: 1\nitems: [{name: a}]\nsource:\n  url: x").cure == "add `kind:` with one of file, server"


def test_a_key_that_is_called_like_a_tag_keeps_its_path() -> None:
    found = problems("version: 1\nitems: [{name: a}]\nsource:\n  kind: server\n  url: x\n  server: y")
    assert [(p.line, p.message) for p in found] == [(6, "unknown key 'server'")]


@pytest.mark.parametrize(
    ("items", "message"),
    [("[]", "needs at least 1, and is empty"), ("3", "must be a list, not 3"), ("", "must be a list, not empty")],
)
def test_what_is_no_list(items: str, message: str) -> None:
    assert one(f"version: 1\nitems: {items}").message == message


def test_a_list_with_a_wrong_item_is_not_called_empty() -> None:
    assert [p.path for p in problems("version: 1\nitems: [{}]")] == ["items.0.name"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("items: [3]", "must be a map, not 3"),
        ("items: [{name: 5}]", "must be a text, not 5"),
        ("items: [{name: a, size: x}]", "must be a whole number, not 'x'"),
        ("items: [{name: a, size: 1.5}]", "must be a whole number, not 1.5"),
        ("items: [{name: a, ratio: [x]}]", "must be a number, not a list"),
        ("items: [{name: a}]\nby_name: []", "must be a map, not a list"),
    ],
)
def test_wrong_types_are_told_in_the_words_of_yaml(text: str, message: str) -> None:
    assert one(f"version: 1\n{text}").message == message


def test_a_validator_tells_several_mistakes_with_their_lines() -> None:
    found = problems("version: 1\nitems:\n- name: bad\n- name: good\n- name: bad")
    assert [(p.line, p.path, p.message) for p in found] == [
        (3, "items.0.name", "bad name"),
        (5, "items.2.name", "bad name"),
    ]


def test_the_top_must_be_a_map() -> None:
    assert one("- version: 1").message == "the file must be a map of keys to values"


def test_models_are_frozen() -> None:
    book = parse_located(b"version: 1\nitems: [{name: a}]", Book, file="f").value
    with pytest.raises(ValueError, match="frozen"):
        book.items = ()  # type: ignore[misc]


def test_a_missing_file_suggests_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "checkout.yaml").touch()
    with pytest.raises(WorkspaceError) as caught:
        load_document(tmp_path / "chekout.yaml", Book)
    assert caught.value.problems[0].message == "there is no such file"
    assert caught.value.problems[0].cure == "did you mean 'checkout.yaml'?"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "no" / "where.yaml", Path("a\0b"), tmp_path / ("x" * 300)):
        with pytest.raises(WorkspaceError) as caught:
            load_document(path, Book)
        assert len(caught.value.problems) == 1


def test_an_error_reads_well(tmp_path: Path) -> None:
    path = tmp_path / "b.yaml"
    path.write_text("version: 1\nitem: []\n")
    with pytest.raises(WorkspaceError) as caught:
        load_document(path, Book)
    assert str(caught.value).splitlines() == [
        "TB101: 2 problems in workspace files",
        f"  {path}:1: items: 'items' is needed",
        "    cure: add `items:`",
        f"  {path}:2: item: unknown key 'item'",
        "    cure: did you mean 'items'?; valid keys: version, items, by_name, source",
    ]


_tokens = st.sampled_from(
    [
        "version: 1\n",
        "name: x\n",
        "target: t\n",
        "steps:\n",
        "- name: a\n",
        "  request: ",
        "{path: /x}\n",
        "  expect:\n",
        "    json: {$.a: ",
        "{lt: 1}",
        "}\n",
        "  take: {a: $.b}\n",
        "trace:\n",
        "- spans: {",
        "kind: client",
        "count: 0\n",
        "targets:\n",
        "  a: {url: http://x}\n",
        "traces: {source: zipkin, url: ",
        "${A}",
        "${",
        "[",
        "]",
        "{",
        "}",
        "\n",
        "  ",
    ]
)


@settings(max_examples=400)
@given(st.binary(max_size=200) | st.lists(_tokens, max_size=20).map(lambda parts: "".join(parts).encode()))
def test_any_bytes_give_a_model_or_problems(data: bytes) -> None:
    for model in (ScenarioSpec, Settings, Book):
        assert outcome(data, model)


def outcome(data: bytes, model: type[Document]) -> bool:
    try:
        return isinstance(parse_located(data, model, file="f.yaml", environ={"A": "x"}).value, model)
    except WorkspaceError as error:
        return bool(error.problems) and all(p.line >= 1 and p.message for p in error.problems)
