"""What a test needs of a library's version: `make test-oldest` runs with the oldest that a guard takes."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NoReturn

import pytest

from tracer_bullet.guards.versions import satisfies


def has(distribution: str, versions: str) -> bool:
    """Whether `distribution` is installed in a version within `versions`, such as `>=1.35`."""
    try:
        return satisfies(version(distribution), versions)
    except PackageNotFoundError:
        return False


def needs(distribution: str, versions: str, what: str) -> pytest.MarkDecorator:
    """Skip a test, or a parameter of one, whose feature `what` is not in the installed version."""
    return pytest.mark.skipif(not has(distribution, versions), reason=f"{what} needs {distribution}{versions}")


def instrumentor(library: str, name: str) -> Callable[[], Any]:
    """OpenTelemetry's instrumentor class; where it is not installed, one that skips the tests that instrument."""
    try:
        found: Callable[[], Any] = getattr(importlib.import_module(f"opentelemetry.instrumentation.{library}"), name)
    except ModuleNotFoundError:
        return lambda: Skipping(f"opentelemetry-instrumentation-{library.replace('_', '-')} is not installed")
    return found


class Skipping:
    """Stands for an instrumentor that is of no use here: who instruments is skipped."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def instrument(self, **_settings: Any) -> NoReturn:
        pytest.skip(self._reason)

    def uninstrument(self, **_settings: Any) -> None:
        """Nothing was instrumented."""


class PsycopgInstrumentor:
    """OpenTelemetry's. Its `uninstrument` may leave a bound method where psycopg had a class method, and on Python
    3.11 wrapt 1 cannot wrap that again; so the original is put back."""

    def __init__(self) -> None:
        from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor as Theirs

        self._theirs = Theirs()
        self._before: list[tuple[type, Any]] = []

    def instrument(self, **settings: Any) -> None:
        import psycopg

        self._before = [(kind, vars(kind)["connect"]) for kind in (psycopg.Connection, psycopg.AsyncConnection)]
        self._theirs.instrument(**settings)

    def uninstrument(self, **settings: Any) -> None:
        self._theirs.uninstrument(**settings)
        for kind, connect in self._before:
            kind.connect = connect  # type: ignore[attr-defined]


def newer_psycopg_instrumentor(what: str) -> Any:
    """It, where it makes good spans of `what`: 0.48b0 makes none in Django, and ends an async one before its time."""
    if has("opentelemetry-instrumentation-psycopg", ">0.48"):
        return PsycopgInstrumentor()
    return Skipping(f"a span of {what} needs opentelemetry-instrumentation-psycopg>0.48")
