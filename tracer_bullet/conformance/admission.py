"""What the service takes a request for, and whether it writes. Each function gives the fault, or an empty text."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Final

from tracer_bullet.conformance.probe import RUN, Probe, Reply, carriers
from tracer_bullet.context.carriers import BAGGAGE, HEADER, TRACESTATE

_AFTER: Final = 5
_ROUNDS: Final = 10
_AT_ONCE: Final = 4


def customer(probe: Probe) -> str:
    """Neither flag nor guard."""
    before = probe.written()
    reply = probe.send()
    if fault := _not_standard(reply):
        return fault
    if reply.body.get("wrote") is not True:
        return f"it says wrote: {reply.body.get('wrote')!r}"
    lasted = probe.written() - before
    return "" if lasted == 1 else f"{lasted} writes lasted, not one"


def customer_baggage(probe: Probe) -> str:
    """Names that others use too, and our names' neighbours."""
    rows: list[list[tuple[str, str]]] = [
        [(BAGGAGE, "request_type=STANDARD,user_id=u1,user_id=u2")],
        [(BAGGAGE, "my_request_type=TRACE,tb-tokens=x,Request_Type=TRACE")],
        [(TRACESTATE, "tb=x,vendor=tb=t")],
        [(BAGGAGE, "broken,=x,session=request_type=TRACE")],
    ]
    for sent in rows:
        if fault := _not_standard(probe.send(sent)):
            return f"{sent[0][0]}: {sent[0][1]}: {fault}"
    return ""


def bullet(probe: Probe) -> str:
    """All carriers, and proof."""
    return _not_trace(probe.send(list(carriers(probe.token()).items())))


def no_write(probe: Probe) -> str:
    """Counted by a customer's eyes."""
    before = probe.written()
    reply = probe.send(list(carriers(probe.token()).items()))
    lasted = probe.written() - before
    if lasted:
        return f"{lasted} writes lasted"
    return "it says wrote: true" if reply.body.get("wrote") is True else ""


def no_late_write(probe: Probe) -> str:
    """Nothing more lasts than what customers write afterwards."""
    probe.send(list(carriers(probe.token()).items()))
    before = probe.written()
    for _ in range(_AFTER):
        probe.send()
    lasted = probe.written() - before
    return "" if lasted == _AFTER else f"{lasted} writes lasted, where customers asked for {_AFTER}"


def baggage_alone(probe: Probe) -> str:
    """As stock OpenTelemetry forwards it."""
    return _not_trace(probe.send([(BAGGAGE, carriers(probe.token())[BAGGAGE])]))


def header_alone(probe: Probe) -> str:
    """As it survives a damaged baggage header."""
    return _not_trace(probe.send([(HEADER, probe.token())]))


def header_case(probe: Probe) -> str:
    """Names of headers have no case."""
    rows = carriers(probe.token())
    for sent in ([("X-Tracer-Bullet", rows[HEADER])], [("BAGGAGE", rows[BAGGAGE]), ("TraceState", rows[TRACESTATE])]):
        if fault := _not_trace(probe.send(sent)):
            return f"{sent[0][0]}: {fault}"
    return ""


def several_lines(probe: Probe) -> str:
    """The flag in the second line, and the flag spread over lines."""
    own = carriers(probe.token())[BAGGAGE]
    for rows in (["session=x1", own], own.split(",")):
        if fault := _not_trace(probe.send([(BAGGAGE, row) for row in rows])):
            return f"in {len(rows)} lines: {fault}"
    return ""


def percent_encoding(probe: Probe) -> str:
    """Any character may come encoded."""
    token = probe.token().replace(".", "%2E")
    row = f"request_type=%54RACE,tb-run={RUN.replace('-', '%2D')},tb-token={token}"
    return _not_trace(probe.send([(BAGGAGE, row)]))


def oversize(probe: Probe) -> str:
    """Above 64 members and 8,192 bytes, with the flag first and with the flag last."""
    own, many = carriers(probe.token())[BAGGAGE], ",".join(f"m{n:03}={'v' * 60}" for n in range(150))
    for row in (f"{own},{many}", f"{many},{own}"):
        reply = probe.send([(BAGGAGE, row), (TRACESTATE, "tb=t")])
        if reply.status not in (403, 431) and _not_trace(reply):  # 431: fields too large (RFC 6585)
            return f"{len(row)} bytes: answered {reply.status} {reply.request_type}"
    return ""


def alternating(probe: Probe) -> str:
    """Bullets and customers take turns on one connection."""
    own = list(carriers(probe.token()).items())
    for _ in range(_ROUNDS):
        if fault := _not_trace(probe.send(own)) or _not_standard(probe.send()):
            return fault
    return ""


def at_once(probe: Probe) -> str:
    """Bullets and customers at the same time."""
    own = list(carriers(probe.token()).items())

    def one(number: int) -> str:
        return _not_trace(probe.send(own)) if number % 2 else _not_standard(probe.send())

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        faults = [fault for fault in pool.map(one, range(_ROUNDS * _AT_ONCE)) if fault]
    return faults[0] if faults else ""


def _not_standard(reply: Reply) -> str:
    return "" if (reply.status, reply.request_type) == (200, "STANDARD") else _said(reply)


def _not_trace(reply: Reply) -> str:
    if (reply.status, reply.request_type) != (200, "TRACE"):
        return _said(reply)
    return "" if reply.body.get("run") == RUN else f"the run is {reply.body.get('run')!r}, not {RUN!r}"


def _said(reply: Reply) -> str:
    return f"answered {reply.status} {reply.request_type or reply.body.get('type', '')}".strip()
