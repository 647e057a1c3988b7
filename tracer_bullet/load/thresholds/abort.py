"""Thresholds with `abort: true` while a run lasts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from tracer_bullet.load.thresholds.figures import Figures
from tracer_bullet.load.thresholds.judge import certainly_broken, judge
from tracer_bullet.load.thresholds.threshold import Threshold
from tracer_bullet.model.load import ThresholdResult

# Far beyond that of the end's judgement: it is looked at hundreds of times, and must not break by chance on one look.
CONFIDENCE: Final = 0.999
_EACH_S: Final = 1.0


class AbortWatch:
    """Looks once a second, at everything since the warm-up, whether a threshold is broken for certain.

    As k6's `abortOnFail` with `delayAbortEval`, but with enough data alone: all of the 99.9 % interval must break it. A
    count or a rate has no interval, and is broken when it is.
    """

    def __init__(self, thresholds: Iterable[Threshold], figures: Callable[[Threshold], Figures | None]) -> None:
        self._thresholds = tuple(t for t in thresholds if t.abort and t.service is None)
        self._figures = figures
        self._looked_s = -math.inf

    def look(self, elapsed_s: float) -> ThresholdResult | None:
        """The first threshold that is broken; may be asked at any pace. `elapsed_s` counts from the warm-up's end."""
        if not self._thresholds or elapsed_s - self._looked_s < _EACH_S:
            return None
        self._looked_s = elapsed_s
        for threshold in self._thresholds:
            if elapsed_s < threshold.after_s:
                continue
            figures = self._figures(threshold)
            if figures is not None and certainly_broken(threshold, figures, confidence=CONFIDENCE):
                return replace(judge(threshold, figures, running=True), met=False, aborted=True)
        return None
