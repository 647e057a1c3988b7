"""Whose clock is wrong, by how much, and whether it may be put right (docs/critical-path.md, "Clocks").

A synchronous call says between which offsets its callee's clock must be for the callee to lie inside the caller;
many calls together leave a narrow interval. One trace alone never moves anything.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import groupby

from tracer_bullet.graph.clocks import Bond, settle_clocks
from tracer_bullet.graph.engines import Engine
from tracer_bullet.graph.sql import skew
from tracer_bullet.model import ClockSkew

MIN_CALLS = 20
_EQUAL = "the calls allow equal clocks"
_AGREEING_SHOWN = 50
_NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    """What the calls from one machine to another say. `offset_ns` is 0 where none is safely known."""

    caller: str
    callee: str
    calls: int
    low_ns: int
    high_ns: int
    offset_ns: int
    safe: bool
    reason: str


def measure_skew(engine: Engine) -> tuple[ClockSkew, ...]:
    """How far clocks of machines that call each other are apart; needs the tables of graph/prepare.py.

    Also makes the table `clock` (machine, offset_ns): by how much each machine that is to be corrected is ahead.
    Pairs whose calls do not allow equal clocks come first; of the others the busiest are listed.
    """
    engine.define("skew_call", skew.CALLS)
    engine.define("skew_pair", skew.PAIRS)
    agreeing = [_agree(*row) for row in engine.rows(skew.AGREEING)]
    doubtful = [
        _judge(caller, callee, [(int(n), int(low), int(high)) for _, _, _, n, low, high in some])
        for (caller, callee), some in groupby(engine.rows(skew.STRETCHES), key=lambda row: row[:2])
    ]
    engine.drop("skew_pair")
    engine.drop("skew_call")
    both, against = _bonds([*agreeing, *doubtful])
    clocks, conflicts = settle_clocks(both)
    engine.fill("clock", (("machine", "VARCHAR"), ("offset_ns", "BIGINT")), sorted(clocks.items()))
    doubtful = [_settled(v, against, conflicts) for v in doubtful]
    doubtful.sort(key=lambda v: (not v.safe, -abs(v.offset_ns), -v.calls, v.caller, v.callee))
    agreeing.sort(key=lambda v: (-v.calls, v.caller, v.callee))
    return tuple(map(_skew, [*doubtful, *agreeing[:_AGREEING_SHOWN]]))


def read_clock(engine: Engine) -> dict[str, int]:
    """The table `clock`: machine → ns that it is ahead."""
    return {str(machine): int(ns) for machine, ns in engine.rows("SELECT machine, offset_ns FROM clock")}


def _agree(caller: str, callee: str, calls: int, low_ns: int, high_ns: int) -> _Verdict:
    return _Verdict(
        caller=caller,
        callee=callee,
        calls=calls,
        low_ns=low_ns,
        high_ns=high_ns,
        offset_ns=0,
        safe=calls >= MIN_CALLS,
        reason=_EQUAL,
    )


def _judge(caller: str, callee: str, stretches: list[tuple[int, int, int]]) -> _Verdict:
    """`stretches`: (calls, low, high) in order of time."""
    calls = sum(n for n, _, _ in stretches)
    low, high = max(low for _, low, _ in stretches), min(high for _, _, high in stretches)
    reason, offset = "", 0
    if calls < MIN_CALLS:
        reason = f"too few calls: {calls}, at least {MIN_CALLS} are needed"
    elif any(a > b for _, a, b in stretches):
        reason = "no one offset fits: the clock drifts or jumps, or work goes on after the answer"
    elif low > high:
        first, last = (sum(stretches[i][1:]) / 2 / _NS_PER_MS for i in (0, -1))
        reason = f"the offset changes over time, from {first:.3f} to {last:.3f} ms"
    elif low <= 0 <= high:
        reason = _EQUAL
    else:
        offset = (low + high) // 2
    return _Verdict(
        caller=caller,
        callee=callee,
        calls=calls,
        low_ns=min(low, high),
        high_ns=max(low, high),
        offset_ns=offset,
        safe=reason in ("", _EQUAL),
        reason=reason or "all calls fit",
    )


def _bonds(verdicts: list[_Verdict]) -> tuple[list[Bond], set[frozenset[str]]]:
    """One bond for each two machines, from both directions, and those of which nothing is known for sure."""
    pairs: dict[tuple[str, str], list[_Verdict]] = defaultdict(list)
    for v in verdicts:
        pairs[min(v.caller, v.callee), max(v.caller, v.callee)].append(v)
    bonds, against = [], set()
    for (one, other), some in sorted(pairs.items()):
        ranges = [(v.low_ns, v.high_ns) if v.caller == one else (-v.high_ns, -v.low_ns) for v in some if v.safe]
        low, high = max((a for a, _ in ranges), default=0), min((b for _, b in ranges), default=0)
        # Where one way has calls enough and still fits nothing, the other way is not to be trusted either.
        firm = bool(ranges) and low <= high and all(v.safe or v.calls < MIN_CALLS for v in some)
        if not firm:
            against.add(frozenset((one, other)))
        bonds.append(Bond(one=one, other=other, calls=sum(v.calls for v in some), low_ns=low, high_ns=high, firm=firm))
    return bonds, against


def _settled(verdict: _Verdict, against: set[frozenset[str]], conflicts: set[str]) -> _Verdict:
    if not verdict.offset_ns:
        return verdict
    if {verdict.caller, verdict.callee} in against:
        return replace(verdict, safe=False, reason="calls the other way say otherwise")
    if verdict.caller in conflicts:
        return replace(verdict, safe=False, reason="calls by way of other machines say otherwise")
    return verdict


def _skew(verdict: _Verdict) -> ClockSkew:
    return ClockSkew(
        caller=verdict.caller,
        callee=verdict.callee,
        calls=verdict.calls,
        offset_ms=verdict.offset_ns / _NS_PER_MS,
        low_ms=verdict.low_ns / _NS_PER_MS,
        high_ms=verdict.high_ns / _NS_PER_MS,
        corrected=verdict.safe and verdict.offset_ns != 0,
        reason=verdict.reason,
    )
