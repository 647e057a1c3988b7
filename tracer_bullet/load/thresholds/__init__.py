"""Thresholds: parsed, bound to the steps they are about, judged by figures, watched while a run lasts. Pure."""

from tracer_bullet.load.thresholds.abort import AbortWatch
from tracer_bullet.load.thresholds.figures import Figures, figures_of_spans
from tracer_bullet.load.thresholds.judge import certainly_broken, judge, verdict
from tracer_bullet.load.thresholds.threshold import Threshold, numbers_of, parse, parse_all

__all__ = [
    "AbortWatch",
    "Figures",
    "Threshold",
    "certainly_broken",
    "figures_of_spans",
    "judge",
    "numbers_of",
    "parse",
    "parse_all",
    "verdict",
]
