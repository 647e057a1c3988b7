"""Comparing a replay's answers with the recorded ones: what differs, how often, and what differs by itself anyway."""

from tracer_bullet.replay.compare.comparer import Comparer

__all__ = ["Comparer"]
