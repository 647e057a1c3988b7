"""JSON Schemas and OpenAPI documents become rows, through Schemathesis."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.unit.load.data.feeding import rows, write
from tracer_bullet.errors import UsageError
from tracer_bullet.load.data import sources

pytest.importorskip("schemathesis")

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "sku": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"},
        "n": {"type": "integer", "minimum": 1, "maximum": 9},
        "to": {"$ref": "#/$defs/address"},
        "gift-wrap": {"type": "boolean"},
    },
    "required": ["sku", "n", "to"],
    "additionalProperties": False,
    "$defs": {"address": {"type": "object", "properties": {"zip": {"type": "string"}}, "required": ["zip"]}},
}
OPENAPI: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "shop", "version": "1"},
    "paths": {
        "/orders/{order-id}": {
            "put": {
                "operationId": "putOrder",
                "parameters": [
                    {"name": "order-id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}},
                    {"name": "dry", "in": "query", "required": True, "schema": {"type": "boolean"}},
                    {
                        "name": "X-Tenant",
                        "in": "header",
                        "required": True,
                        "schema": {"type": "string", "enum": ["a", "b"]},
                    },
                ],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}},
                },
                "responses": {"200": {"description": "ok"}},
            },
            "get": {
                "parameters": [
                    {"name": "order-id", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 1}}
                ],
                "responses": {"200": {"description": "ok"}},
            },
        }
    },
    "components": {
        "schemas": {
            "Order": {
                "type": "object",
                "properties": {"n": {"type": "integer", "minimum": 1}, "note": {"type": "string"}},
                "required": ["n"],
                "additionalProperties": False,
            }
        }
    },
}


def test_properties_are_variables_and_body_is_the_whole(tmp_path: Path) -> None:
    found = rows(tmp_path, {"sku": "A", "n": 1, "gift_wrap": False, "body": ""}, {"schema": SCHEMA, "rows": 12})
    assert len(found) == 12
    for row in found:
        whole = json.loads(str(row["body"]))
        jsonschema.validate(whole, SCHEMA)
        assert row["sku"] == whole["sku"]
        assert re.fullmatch("[A-Z]{2}-[0-9]{3}", str(row["sku"]))
        assert row["n"] == whole["n"]
        assert row.get("gift_wrap") == whole.get("gift-wrap")
        assert set(row) <= {"sku", "n", "gift_wrap", "body"}  # `to` is no variable of the scenario
    assert len({row["body"] for row in found}) > 5


def test_a_schema_may_be_in_a_file_and_rows_are_the_same_for_a_seed(tmp_path: Path) -> None:
    write(tmp_path, "order.json", json.dumps(SCHEMA))
    feed = {"schema": "order.json", "rows": 10}
    first = rows(tmp_path, {"to": ""}, feed)
    assert rows(tmp_path, {"to": ""}, feed) == first
    assert all(set(json.loads(str(row["to"]))) >= {"zip"} for row in first)


@pytest.mark.parametrize("operation", ["putOrder", "put /orders/{order-id}", "PUT /orders/{order-id}"])
def test_an_operation_s_parameters_and_body_are_variables(tmp_path: Path, operation: str) -> None:
    write(tmp_path, "api.yaml", json.dumps(OPENAPI))
    variables = {"order_id": "", "dry": False, "X_Tenant": "", "n": 1, "note": "", "body": ""}
    found = rows(tmp_path, variables, {"openapi": "api.yaml", "operation": operation, "rows": 8})
    assert len(found) == 8
    for row in found:
        body = json.loads(str(row["body"]))
        assert row["n"] == body["n"]
        assert row.get("note") == body.get("note")
        assert row["X_Tenant"] in ("a", "b")
        assert row["order_id"] != ""
    assert {type(row["dry"]) for row in found} == {bool}


def test_what_stands_in_a_path_is_not_encoded_twice(tmp_path: Path) -> None:
    document = json.loads(json.dumps(OPENAPI))
    parameter = document["paths"]["/orders/{order-id}"]["get"]["parameters"][0]
    parameter["schema"] = {"type": "string", "enum": ["a b", "ä/ö", "50%"]}
    write(tmp_path, "api.json", json.dumps(document))
    found = rows(tmp_path, {"order_id": ""}, {"openapi": "api.json", "operation": "GET /orders/{order-id}", "rows": 10})
    assert {row["order_id"] for row in found} <= {"a b", "ä/ö", "50%"}


def test_a_form_is_variables_too(tmp_path: Path) -> None:
    document = json.loads(json.dumps(OPENAPI))
    put = document["paths"]["/orders/{order-id}"]["put"]
    put["requestBody"]["content"] = {
        "application/x-www-form-urlencoded": {"schema": {"$ref": "#/components/schemas/Order"}}
    }
    write(tmp_path, "api.json", json.dumps(document))
    found = rows(tmp_path, {"n": 0}, {"openapi": "api.json", "operation": "putOrder", "rows": 5})
    assert all(int(row["n"]) >= 1 for row in found)


@pytest.mark.parametrize(
    ("feed", "code", "words"),
    [
        ({"openapi": "api.yaml", "operation": "putOrders"}, "TB1017", "did you mean 'putOrder'?"),
        ({"openapi": "api.yaml", "operation": "DELETE /x"}, "TB1017", "has no operation"),
        ({"openapi": "none.yaml", "operation": "x"}, "TB1017", "cannot be read: No such file"),
        ({"openapi": "bad.yaml", "operation": "x"}, "TB1017", "neither JSON nor YAML"),
        ({"openapi": "list.yaml", "operation": "x"}, "TB1017", "is no document of this kind"),
        ({"schema": "none.json"}, "TB1016", "cannot be read: No such file"),
        (
            {"schema": {"type": "object", "properties": {"sku": {"$ref": "#/$defs/none"}}}},
            "TB1019",
            "nothing can be drawn",
        ),
        ({"schema": {"type": "integer"}}, "TB1019", ""),
        (
            {
                "schema": {
                    "type": "object",
                    "properties": {"skuu": {"type": "string"}},
                    "required": ["skuu"],
                    "additionalProperties": False,
                }
            },
            "TB1014",
            "is no variable of the scenario",
        ),
    ],
)
def test_what_a_document_lacks_is_told(tmp_path: Path, feed: dict[str, Any], code: str, words: str) -> None:
    write(tmp_path, "api.yaml", json.dumps(OPENAPI))
    write(tmp_path, "bad.yaml", "a: [")
    write(tmp_path, "list.yaml", "- a\n")
    with pytest.raises(UsageError) as caught:
        rows(tmp_path, {"sku": "A"}, {**feed, "rows": 5})
    assert (caught.value.code, caught.value.where) == (code, f"{tmp_path}/scenarios/s.yaml:9")
    assert words in str(caught.value)


def test_what_is_not_installed_is_told_with_the_way_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda n: None if n == "schemathesis" else real(n))
    with pytest.raises(UsageError, match="schemathesis is not installed") as caught:
        rows(tmp_path, {"sku": "A"}, {"schema": SCHEMA})
    assert (caught.value.code, caught.value.cure) == ("TB1018", 'pip install "tracer-bullet[openapi]"')
