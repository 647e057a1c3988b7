"""From a row that made an iteration fail to the smallest one that does. Sends nothing itself.

Hypothesis shrinks what Hypothesis made, in a thread; rows of files are left as they are, but for what does not matter
to the failure. Bounded in tries and time: then the smallest row so far is the answer.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

from tracer_bullet.errors import UsageError
from tracer_bullet.load.data.rows import drawn_row
from tracer_bullet.load.data.sources import Source, source_of
from tracer_bullet.load.data.values import json_text
from tracer_bullet.workspace.data import DataSpec
from tracer_bullet.workspace.load import Located
from tracer_bullet.workspace.template import Scalar

Row = Mapping[str, Scalar]
Fails = Callable[[Row], Awaitable[bool]]

_POLL_S: Final = 0.1


class _EnoughError(BaseException):
    """Ends Hypothesis from within; no Exception, which it would take for a failure that it looks for."""


class _Tries:
    """Asks whether rows fail, each once, within bounds; keeps the smallest that does."""

    def __init__(self, fails: Fails, row: Row, *, tries: int, within_s: float, clock_s: Callable[[], float]) -> None:
        self._fails = fails
        self._left = tries
        self._clock_s = clock_s
        self._until_s = clock_s() + within_s
        self._known: dict[str, bool] = {}
        self.best = dict(row)

    @property
    def is_over(self) -> bool:
        return self._left <= 0 or self._clock_s() >= self._until_s

    def known(self, row: Row) -> bool | None:
        """What is known of a row; None when it has to be tried."""
        return self._known.get(_key(row))

    async def fail(self, row: Row) -> bool:
        """Whether this row fails; when the bounds are reached, that is not known, and False."""
        known = self.known(row)
        if known is not None:
            return known
        if self.is_over:
            return False
        self._left -= 1
        failed = self._known[_key(row)] = await self._fails(row)
        if failed:
            self.best = dict(row)
        return failed


async def shrink(
    fails: Fails,
    row: Row,
    scenario: Located[Any],
    *,
    seed: int,
    tries: int = 100,
    within_s: float = 30.0,
    clock_s: Callable[[], float] = time.monotonic,
) -> Row | None:
    """A smallest row that fails, or None when `row` itself does not fail again.

    `fails` sends one iteration with a row and says whether it failed; one at a time. `row` is one of `make_rows` of the
    scenario's `load.data` with the same `seed`. What is not in the answer may be the scenario's default.
    """
    state = _Tries(fails, row, tries=tries, within_s=within_s, clock_s=clock_s)
    if not await state.fail(row):
        return None
    if await state.fail({}):
        return {}
    await _drop(state)
    specs = scenario.value.load.data if scenario.value.load is not None else ()
    for index, spec in enumerate(specs):
        if spec.file is None and not state.is_over:
            await _shrink_feed(state, row, spec, scenario, index, seed)
    await _drop(state)
    return state.best


def shortest(rows: Iterable[Row]) -> Row:
    """Of rows that fail, the one to begin with: the shortest as JSON, the first of these."""
    return min(rows, key=lambda row: len(json_text(dict(row))))


async def _drop(state: _Tries) -> None:
    """Leave out variables, until each that is left matters: halves first, then fewer (A. Zeller, R. Hildebrandt,
    Simplifying and Isolating Failure-Inducing Input, 2002)."""
    parts = 2
    while (names := list(state.best)) and not state.is_over:
        parts = min(parts, len(names))
        size = -(-len(names) // parts)
        for at in range(0, len(names), size):
            left_out = names[at : at + size]
            if await state.fail({n: v for n, v in state.best.items() if n not in left_out}):
                parts = max(parts - 1, 2)
                break
        else:
            if parts >= len(names):
                return
            parts *= 2


async def _shrink_feed(state: _Tries, row: Row, spec: DataSpec, scenario: Located[Any], index: int, seed: int) -> None:
    """Let Hypothesis make what it made once more, and shrink it with the real question."""
    try:
        source = source_of(spec, scenario, index)
    except UsageError:
        return  # the file that made the rows is gone, or another: what there is stays
    loop, stopping = asyncio.get_running_loop(), threading.Event()

    def ask(candidate: Row) -> bool:
        known = state.known(candidate)
        if known is not None:
            return known
        if state.is_over or stopping.is_set():
            raise _EnoughError
        asked = asyncio.run_coroutine_threadsafe(state.fail(candidate), loop)
        while True:
            try:
                return asked.result(_POLL_S)
            except TimeoutError:
                if stopping.is_set():
                    asked.cancel()
                    raise _EnoughError from None

    search = _Search(source, spec, scenario, index, state.best, row, ask)
    running = asyncio.ensure_future(asyncio.to_thread(search.run, seed + index))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        stopping.set()
        await asyncio.wait([running])
        raise


class _Search:
    """One feed's part of a row, found again and shrunk."""

    def __init__(
        self,
        source: Source,
        spec: DataSpec,
        scenario: Located[Any],
        index: int,
        best: Row,
        row: Row,
        ask: Callable[[Row], bool],
    ) -> None:
        self._source = source
        self._spec = spec
        self._scenario = scenario
        self._where = scenario.where(f"load.data.{index}")
        self._best = dict(best)
        self._row = row
        self._ask = ask

    def run(self, seed: int) -> None:
        """Runs in a thread. What the strategy raises ends it: the rows are as small as they are."""
        from tracer_bullet.load.data.replay import shrink_drawn  # noqa: PLC0415  # Hypothesis is heavy, and an extra

        try:
            shrink_drawn(self._source.strategy, self._spec.rows, seed=seed, is_it=self._is_it, fails=self._is_failing)
        except (_EnoughError, UsageError):
            return

    def _part(self, value: Mapping[str, Any]) -> dict[str, Scalar]:
        return drawn_row(self._source, value, self._spec, self._scenario.value, self._where)

    def _is_it(self, value: Mapping[str, Any]) -> bool:
        """Whether this is what the row was made of."""
        part = self._part(value)
        return bool(part) and all(name in self._row and self._row[name] == item for name, item in part.items())

    def _is_failing(self, value: Mapping[str, Any]) -> bool:
        """Only variables that matter vary; the others stay left out."""
        part = self._part(value)
        return self._ask({name: part.get(name, kept) for name, kept in self._best.items()})


def _key(row: Row) -> str:
    return json_text({name: [type(value).__name__, value] for name, value in sorted(row.items())})
