"""Scenarios from YAML text, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tracer_bullet.scenario import Plan, Scenario, plan
from tracer_bullet.workspace.load import Located, parse_located

HEAD = "version: 1\nname: s\ntarget: t\n"


@pytest.fixture(scope="session")
def scenario() -> Callable[[str], Located[Scenario]]:
    """Builds the scenario of a text that follows the three lines of HEAD."""
    return lambda text: parse_located(f"{HEAD}{text}".encode(), Scenario, file="s.yaml")


@pytest.fixture(scope="session")
def planned(scenario: Callable[[str], Located[Scenario]]) -> Callable[..., Plan]:
    """Builds a plan against http://h:1, or `base_url`, from such a text."""

    def build(text: str, base_url: str = "http://h:1", **overrides: str) -> Plan:
        return plan(scenario(text), base_url=base_url, overrides=overrides)

    return build
