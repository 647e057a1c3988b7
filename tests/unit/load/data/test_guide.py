"""What docs/load-data.md shows works as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.unit.load.data.feeding import rows, write
from tracer_bullet.workspace.data import DataSpec

GUIDE = (Path(__file__).parents[4] / "docs" / "load-data.md").read_text(encoding="utf-8")


def _block(language: str, holding: str) -> str:
    blocks = re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    (found,) = [block for block in blocks if holding in block]
    return str(found)


def test_the_strategy_gives_rows(tmp_path: Path) -> None:
    (feed,) = yaml.safe_load(_block("yaml", "strategy:"))["data"]
    write(tmp_path, "orders.py", _block("python", "orders ="))
    found = rows(tmp_path, {"sku": "A-1", "quantity": 1}, {**feed, "rows": 50})
    assert len(found) == 50
    assert all(re.fullmatch("[A-Z]-[0-9]{1,4}", str(row["sku"])) and 1 <= int(row["quantity"]) <= 1000 for row in found)


def test_the_file_s_columns_are_its_variables(tmp_path: Path) -> None:
    example = yaml.safe_load(_block("yaml", "orders.csv"))
    write(tmp_path, "orders.csv", "sku,quantity\nB-2,2\n")
    assert rows(tmp_path, example["variables"], *example["load"]["data"]) == ({"sku": "B-2", "quantity": 2},)


def test_the_schema_s_body_is_one(tmp_path: Path) -> None:
    pytest.importorskip("schemathesis")
    example = yaml.safe_load(_block("yaml", "schema:"))
    assert example["steps"][0]["request"]["body"] == "${body}"
    write(
        tmp_path,
        "order.schema.json",
        '{"type": "object", "properties": {"sku": {"type": "string"}}, "required": ["sku"]}',
    )
    (feed,) = example["load"]["data"]
    assert all('"sku":' in str(row["body"]) for row in rows(tmp_path, example["variables"], {**feed, "rows": 5}))


def test_the_table_has_every_key() -> None:
    keys = {field.alias or name for name, field in DataSpec.model_fields.items()}
    assert set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", GUIDE, re.MULTILINE)))) == keys
