"""Claim: a run's settings say what the files say, and production has no way round it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.runs.conftest import Answering, tiny_job, write_settings
from tracer_bullet.errors import UsageError

PRODUCTION = "  live: {url: 'https://Shop.example/api', production: true}\n"


@pytest.mark.parametrize("option", ["control", "unarmed"])
@pytest.mark.parametrize("override", ["live", "https://shop.example:443/api", "https://shop.example/other"])
def test_an_address_is_no_way_round_production(workspace: Path, target: Answering, option: str, override: str) -> None:
    write_settings(workspace, target.url, PRODUCTION)
    with pytest.raises(UsageError) as told:
        tiny_job(workspace, target=override, **{option: True})
    assert told.value.code == "TB303"


def test_another_address_is_not_production(workspace: Path, target: Answering) -> None:
    write_settings(workspace, target.url, PRODUCTION)
    job = tiny_job(workspace, target="https://shop.example:8443", control=True)
    assert (job.target.production, job.target.url) == (False, "https://shop.example:8443")
    assert tiny_job(workspace, target="https://shop.example").target.production


def test_the_key_id_of_the_settings(workspace: Path, target: Answering) -> None:
    assert tiny_job(workspace).key is not None
    write_settings(workspace, target.url, "keys: {kid: mine}\n")
    key = tiny_job(workspace).key
    assert key is not None
    assert key.kid == "mine"
