"""JSON Schema and OpenAPI → strategies, by Schemathesis (https://schemathesis.io), which reads both.

A value is a map of what variables may be called: parameters and properties by their names, and `body`, the whole body
as it is sent. Only imported where Schemathesis is installed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import schemathesis
import yaml
from hypothesis.strategies import SearchStrategy
from schemathesis.config import SchemathesisConfig

from tracer_bullet.errors import UsageError
from tracer_bullet.load.data.values import json_text
from tracer_bullet.workspace.mistakes import suggest

_NO_NAME: Final = re.compile(r"[^A-Za-z0-9_]")
_MOST_BYTES: Final = 16 * 1024 * 1024


def of_schema(schema: Mapping[str, Any] | Path, where: str) -> SearchStrategy[Any]:
    """Maps of the properties of objects that the schema describes, with `body`, the object as JSON.

    JSON Schema of draft 2020-12, which is what OpenAPI 3.1 has in it. Raises UsageError TB1016.
    """
    if isinstance(schema, Path):
        schema = _read(schema, "TB1016", where)
    place = "#/components/schemas/row"
    document = {
        "openapi": "3.1.0",
        "info": {"title": "rows", "version": "1"},
        "paths": {
            "/": {
                "post": {
                    "requestBody": {"required": True, "content": {"application/json": {"schema": {"$ref": place}}}},
                    "responses": {"200": {"description": "none"}},
                }
            }
        },
        "components": {"schemas": {"row": _moved(schema, place)}},
    }
    try:
        operation = _load(document)["/"]["POST"]
        strategy = _positive(operation)
    except Exception as error:
        raise UsageError("TB1016", f"the schema cannot be used: {_said(error)}", where=where) from error
    return strategy.map(_body_row).filter(lambda row: row is not None)


def of_operation(path: Path, name: str, where: str) -> SearchStrategy[Any]:
    """Maps of an operation's parameters, of its body's properties, and `body`. Raises UsageError TB1017."""
    document = _read(path, "TB1017", where)
    try:
        schema = _load(document)
        operations = list(_operations(schema))
    except Exception as error:
        raise UsageError("TB1017", f"{path.name} cannot be used: {_said(error)}", where=where) from error
    found = _chosen(operations, name)
    if found is None:
        names = [n for pair in operations for n in pair[:2] if n]
        listed = ", ".join(label for _, label, _ in operations[:10]) or "none"
        cure = suggest(name, names) or f"operations: {listed}"
        raise UsageError("TB1017", f"{path.name} has no operation {name!r}", where=where, cure=cure)
    try:
        strategy = _positive(found)
    except Exception as error:
        raise UsageError("TB1017", f"{name} cannot be used: {_said(error)}", where=where) from error
    return strategy.map(_case_row).filter(lambda row: row is not None)


def _load(document: dict[str, Any]) -> Any:
    # A configuration of its own, lest one is looked for in folders above.
    return schemathesis.openapi.from_dict(document, config=SchemathesisConfig())


def _positive(operation: Any) -> SearchStrategy[Any]:
    return operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE)  # type: ignore[no-any-return]


def _operations(schema: Any) -> Iterator[tuple[str, str, Any]]:
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation is not None:
            label = f"{operation.method.upper()} {operation.path}"
            yield str(operation.definition.raw.get("operationId", "")), label, operation


def _chosen(operations: list[tuple[str, str, Any]], name: str) -> Any:
    method, _, path = name.partition(" ")
    wanted = f"{method.upper()} {path.strip()}"
    return next((operation for id_, label, operation in operations if name == id_ or wanted == label), None)


def _body_row(case: Any) -> dict[str, Any] | None:
    return _with_body({}, case.body) if isinstance(case.body, dict) else None


def _case_row(case: Any) -> dict[str, Any] | None:
    """None for a body that is no text."""
    row: dict[str, Any] = {}
    # Schemathesis has percent-encoded what stands in the path; so does a scenario.
    path = {n: unquote(v) if isinstance(v, str) else v for n, v in (case.path_parameters or {}).items()}
    for part in (case.cookies, case.headers, case.query, path):
        row |= {_NO_NAME.sub("_", name): value for name, value in (part or {}).items()}
    if case.media_type is None:
        return row
    return _with_body(row, case.body)


def _with_body(row: Mapping[str, Any], body: Any) -> dict[str, Any] | None:
    if isinstance(body, bytes):
        try:
            body = body.decode()
        except UnicodeDecodeError:
            return None
    properties = body if isinstance(body, dict) else {}
    named = {_NO_NAME.sub("_", name): value for name, value in properties.items() if name}
    try:
        whole = body if isinstance(body, str) else json_text(body)
    except (TypeError, ValueError):
        return None
    return {**named, **row, "body": whole}


def _moved(schema: Any, place: str) -> Any:
    """The schema with references into itself, as `#/$defs/x`, leading to where it now is."""
    if isinstance(schema, dict):
        moved = {key: _moved(value, place) for key, value in schema.items() if key not in ("$schema", "$id")}
        reference = moved.get("$ref")
        if isinstance(reference, str) and reference.startswith("#"):
            moved["$ref"] = place + reference[1:]
        return moved
    return [_moved(item, place) for item in schema] if isinstance(schema, list) else schema


def _read(path: Path, code: str, where: str) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
        document = json.loads(data) if data.lstrip()[:1] == b"{" else yaml.load(data, Loader=_YAML)  # noqa: S506
    except OSError as error:
        raise UsageError(code, f"{path} cannot be read: {error.strerror}", where=where) from None
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise UsageError(code, f"{path.name} is neither JSON nor YAML: {error}", where=where) from None
    if not isinstance(document, dict) or len(data) > _MOST_BYTES:
        raise UsageError(code, f"{path.name} is no document of this kind", where=where)
    return document


class _YAML(yaml.SafeLoader):
    """Without dates, which are no JSON: `2024-01-01` is a text, as in an `example`."""


_YAML.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _said(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
