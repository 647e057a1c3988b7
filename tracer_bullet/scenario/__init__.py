"""Scenarios: spec → steps → requests, and expectations on answers and on traces.

Pure but for `sender` and `exchange`, which send over a client that they are given. Must not make
carriers or tokens, receive spans or decide a verdict. Posture: an expectation that cannot be
evaluated has failed; what the target does is a value, never an exception.
"""

from tracer_bullet.scenario.answer import Answer, check_answer, take_values
from tracer_bullet.scenario.expect_trace import check_trace
from tracer_bullet.scenario.load import Scenario, load_scenario
from tracer_bullet.scenario.plan import Plan, PlannedStep, plan
from tracer_bullet.scenario.render import PreparedRequest, render_request
from tracer_bullet.scenario.select import select
from tracer_bullet.scenario.sender import BulletResult, HeadersFor, Ids, RandomIds, send_bullet

__all__ = [
    "Answer",
    "BulletResult",
    "HeadersFor",
    "Ids",
    "Plan",
    "PlannedStep",
    "PreparedRequest",
    "RandomIds",
    "Scenario",
    "check_answer",
    "check_trace",
    "load_scenario",
    "plan",
    "render_request",
    "select",
    "send_bullet",
    "take_values",
]
