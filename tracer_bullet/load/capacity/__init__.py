"""The highest rate at which an objective holds: what to try next, and what the rates tell of the target. Pure."""

from tracer_bullet.load.capacity.saturation import saturated
from tracer_bullet.load.capacity.search import Hold, Search
from tracer_bullet.load.capacity.usl import fit_usl

__all__ = ["Hold", "Search", "fit_usl", "saturated"]
