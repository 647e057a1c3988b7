"""Scenarios from plain values, and what `fire` would send for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tracer_bullet.load.script import Script, compile_script
from tracer_bullet.load.script.pieces import ENCODERS
from tracer_bullet.model.arrival import Arrival, Origin
from tracer_bullet.model.load import Iteration
from tracer_bullet.scenario import PlannedStep, render_request
from tracer_bullet.scenario.exchange import wire_head
from tracer_bullet.scenario.load import Scenario
from tracer_bullet.workspace.template import Scalar

BASE = "http://127.0.0.1:8080"
ORIGIN = Origin(number=3, scheme="http", host="127.0.0.1", port=8080)
RUN = "r-1"


def scenario(*steps: Mapping[str, Any], variables: Mapping[str, Scalar] | None = None, **parts: Any) -> Scenario:
    """A scenario of these steps; a step without a name is called by its number."""
    named = [{"name": f"s{index}", **step} for index, step in enumerate(steps)]
    tree = {"version": 1, "name": "shop", "target": "t", "variables": variables or {}, "steps": named, **parts}
    return Scenario.model_validate(tree)


def compiled(spec: Scenario, *, base_url: str = BASE, **variables: Scalar) -> Script:
    return compile_script(spec, base_url=base_url, variables=variables, origin=ORIGIN, first_endpoint=10, run_id=RUN)


def arrivals(script: Script, row: Mapping[str, Scalar] | None = None, number: int = 7, **parts: Any) -> list[Arrival]:
    given = {"first_number": 100, "session": 5, "pauses_ns": (), **parts}
    return script.arrivals(Iteration(number=number, scenario=0, due_ns=1_000), row or {}, **given)


def fired(step: PlannedStep, variables: Mapping[str, Scalar]) -> tuple[bytes, bytes]:
    """Head (without carriers) and body of what `fire` writes."""
    prepared = render_request(step, variables)
    target, lines = wire_head(prepared)
    head = [prepared.method.encode() + b" " + target + b" HTTP/1.1\r\n"]
    head += [name + b": " + value + b"\r\n" for name, value in lines]
    return b"".join(head), prepared.body


def filled(arrival: Arrival, taken: Mapping[str, Scalar]) -> tuple[bytes, bytes]:
    """What an arrival is once its slots have these values, its length put right."""
    head = _filled(arrival, "head", arrival.head, taken)
    body = _filled(arrival, "body", arrival.body, taken)
    if len(body) != len(arrival.body):
        old, new = b"Content-Length: %d\r\n" % len(arrival.body), b"Content-Length: %d\r\n" % len(body)
        assert head.count(old) == 1
        head = head.replace(old, new)
    return head, body


def _filled(arrival: Arrival, part: str, data: bytes, taken: Mapping[str, Scalar]) -> bytes:
    slots: Sequence[Any] = [slot for slot in arrival.slots if slot.part == part]
    for slot in sorted(slots, key=lambda s: s.start, reverse=True):
        value = ENCODERS[slot.encoding](taken[slot.variable])
        assert data[slot.start : slot.start + slot.length] == b"0"
        data = data[: slot.start] + value + data[slot.start + slot.length :]
    return data
