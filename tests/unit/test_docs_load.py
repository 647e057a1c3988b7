"""Claim: what the pages on load show as YAML, commands and options is taken as it stands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from tracer_bullet.cli.load import command
from tracer_bullet.scenario import load_scenario
from tracer_bullet.workspace.load import Document, load_document
from tracer_bullet.workspace.locustfile import LocustfileSpec
from tracer_bullet.workspace.settings import Settings
from tracer_bullet.workspace.traffic import LoadSpec

ROOT = Path(__file__).parents[2]
NAMES = (
    "load",
    "load-data",
    "load-profiles",
    "load-safety",
    "load-outputs",
    "thresholds",
    "distribution",
    "locustfiles",
)
PAGES = {name: (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in NAMES}
SCENARIO: dict[str, Any] = {
    "version": 1,
    "name": "shown",
    "target": "shop",
    "steps": [{"name": "look", "request": {"path": "/products"}}],
}


def blocks(language: str) -> list[Any]:
    return [
        pytest.param(block, id=f"{name}-{number}")
        for name, page in PAGES.items()
        for number, block in enumerate(re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL), start=1)
    ]


def whole(block: str) -> tuple[type[Document] | None, dict[str, Any]]:
    """The document that a block is a part of. None for a scenario, which has a loader of its own."""
    part = yaml.safe_load(block)
    if "flag_hosts" in part:
        return LocustfileSpec, part
    if "targets" in part:
        return Settings, part
    if not part.keys() & {"load", "steps", "trace"}:  # what stands below `load:`, shown alone
        part = {"load": part if part.keys() & {"rate", "users", "stages"} else {"rate": "1/s", "duration": "1s"} | part}
    return None, {**SCENARIO, **part}


@pytest.mark.parametrize("block", blocks("yaml"))
def test_a_block_of_yaml_loads(tmp_path: Path, block: str) -> None:
    model, document = whole(block)
    path = tmp_path / "shown.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    if model is None:
        assert load_scenario(path).value.load is not None
    else:
        load_document(path, model)


def test_every_page_of_settings_shows_some() -> None:
    shown = {str(param.id).rsplit("-", 1)[0] for param in blocks("yaml")}
    assert shown >= {"load", "load-data", "load-profiles", "load-safety", "thresholds", "locustfiles"}


def test_the_reference_has_every_key_of_load() -> None:
    table = PAGES["load"][PAGES["load"].index("## Reference") :]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    told = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    assert told == {field.alias or name for name, field in LoadSpec.model_fields.items()}


COMMANDS = sorted(
    {
        row.split("#")[0].strip()
        for page in (*PAGES.values(), (ROOT / "README.md").read_text(encoding="utf-8"))
        for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
        for row in block.replace("\\\n", " ").splitlines()
        if row.startswith("tracer-bullet load ")
    }
)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_parses(line: str) -> None:
    arguments = shlex.split(line)[2:]
    context = command.make_context("load", list(arguments))
    given = context.params
    assert "locust" in context.meta or given["worker"] or Path(given["scenario"]).parts[0] == "scenarios"
    assert len(COMMANDS) > 10
