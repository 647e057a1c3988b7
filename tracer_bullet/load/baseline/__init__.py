"""What a run keeps of itself, and a run against an earlier one. Pure: no files, no clock, no chance."""

from tracer_bullet.load.baseline.blocks import Blocks, save
from tracer_bullet.load.baseline.compare import compare, regressions
from tracer_bullet.load.baseline.saved import ALL, PERCENTILES, SavedBlocks, SavedRun, SavedStep
from tracer_bullet.load.baseline.variance import Worth, worth_at, worth_of_failures

__all__ = [
    "ALL",
    "PERCENTILES",
    "Blocks",
    "SavedBlocks",
    "SavedRun",
    "SavedStep",
    "Worth",
    "compare",
    "regressions",
    "save",
    "worth_at",
    "worth_of_failures",
]
