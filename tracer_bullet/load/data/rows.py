"""All feeds of a scenario → its rows."""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tracer_bullet.errors import UsageError
from tracer_bullet.load.data.files import read_file
from tracer_bullet.load.data.sources import Source, source_of
from tracer_bullet.load.data.values import as_scalar
from tracer_bullet.load.script import sendable_rows
from tracer_bullet.scenario.plan import like_default
from tracer_bullet.workspace.data import DataSpec
from tracer_bullet.workspace.load import Located
from tracer_bullet.workspace.mistakes import suggest
from tracer_bullet.workspace.scenario import ScenarioSpec
from tracer_bullet.workspace.template import Scalar

Row = Mapping[str, Scalar]

# More than this is no feed but a recording, and every sender holds it.
MOST_ROWS: Final = 1_000_000
# Whether a row can be sent does not depend on where to.
_ANY_URL: Final = "http://localhost"


def make_rows(specs: Sequence[DataSpec], scenario: Located[Any], *, seed: int) -> tuple[Row, ...]:
    """The rows of a scenario's data, the same for the same seed; none without data.

    Files are relative to the scenario's. Feeds are laid side by side: the longest says how many rows there are, and
    shorter ones begin again; a `unique` one does not, so that rows end with the shortest of these. A `random` feed
    beside others gives each row one of its own at random.

    Rows that no step can be made of are not among them (load/script/rows.py).

    Raises UsageError: TB1012 for a value, TB1013 for a file, TB1014 for a name that is no variable of the scenario,
    TB1015 to TB1019 for sources that give no rows; and as compile_script does.
    """
    feeds = [feed_rows(spec, scenario, index, seed=seed) for index, spec in enumerate(specs)]
    _refuse_same_names(feeds, scenario)
    if not feeds:
        return ()
    rows = feeds[0] if len(feeds) == 1 else list(_side_by_side(feeds, specs, seed))
    # An empty default is there to be replaced, as by --var, which is not known here.
    blank = {n: "x" for n, v in scenario.value.variables.items() if isinstance(v, str) and not v.strip()}
    return sendable_rows(scenario, base_url=_ANY_URL, variables=blank, rows=rows)


def feed_rows(spec: DataSpec, scenario: Located[Any], index: int, *, seed: int) -> list[dict[str, Scalar]]:
    """The rows of one feed. `index`: its place in `load.data`."""
    where = scenario.where(f"load.data.{index}")
    if spec.file is not None:
        path = Path(scenario.file).absolute().parent / spec.file
        rows = [_file_row(found, spec, scenario, f"{path}:{line}") for line, found in read_file(path, where, MOST_ROWS)]
    else:
        source = source_of(spec, scenario, index)
        rows = list(drawn_rows(source, spec, scenario, index, seed=seed))
    if not rows:
        code = "TB1013" if spec.file is not None else "TB1019"
        raise UsageError(code, "this feed has no rows", where=where, cure="give it a row at least, or leave it out")
    return rows


def drawn_rows(
    source: Source, spec: DataSpec, scenario: Located[Any], index: int, *, seed: int
) -> Iterator[dict[str, Scalar]]:
    """The rows of a feed that are drawn from a strategy."""
    from tracer_bullet.load.data.draw import draw  # noqa: PLC0415  # Hypothesis is heavy, and an extra

    where = scenario.where(f"load.data.{index}")
    used: set[str] = set()
    offered: set[str] = set()
    for value in draw(source.strategy, spec.rows, seed=seed + index, where=where):
        offered.update(value)
        row = drawn_row(source, value, spec, scenario.value, where)
        used.update(row)
        yield row
    if offered and not used:
        raise _unknown(min(offered), spec, scenario.value, where)


def drawn_row(
    source: Source, value: Mapping[str, Any], spec: DataSpec, scenario: ScenarioSpec, where: str
) -> dict[str, Scalar]:
    """What one drawn value says of the scenario's variables.

    Documents describe more than a scenario uses, so that what is no variable of it is left out; a strategy is written
    for it.
    """
    row: dict[str, Scalar] = {}
    for name, item in value.items():
        variable = f"{spec.prefix}{name}"
        if variable not in scenario.variables:
            if source.is_strict:
                raise _unknown(name, spec, scenario, where)
            continue
        row[variable] = _scalar(item, variable, where)
        if not source.is_strict and isinstance(item, str):
            # Documents' parameters come as they are sent, `true` as a text.
            with contextlib.suppress(UsageError):
                row[variable] = like_default(scenario.variables[variable], variable, item, where)
    return row


def _file_row(found: Mapping[str, Any], spec: DataSpec, scenario: Located[Any], where: str) -> dict[str, Scalar]:
    is_text = spec.file is not None and spec.file.suffix.lower() == ".csv"
    defaults = scenario.value.variables
    row: dict[str, Scalar] = {}
    for name, item in found.items():
        variable = f"{spec.prefix}{name}"
        if variable not in defaults:
            raise _unknown(name, spec, scenario.value, where)
        if is_text:
            try:
                row[variable] = like_default(defaults[variable], variable, item, where)
            except UsageError as error:
                raise UsageError("TB1012", error.what, where=where) from None
        else:
            row[variable] = _scalar(item, variable, where)
    return row


def _scalar(item: Any, variable: str, where: str) -> Scalar:
    value = as_scalar(item)
    if isinstance(value, float) and not math.isfinite(value):
        cure = "numbers must be finite, as st.floats(allow_nan=False, allow_infinity=False)"
        raise UsageError("TB1012", f"{variable} is {value}, which JSON cannot say", where=where, cure=cure)
    if isinstance(value, str) and not value.isprintable():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise UsageError("TB1012", f"{variable} holds half a character", where=where) from None
    return value


def _unknown(name: str, spec: DataSpec, scenario: ScenarioSpec, where: str) -> UsageError:
    variable = f"{spec.prefix}{name}"
    known = ", ".join(scenario.variables) or "none"
    return UsageError(
        "TB1014",
        f"{variable!r} is no variable of the scenario {scenario.name!r}",
        where=where,
        why=f"its variables are {known}",
        cure=suggest(variable, scenario.variables)
        or f"declare `{variable}:` under `variables:` with a default, or leave it out of the data",
    )


def _refuse_same_names(feeds: Iterable[Sequence[Row]], scenario: Located[Any]) -> None:
    seen: dict[str, int] = {}
    for index, rows in enumerate(feeds):
        for name in {name for row in rows for name in row}:
            if seen.setdefault(name, index) != index:
                raise UsageError(
                    "TB1014",
                    f"two feeds give the variable {name!r}",
                    where=scenario.where(f"load.data.{index}"),
                    cure="give one of them a `prefix`",
                )


def _side_by_side(feeds: Sequence[Sequence[Row]], specs: Sequence[DataSpec], seed: int) -> Iterator[Row]:
    once = [len(feed) for feed, spec in zip(feeds, specs, strict=True) if spec.order == "unique"]
    count = min(once) if once else max(map(len, feeds))
    chances = [random.Random(f"{seed}/{index}") for index in range(len(feeds))]  # noqa: S311  (no secret)
    for number in range(count):
        row: dict[str, Scalar] = {}
        for feed, spec, chance in zip(feeds, specs, chances, strict=True):
            row |= feed[chance.randrange(len(feed)) if spec.order == "random" else number % len(feed)]
        yield row
