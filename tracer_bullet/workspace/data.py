"""Where the values of a scenario's variables come from, when they vary. docs/load.md is its reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from tracer_bullet.workspace.load import Spec

_SOURCES = ("file", "strategy", "schema_", "openapi")


class DataSpec(Spec):
    """A feed of rows, each a map of variables. Exactly one of `file`, `strategy`, `schema`, `openapi`."""

    file: Path | None = None
    """CSV with a header line (`.csv`), or JSON lines (`.jsonl`, `.ndjson`); relative to the scenario."""
    strategy: str | None = None
    """A Hypothesis strategy that gives maps: `file.py:name`, relative to the scenario, or `package.module:name`."""
    schema_: dict[str, Any] | Path | None = Field(default=None, alias="schema")
    """A JSON Schema of an object (here, or in a file): its properties are variables."""
    openapi: Path | None = None
    """An OpenAPI document: `operation`'s parameters and body are made from it."""
    operation: str = ""
    """Of `openapi`: an operationId, or `METHOD /path`."""
    order: Literal["sequential", "random", "unique"] = "sequential"
    """`sequential` begins again at the end; `unique` gives each row once, and the traffic ends with the last one."""
    rows: int = Field(default=1000, ge=1, le=1_000_000)
    """How many rows are made, where they are made."""
    prefix: str = ""
    """Put before the names of variables, so that two feeds do not collide."""

    @model_validator(mode="after")
    def _one_source(self) -> DataSpec:
        if sum(getattr(self, n) is not None for n in _SOURCES) != 1:
            raise ValueError("give exactly one of file, strategy, schema and openapi")
        if bool(self.operation) != (self.openapi is not None):
            raise ValueError("`openapi` and `operation` belong together")
        return self
