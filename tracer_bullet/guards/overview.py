"""What a service's guards would be here: each setting with its source, each library with its guard."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tracer_bullet.guards import net, unguarded
from tracer_bullet.guards.environment import Sourced
from tracer_bullet.guards.registry import guard_modules
from tracer_bullet.guards.versions import satisfies


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One field of the configuration. `source`: `default`, a variable, or a section of a file."""

    name: str
    value: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """A client library. `state`: `guarded`, `untested version`, `absent` or `unguarded`."""

    name: str
    state: str
    version: str = ""
    tested: str = ""
    policy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """All of it. `blind_spots`: libraries installed here whose sockets or files the net cannot see."""

    service: str
    settings: tuple[Setting, ...]
    libraries: tuple[Library, ...]
    blind_spots: tuple[str, ...]


def describe(found: Sourced) -> Overview:
    """What would be guarded, and how, if a service with this configuration were armed in this environment."""
    config = found.config
    rows = [f for f in fields(config) if f.name != "service"]
    return Overview(
        service=config.service,
        settings=tuple(
            Setting(name=f.name, value=_text(getattr(config, f.name)), source=found.sources.get(f.name, "default"))
            for f in rows
        ),
        libraries=(*_guarded(found), *_unguarded()),
        blind_spots=tuple(text for name, text in sorted(net.BLIND.items()) if _is_installed(name)),
    )


def _guarded(found: Sourced) -> list[Library]:
    libraries = []
    for path in guard_modules():
        guard = importlib.import_module(path).GUARD
        policy = found.config.policy(guard.sink).value if guard.sink else "on"
        row = {"name": guard.name, "tested": guard.versions, "policy": policy}
        if not _is_installed(guard.module):
            libraries.append(Library(**row, state="absent"))
            continue
        try:
            at = version(guard.distribution or guard.module) if guard.versions else ""
        except PackageNotFoundError:
            at = ""
        fits = not guard.versions or satisfies(at, guard.versions)
        libraries.append(Library(**row, version=at, state="guarded" if fits else "untested version"))
    return libraries


def _unguarded() -> list[Library]:
    names = (name for name in unguarded.KNOWN if name not in sys.stdlib_module_names)
    return [Library(name=name, state="unguarded") for name in names if _is_installed(name)]


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def _text(value: Any) -> str:
    plain = _plain(value)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return value
