"""What a feed says it is → a Hypothesis strategy that gives maps. Libraries are imported when a feed asks for them."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracer_bullet.errors import UsageError
from tracer_bullet.workspace.data import DataSpec
from tracer_bullet.workspace.load import Located

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


@dataclass(frozen=True, slots=True)
class Source:
    """A strategy of maps. `is_strict`: every name in them must be a variable of the scenario."""

    strategy: SearchStrategy[Any]
    is_strict: bool


def source_of(spec: DataSpec, scenario: Located[Any], index: int) -> Source:
    """The source of a feed that is no file.

    Raises UsageError: TB1015 for a strategy that cannot be had, TB1016 for a JSON Schema, TB1017 for an OpenAPI
    document, TB1018 when the library that it takes is not installed.
    """
    folder = Path(scenario.file).absolute().parent
    if spec.strategy is not None:
        where = scenario.where(f"load.data.{index}.strategy")
        needs("hypothesis", "load", where)
        from tracer_bullet.load.data.strategies import load_strategy  # noqa: PLC0415

        return Source(load_strategy(spec.strategy, folder, where), is_strict=True)
    kind = "schema" if spec.openapi is None else "openapi"
    where = scenario.where(f"load.data.{index}.{kind}")
    needs("schemathesis", "openapi", where)
    from tracer_bullet.load.data import documents  # noqa: PLC0415

    if spec.openapi is not None:
        return Source(documents.of_operation(folder / spec.openapi, spec.operation, where), is_strict=False)
    given = folder / spec.schema_ if isinstance(spec.schema_, Path) else spec.schema_
    return Source(documents.of_schema(given or {}, where), is_strict=False)


def needs(module: str, extra: str, where: str) -> None:
    """Raises UsageError TB1018 unless this library is there."""
    if importlib.util.find_spec(module) is None:
        raise UsageError(
            "TB1018",
            f"{module} is not installed, which this feed is made with",
            where=where,
            cure=f'pip install "tracer-bullet[{extra}]"',
        )
