"""Latencies by block of time while a run lasts, in bounded memory: what `SavedBlocks` is made from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tracer_bullet.load.baseline.saved import ALL, PERCENTILES, SavedBlocks, SavedRun, SavedStep
from tracer_bullet.load.baseline.variance import Worth, worth_at
from tracer_bullet.load.confidence import Counts, Floats, Ints

_BLOCKS: Final = 64
# 1 µs to 1 h in buckets of 1 %: fine enough to cut at a percentile.
_LN_GROWTH: Final = math.log(1.01)
_BUCKETS: Final = math.ceil(math.log(3.6e9) / _LN_GROWTH) + 1
Flags = NDArray[np.bool_]


class Blocks:
    """Counts of `steps` steps by block and bucket: 570 kB a step that is met, however long the run.

    Blocks begin 1 s wide; when there are more than 64 of them, each two become one.
    """

    def __init__(self, steps: int) -> None:
        self.width_s = 1.0
        self._steps = steps
        self._sent = np.zeros((steps, _BLOCKS), np.int64)
        self._failed = np.zeros((steps, _BLOCKS), np.int64)
        self._latency: dict[int, NDArray[np.int32]] = {}
        self._used = 0

    def record(self, steps: Ints, due_s: Floats, latency_ns: Ints, *, measured: Flags, failed: Flags) -> None:
        """Count requests that were sent: which step, when due (seconds since the warm-up's end; less is 0), the latency
        from then, whether it has one (`measured`: not cut off by the end), and whether it failed. All of one length."""
        if not steps.size:
            return
        last_s = float(due_s.max())
        while last_s >= self.width_s * _BLOCKS:
            self._halve()
        block = np.maximum(due_s / self.width_s, 0).astype(np.int64)
        self._used = max(self._used, int(block.max()) + 1)
        np.add.at(self._sent, (steps, block), 1)
        np.add.at(self._failed, (steps[failed], block[failed]), 1)
        us = np.maximum(latency_ns[measured] / 1e3, 1.0)
        place = block[measured] * _BUCKETS + np.minimum(np.log(us) / _LN_GROWTH, _BUCKETS - 1).astype(np.int64)
        of = steps[measured]
        for step in np.unique(of).tolist():
            table = self._latency.get(step)
            if table is None:
                table = self._latency[step] = np.zeros(_BLOCKS * _BUCKETS, np.int32)
            np.add.at(table, place[of == step], 1)

    def saved(self, steps: Iterable[int], latency: Counts) -> SavedBlocks:
        """The blocks of some steps together; `latency`: their exact counts, whose percentiles are where it is cut."""
        chosen = list(steps)
        used = self._used
        table = np.zeros((_BLOCKS, _BUCKETS), np.int64)
        for step in chosen:
            if step in self._latency:
                table += self._latency[step].reshape(_BLOCKS, _BUCKETS)
        running = np.cumsum(table[:used], axis=1)
        measured = running[:, -1] if used else np.zeros(0, np.int64)
        return SavedBlocks(
            width_s=self.width_s,
            sent=self._sent[chosen, :used].sum(axis=0),
            failed=self._failed[chosen, :used].sum(axis=0),
            measured=measured.copy(),
            within={p: _within(running, p, latency) for p in PERCENTILES} if measured.any() else {},
        )

    def worth(self, percentile: float, latency: Counts) -> Worth | None:
        """What all requests so far are worth around any percentile; None when the run is too short to tell."""
        table = np.zeros((_BLOCKS, _BUCKETS), np.int64)
        for one in self._latency.values():
            table += one.reshape(_BLOCKS, _BUCKETS)
        running = np.cumsum(table[: self._used], axis=1)
        if not running.size or not running[:, -1].any():
            return None
        within = _within(running, percentile, latency)
        blocks = SavedBlocks(measured=running[:, -1], within={percentile: within})
        return worth_at(blocks, percentile)

    def _halve(self) -> None:
        self.width_s *= 2
        self._used = -(-self._used // 2)
        for counts in (self._sent, self._failed):
            counts[:, : _BLOCKS // 2] = counts[:, ::2] + counts[:, 1::2]
            counts[:, _BLOCKS // 2 :] = 0
        for flat in self._latency.values():
            table = flat.reshape(_BLOCKS, _BUCKETS)
            table[: _BLOCKS // 2] = table[::2] + table[1::2]
            table[_BLOCKS // 2 :] = 0


def _within(running: Ints, percentile: float, latency: Counts) -> Ints:
    """By block, how many were at or below the percentile: cut at the side of its bucket that is nearer to its share."""
    us = max(latency.percentile(percentile) * 1e3, 1.0)
    bucket = min(int(math.log(us) / _LN_GROWTH), _BUCKETS - 1)
    total = running[:, -1].sum()
    sides = [running[:, b] for b in (bucket - 1, bucket) if b >= 0]
    return min(sides, key=lambda side: abs(side.sum() / total - percentile / 100)).copy()


def save(
    run: str,
    seconds: float,
    names: Sequence[str],
    latencies: Sequence[Counts],
    blocks: Blocks,
    *,
    profile: Sequence[str] = (),
    everything: Counts,
) -> SavedRun:
    """What a run keeps: its steps by number, and all of them together (`everything`: all latencies)."""
    each = [(name, [number], latencies[number]) for number, name in enumerate(names)]
    steps = []
    for name, numbers, latency in [(ALL, list(range(len(names))), everything), *each]:
        found = blocks.saved(numbers, latency)
        steps.append(
            SavedStep(
                step=name, sent=int(found.sent.sum()), failed=int(found.failed.sum()), latency=latency, blocks=found
            )
        )
    return SavedRun(run=run, seconds=seconds, steps=tuple(steps), profile=tuple(profile))
