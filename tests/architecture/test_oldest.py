"""`make test-oldest` tests what the guards and pyproject.toml say to be the oldest supported version, and no other."""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from tracer_bullet.guards.registry import Guard, guard_modules

ROOT = Path(__file__).parents[2]


def _requirements(lines: Iterable[str]) -> dict[str, SpecifierSet]:
    stripped = (line.partition("#")[0].strip() for line in lines)
    found = (Requirement(line) for line in stripped if line)
    return {canonicalize_name(one.name): one.specifier for one in found}


def _bound(versions: SpecifierSet, operator: str) -> Version | None:
    return next((Version(one.version) for one in versions if one.operator == operator), None)


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DECLARED = _requirements([*PROJECT["dependencies"], *chain.from_iterable(PROJECT["optional-dependencies"].values())])
TESTED = _requirements((ROOT / "tests" / "oldest.txt").read_text(encoding="utf-8").splitlines())
OLDEST = {name: pinned for name, versions in TESTED.items() if (pinned := _bound(versions, "=="))}
GUARDS: list[Guard] = [importlib.import_module(path).GUARD for path in guard_modules()]


@pytest.mark.parametrize("guard", [g for g in GUARDS if g.versions], ids=lambda g: g.name)
def test_the_oldest_version_of_every_guarded_library_is_tested(guard: Guard) -> None:
    name = canonicalize_name(guard.distribution or guard.module)
    assert OLDEST[name] == _bound(SpecifierSet(guard.versions), ">="), "tests/oldest.txt differs from the guard"


@pytest.mark.parametrize("name", sorted(OLDEST.keys() & DECLARED.keys()))
def test_what_is_declared_is_what_is_tested(name: str) -> None:
    # FastAPI's oldest does not go with Starlette's.
    assert name == "fastapi" or OLDEST[name] == _bound(DECLARED[name], ">="), "tests/oldest.txt differs from pyproject"
