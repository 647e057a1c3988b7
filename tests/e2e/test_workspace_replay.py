"""Claim: the replay in this repository's own workspace is what its README says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import run_cli

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("file", sorted(p.name for p in (ROOT / "replay").glob("*.yaml")))
def test_it_can_be_planned(file: str, tmp_path: Path) -> None:
    made = run_cli("init", str(tmp_path))
    assert made.returncode == 0
    assert run_cli("keys", "new", cwd=tmp_path).returncode == 0
    for one in (ROOT / "replay").iterdir():
        (tmp_path / "replay" / one.name).write_bytes(one.read_bytes())
    planned = run_cli("replay", f"replay/{file}", "--plan", "--json", cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    found = json.loads(planned.stdout)
    assert found["requests"] == 15
    assert found["refused"] == {}
    assert {c["minted"] for c in found["correlations"]} == {"POST /account/orders $.order_id", "POST /login $.token"}


@pytest.mark.parametrize("archive", sorted(p.name for p in (ROOT / "replay").glob("*.tba")))
def test_no_secret_is_in_its_archives(archive: str) -> None:
    audited = run_cli("capture", "audit", str(ROOT / "replay" / archive))
    assert audited.returncode == 0, audited.stdout + audited.stderr
