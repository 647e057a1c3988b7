"""A worker for an unmodified Locust master, by Locust's own protocol and without Locust or gevent in this process.

Telemetry's posture towards the master (what it cannot be told is counted, never raised); a master that is gone ends the
replay.
"""

from tracer_bullet.engine.locust_worker.deltas import Deltas
from tracer_bullet.engine.locust_worker.exact import ExactStatistics
from tracer_bullet.engine.locust_worker.worker import LocustWorker, Started

__all__ = ["Deltas", "ExactStatistics", "LocustWorker", "Started"]
