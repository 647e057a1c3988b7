"""When iterations begin, and how many users there are: the stages of a scenario's `load` as one schedule. Pure."""

from tracer_bullet.load.profile.profile import Profile

__all__ = ["Profile"]
