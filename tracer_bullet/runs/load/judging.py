"""What is asked of a load run, judged while it lasts and at its end: thresholds, a known percentile, a baseline."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from tracer_bullet.engine.histogram import Histogram
from tracer_bullet.engine.histogram.buckets import HIGHEST
from tracer_bullet.load.baseline import Blocks, SavedRun, compare, save
from tracer_bullet.load.confidence import Counts, Known
from tracer_bullet.load.thresholds import AbortWatch, Figures, Threshold, judge, numbers_of, parse_all
from tracer_bullet.model.load import BaselineResult, StepKey, ThresholdResult
from tracer_bullet.model.replay import StopEvent
from tracer_bullet.model.shots import NOT_SENT, SHOT_ERRORS, ShotBatch
from tracer_bullet.runs.load.conclude import REACHED
from tracer_bullet.runs.load.figures import LoadFigures
from tracer_bullet.workspace.traffic import LoadSpec

_SLOTS_MS = HIGHEST / 1000
_NEVER_GOES = np.array([error in NOT_SENT for error in SHOT_ERRORS])
_CUT_OFF = np.array([error in ("stopped", "lost") for error in SHOT_ERRORS])
_NS = 1_000_000_000


class Judging:
    """Judges `figures` by the demands of `spec`. Raises UsageError TB1030 for a step that is not sent."""

    def __init__(self, spec: LoadSpec, steps: Sequence[StepKey], figures: LoadFigures, *, span_s: float) -> None:
        self._steps = steps
        self._figures = figures
        self._thresholds = parse_all(spec.thresholds, steps)
        self._watch = AbortWatch(self._thresholds, self._figures_now)
        stop = spec.stop
        self._known = None if stop.percentile is None else Known(stop.percentile, stop.within)
        self._blocks = Blocks(len(steps))
        self._warm_up_s = spec.warm_up_s
        self._span_s = span_s - spec.warm_up_s
        self._ended_ns = 0
        self._aborted: ThresholdResult | None = None

    @property
    def seconds(self) -> float:
        """How long it was measured: to the end of the schedule, or of the sending if that came first."""
        start_ns = self._figures.measured_from_ns
        until_ns = self._ended_ns or time.time_ns()
        return min(max((until_ns - start_ns) / 1e9, 0.0), self._span_s) if start_ns else 0.0

    def shots(self, batch: ShotBatch) -> None:
        """Measured shots: how alike neighbours in time are decides how much they tell."""
        error, sent_ns = np.asarray(batch.error).astype(np.int64), np.asarray(batch.sent_ns)
        gone = ~(_NEVER_GOES[error] & (sent_ns == 0))
        due, ended = np.asarray(batch.due_ns)[gone], np.asarray(batch.ended_ns)[gone]
        self._blocks.record(
            np.asarray(batch.endpoint).astype(np.int64)[gone],
            (due - self._figures.measured_from_ns) / 1e9,
            ended - due,
            measured=~_CUT_OFF[error[gone]],
            failed=error[gone] != 0,
        )

    def look(self, after_s: float) -> StopEvent | None:
        """Why to stop now: a threshold is broken for certain, or what was asked for is known."""
        measured_s = after_s - self._warm_up_s
        broken = self._watch.look(measured_s)
        if broken is not None:
            self._aborted = broken
            where = "" if broken.scope == "all" else f" of {broken.scope}"
            detail = f"{broken.expect}{where} is broken: {broken.value:g} {broken.unit}"
            return StopEvent(reason="threshold", detail=detail, after_s=after_s)
        if self._known is not None and measured_s > 0 and self._known.due(measured_s):
            latency = counts_of(self._figures.all.latency())
            worth = self._blocks.worth(self._known.percentile, latency)
            if self._known.look(measured_s, latency, worth=None if worth is None else worth.independent):
                detail = f"p{self._known.percentile:g} is known within {self._known.half:.1%}"
                return StopEvent(reason=REACHED, detail=detail, after_s=after_s)
        return None

    def ended(self) -> None:
        """The sending is over."""
        self._ended_ns = time.time_ns()

    def thresholds(self, services: Mapping[str, Figures]) -> tuple[ThresholdResult, ...]:
        """All of them. `services`: what was measured of each in the traces."""
        return tuple(self._judge(threshold, services) for threshold in self._thresholds)

    def saved(self, run_id: str, profile: Sequence[str]) -> SavedRun:
        """What a later run compares itself with."""
        return save(
            run_id,
            self.seconds,
            [step.name for step in self._steps],
            [counts_of(self._figures.all.latency(n)) for n in range(len(self._steps))],
            self._blocks,
            profile=profile,
            everything=counts_of(self._figures.all.latency()),
        )

    def _judge(self, threshold: Threshold, services: Mapping[str, Figures]) -> ThresholdResult:
        if self._aborted is not None and (self._aborted.expect, self._aborted.scope) == (
            threshold.demand.text,
            threshold.scope,
        ):
            return self._aborted
        if threshold.service is not None:
            return judge(threshold, services.get(threshold.service, Figures(seconds=self.seconds)))
        return judge(threshold, self._figures_now(threshold))

    def _figures_now(self, threshold: Threshold) -> Figures:
        """Of the steps that a threshold is about, all of what was measured until now."""
        numbers = numbers_of(threshold, self._steps)
        everything = len(numbers) == len(self._steps)
        latency = self._figures.all.latency() if everything else _together(self._figures, numbers)
        names = {self._steps[n].name for n in numbers}
        results = [r for r in self._figures.step_results() if r.endpoint in names]
        scenarios = {self._steps[n].scenario for n in numbers}
        whole = sum(r.sent - r.failed for r in self._figures.iteration_results() if r.endpoint in scenarios)
        return Figures(
            latency=counts_of(latency),
            sent=sum(r.sent for r in results),
            failed=sum(r.failed for r in results),
            seconds=self.seconds,
            iterations=whole,
        )


def compare_runs(before: SavedRun | None, after: SavedRun, spec: LoadSpec) -> tuple[BaselineResult, ...]:
    """This run against an earlier one; nothing without one."""
    return () if before is None else compare(before, after, spec.baseline)


def counts_of(histogram: Histogram) -> Counts:
    """A histogram as the statistics want it."""
    return Counts.of(histogram.counts, _SLOTS_MS)


def _together(figures: LoadFigures, numbers: Sequence[int]) -> Histogram:
    merged = Histogram()
    for number in numbers:
        merged.merge(figures.all.latency(number))
    return merged
