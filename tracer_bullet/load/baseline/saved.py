"""What a run keeps of itself for later comparisons: `histograms.json` of its folder. Plain data, to and from JSON.

By step: every latency by its histogram slot, and a few dozen blocks of time with how many requests of each lay at or
below the run's own percentiles. The blocks tell how much requests that were near in time were alike (variance.py).
A step of a long run takes some ten to a hundred kilobytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from tracer_bullet.load.confidence import NOTHING, Counts, Ints

VERSION: Final = 1
PERCENTILES: Final = (50.0, 90.0, 95.0, 99.0)
ALL: Final = "all"
"""The name of all steps together."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SavedBlocks:
    """Blocks of `width_s` seconds each, by when requests were due, from the end of the warm-up. One number a block.

    `sent` and `failed` as in SavedStep; `measured`: requests with a latency; `within`: by percentile, how many of
    those took no longer than that percentile of the whole run, give or take 1 %.
    """

    width_s: float = 1.0
    sent: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    failed: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    measured: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    within: Mapping[float, Ints] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SavedStep:
    """A step, or all of them (`ALL`). `latency` counts from the intended time, of all that was sent."""

    step: str
    sent: int
    failed: int
    latency: Counts = NOTHING
    blocks: SavedBlocks = field(default_factory=SavedBlocks)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SavedRun:
    """A run without its warm-up. `seconds`: how long it was; `profile`: as people read it."""

    run: str
    seconds: float
    steps: tuple[SavedStep, ...]
    profile: tuple[str, ...] = ()

    def step(self, name: str) -> SavedStep | None:
        """The step of this name."""
        return next((s for s in self.steps if s.step == name), None)

    def to_json(self) -> dict[str, Any]:
        """As JSON values. Latencies are whole microseconds, each as the difference to the one before."""
        return {
            "version": VERSION,
            "run": self.run,
            "seconds": self.seconds,
            "profile": list(self.profile),
            "steps": [_step_json(step) for step in self.steps],
        }

    @classmethod
    def from_json(cls, value: Any) -> SavedRun:
        """The opposite of `to_json`. Raises ValueError, in words, for anything else."""
        if not isinstance(value, dict) or value.get("version") != VERSION:
            version = value.get("version") if isinstance(value, dict) else None
            raise ValueError(f"not a run's histograms in version {VERSION} (version: {version})")
        try:
            return cls(
                run=str(value["run"]),
                seconds=float(value["seconds"]),
                profile=tuple(str(line) for line in value.get("profile", ())),
                steps=tuple(_step(step) for step in value["steps"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ValueError(f"not a run's histograms: {error!r}") from None


def _step_json(step: SavedStep) -> dict[str, Any]:
    us, places = np.unique(np.rint(step.latency.values_ms * 1e3).astype(np.int64), return_inverse=True)
    counts = np.bincount(places, weights=step.latency.counts, minlength=us.size).astype(np.int64)
    blocks = step.blocks
    return {
        "step": step.step,
        "sent": step.sent,
        "failed": step.failed,
        "us": np.diff(us, prepend=0).tolist(),
        "counts": counts.tolist(),
        "blocks": {
            "width_s": blocks.width_s,
            "sent": blocks.sent.tolist(),
            "failed": blocks.failed.tolist(),
            "measured": blocks.measured.tolist(),
            "within": {f"{p:g}": counts.tolist() for p, counts in blocks.within.items()},
        },
    }


def _step(value: Mapping[str, Any]) -> SavedStep:
    us, counts = np.cumsum(_ints(value["us"])), _ints(value["counts"])
    if us.size != counts.size or (np.diff(us) <= 0).any() or (us < 0).any() or (counts <= 0).any():
        raise ValueError("latencies must ascend, each with its count")
    blocks = value["blocks"]
    found = SavedBlocks(
        width_s=float(blocks["width_s"]),
        sent=_ints(blocks["sent"]),
        failed=_ints(blocks["failed"]),
        measured=_ints(blocks["measured"]),
        within={float(p): _ints(counts) for p, counts in blocks["within"].items()},
    )
    if len({a.size for a in (found.sent, found.failed, found.measured, *found.within.values())}) > 1:
        raise ValueError("blocks must be of one length")
    return SavedStep(
        step=str(value["step"]),
        sent=int(value["sent"]),
        failed=int(value["failed"]),
        latency=Counts(us / 1e3, counts),
        blocks=found,
    )


def _ints(value: Any) -> Ints:
    if not isinstance(value, list) or not all(isinstance(n, int) and not isinstance(n, bool) for n in value):
        raise ValueError("a list of whole numbers is needed")
    return np.asarray(value, np.int64)
