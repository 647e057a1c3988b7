"""The JSON Schemas in docs/schemas are those of the models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tracer_bullet.errors import WorkspaceError
from tracer_bullet.workspace.load import parse_located
from tracer_bullet.workspace.schemas import COMMAND, DOCUMENTS, main, schema_text
from tracer_bullet.workspace.tree import read_tree

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "docs" / "schemas"
FILES = [("settings", ROOT / "tracer-bullet.yaml"), *(("scenario", p) for p in sorted(ROOT.glob("scenarios/*.yaml")))]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_schema_is_up_to_date(name: str) -> None:
    path = FOLDER / f"{name}.schema.json"
    written = path.read_text(encoding="utf-8") if path.exists() else ""
    assert written == schema_text(name), f"the models have changed: run `{COMMAND}`"


def test_there_is_no_schema_without_a_model() -> None:
    assert sorted(p.name for p in FOLDER.iterdir()) == sorted(f"{name}.schema.json" for name in DOCUMENTS)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_unknown_keys_are_refused_and_references_lead_somewhere(name: str) -> None:
    schema = json.loads(schema_text(name))
    assert schema["additionalProperties"] is False
    assert {"version"} <= set(schema["required"])
    wanted = {r.rpartition("/")[2] for r in _references(schema)}
    assert wanted <= set(schema["$defs"])


def test_the_command_writes_every_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(tmp_path / "new")
    assert len(capsys.readouterr().out.splitlines()) == len(DOCUMENTS)
    assert {p.read_text() for p in (tmp_path / "new").iterdir()} == {schema_text(n) for n in DOCUMENTS}


def accepts(name: str, value: Any) -> tuple[bool, bool]:
    """Whether the schema and whether the model accept a value."""
    try:
        model = bool(parse_located(json.dumps(value).encode(), DOCUMENTS[name], file="f"))
    except WorkspaceError:
        model = False
    return Draft202012Validator(json.loads(schema_text(name))).is_valid(value), model


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_schema_is_one(name: str) -> None:
    Draft202012Validator.check_schema(json.loads(schema_text(name)))


@pytest.mark.parametrize(("name", "path"), FILES, ids=lambda v: getattr(v, "name", v))
def test_the_schema_accepts_this_repositorys_files(name: str, path: Path) -> None:
    assert accepts(name, read_tree(path.read_bytes(), str(path)).value)[0]


_MATCHERS: list[tuple[Any, bool]] = [
    *((m, True) for m in ("x", 1, 0.5, True, {"eq": None}, {"in": [1]}, {"lt": "a"}, {"exists": False})),
    *((m, False) for m in (None, [1], {}, {"eqq": 1}, {"lt": [1]}, {"in": 3}, {"in": []}, {"type": "strng"})),
]


@pytest.mark.parametrize(
    ("step", "good"),
    [
        *(({"expect": {"json": {"$.a": matcher}}}, good) for matcher, good in _MATCHERS),
        *(({"expect": {"status": s}}, True) for s in (200, "2xx", "404", [200, "3XX"])),
        *(({"expect": {"status": s}}, False) for s in (99, "2xy", [], True, None)),
        *(({"take": {"a": s}}, True) for s in ("$", "$.a", "header:X", "status")),
        *(({"take": {"a": s}}, False) for s in ("a", "statusx", 3)),
        ({"request": {"path": "/", "json": None, "query": {"a": 1, "b": ["x"]}, "headers": {"a": 1}}}, True),
        *(({"request": {"path": "/", **r}}, False) for r in ({"nope": 1}, {"query": {"a": {}}}, {"timeout_s": 0})),
    ],
    ids=str,
)
def test_schema_and_model_agree_on_steps(step: dict[str, Any], good: bool) -> None:
    value = {"version": 1, "name": "s", "target": "t", "steps": [{"name": "a", "request": {"path": "/"}} | step]}
    assert accepts("scenario", value) == (good, good)


@pytest.mark.parametrize(
    ("more", "good"),
    [
        ({"traces": {"source": "zipkin", "url": "http://h"}}, True),
        ({"traces": {"source": "embedded"}}, True),
        ({"traces": {"source": "zipkin", "listen": "h:1"}}, False),
        ({"traces": {"source": "jaeger"}}, False),
        ({"targets": {}}, False),
        ({"key": {}}, False),
        ({"version": 2}, False),
    ],
    ids=str,
)
def test_schema_and_model_agree_on_settings(more: dict[str, Any], good: bool) -> None:
    assert accepts("settings", {"version": 1, "targets": {"t": {"url": "http://h"}}} | more) == (good, good)


def _references(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [r for v in value.values() for r in _references(v)]
    return [r for v in value for r in _references(v)] if isinstance(value, list) else []
