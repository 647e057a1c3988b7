"""Runs: the one place that knows the features. Recipes of phases that yield `RunEvent`s.

Must not print or exit: shells render the events. Posture: whatever happens, the run folder
is left readable, and a run that proved nothing is inconclusive, never passed.
"""

from tracer_bullet.runs.doctor import Diagnosis, diagnose
from tracer_bullet.runs.fire import fire
from tracer_bullet.runs.job import FireJob, Target, prepare_fire
from tracer_bullet.runs.outputs import load_document, write_outputs

__all__ = [
    "Diagnosis",
    "FireJob",
    "Target",
    "diagnose",
    "fire",
    "load_document",
    "prepare_fire",
    "write_outputs",
]
