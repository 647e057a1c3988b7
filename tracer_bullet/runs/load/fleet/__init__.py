"""A fleet: senders in other processes and on other hosts, under a real Locust master (docs/distribution.md).

Posture: fail closed. Whoever falls silent is lost for good, and stops by itself; a share has one owner at any time;
what nobody knows of is counted from the schedule. Nothing waits without an end.
"""

from tracer_bullet.runs.load.fleet.fleet import Fleet, FleetOptions

__all__ = ["Fleet", "FleetOptions"]
