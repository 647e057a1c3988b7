"""Inner objectives that an outer latency objective implies, and whether they are enough (docs/slos.md, "Derived").

The outer objective says: a share T of the requests takes at most D. Let an inner operation o have the share s of the
critical time of requests near the quantile T, its callees included, p calls on their critical paths and n calls in all.
Then each call of o may take D·s/p, in a share 1 − (1 − T)·s/n of its calls. What is left, the outer operation's own
time, has the share that is left. Shares of operations that do not call each other add up to at most 1; so when all of
them keep their objectives, a request is late with probability at most Σ n·(1 − T)·s/n ≤ 1 − T (Boole's inequality), as
long as requests make as many calls as they did.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tracer_bullet.graph.engines import Engine
from tracer_bullet.graph.paths.trees import Ints
from tracer_bullet.graph.slo.requests import Requests, draw_requests
from tracer_bullet.model import DerivationCheck, DerivedObjective, Objective

LEAST_REQUESTS: Final = 20
LEAST_SHARE: Final = 0.01
_DEEPEST_CHECK: Final = 5
_NS_PER_MS: Final = 1e6
_LATE: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What an operation (a number into the requests' names) may take; ns and shares."""

    operation: int
    depth: int
    share: float
    calls: float
    target: float
    threshold_ns: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivation:
    """Objectives derived for the parts of `outer`, and what `check_derivation` needs."""

    outer: Objective
    objectives: tuple[DerivedObjective, ...]
    requests: Requests
    parts: tuple[Part, ...] = ()


def derive_objectives(engine: Engine, outer: Objective, *, seed: int = 0) -> Derivation:
    """Inner objectives of a latency objective, the outer operation's own time first, then by depth and share.

    Operations with less than 1 % of the time are left out. Without 20 requests nothing is derived. Raises ValueError
    for an objective without a threshold. `seed` draws the requests that are looked at (docs/slos.md).
    """
    if outer.threshold_ms is None:
        raise ValueError(f"{outer.name}: only a latency objective can be divided among calls")
    requests = draw_requests(engine, outer, seed=seed)
    return derive_from(requests, outer)


def derive_from(requests: Requests, outer: Objective) -> Derivation:
    """The pure part of `derive_objectives`."""
    total = int(requests.duration_ns[requests.near].sum(dtype=np.float64))
    if len(requests.duration_ns) < LEAST_REQUESTS or not total:
        return Derivation(outer=outer, objectives=(), requests=requests)
    parts = _parts(requests, outer, total)
    objectives = [_own(requests, outer, total), *(_derived(requests, outer, part) for part in parts)]
    return Derivation(outer=outer, objectives=tuple(objectives), requests=requests, parts=parts)


def check_derivation(derivation: Derivation, *, seed: int = 0, resamples: int = 200) -> tuple[DerivationCheck, ...]:
    """Whether the outer objective holds when the inner ones just hold: a check for each depth of calls.

    A resample draws as many of the observed requests, with replacement. Each keeps its calls on the critical path;
    every one of them draws a new duration out of those observed of its operation: with the probability of its target
    one within its threshold, else one above (twice the threshold where none was). So does the rest of the request, as
    if it were a call. `share_low` to `share_high` holds 95 % of the resamples' shares of requests in time; the
    derivation `holds` when that interval reaches the target. Calls draw independently of each other.
    """
    rng = np.random.default_rng(seed)
    if not derivation.parts:
        return (_unchecked(derivation),)
    deepest = min(max(part.depth for part in derivation.parts), _DEEPEST_CHECK)
    return tuple(_check(derivation, depth, rng, resamples) for depth in range(1, deepest + 1))


def _parts(requests: Requests, outer: Objective, total: int) -> tuple[Part, ...]:
    near = requests.near[requests.request]
    size = len(requests.names)
    critical = np.zeros(size, dtype=np.int64)
    np.add.at(critical, requests.operation[near], requests.critical_ns[near])
    on_path = np.bincount(requests.operation[near & (requests.critical_ns > 0)], minlength=size)
    called = np.maximum(
        np.bincount(requests.operation[near], minlength=size) / max(int(requests.near.sum()), 1),
        np.bincount(requests.operation, minlength=size) / len(requests.near),
    )
    depth = np.full(size, np.iinfo(np.int64).max)
    np.minimum.at(depth, requests.operation, requests.depth)
    parts = []
    for operation in np.flatnonzero(critical >= LEAST_SHARE * total).tolist():
        share = min(int(critical[operation]) / total, 1.0)
        calls_on_path = int(on_path[operation]) / int(requests.near.sum())
        parts.append(
            Part(
                operation=operation,
                depth=int(depth[operation]),
                share=share,
                calls=float(called[operation]),
                target=_target(outer, share / float(called[operation])),
                threshold_ns=_limit_ns(outer) * min(share / calls_on_path, 1.0),
            )
        )
    return tuple(sorted(parts, key=lambda p: (p.depth, -p.share, p.operation)))


def _limit_ns(outer: Objective) -> float:
    return (outer.threshold_ms or 0.0) * _NS_PER_MS


def _target(outer: Objective, weight: float) -> float:
    return 1 - (1 - outer.target) * min(weight, 1.0)


def _own(requests: Requests, outer: Objective, total: int) -> DerivedObjective:
    share = min(int(requests.own_ns[requests.near].sum()) / total, 1.0)
    part = Part(operation=-1, depth=0, share=share, calls=1.0, target=_target(outer, share),
                threshold_ns=_limit_ns(outer) * share)  # fmt: skip
    return _row(outer, (outer.service, outer.operation), part, requests.own_ns)


def _derived(requests: Requests, outer: Objective, part: Part) -> DerivedObjective:
    return _row(outer, requests.names[part.operation], part, requests.call_ns[requests.operation == part.operation])


def _row(outer: Objective, name: tuple[str, str], part: Part, taken_ns: Ints) -> DerivedObjective:
    own = part.operation < 0
    within = float(np.mean(taken_ns <= part.threshold_ns)) if len(taken_ns) else 1.0
    what = "its own work" if own else f"{part.calls:.3g} calls a request"
    return DerivedObjective(
        outer=outer.name,
        service=name[0],
        operation=name[1],
        depth=part.depth,
        calls=part.calls,
        share=part.share,
        target=part.target,
        threshold_ms=part.threshold_ns / _NS_PER_MS,
        observed_ms=_quantile_ns(taken_ns, part.target) / _NS_PER_MS,
        met_now=within >= part.target,
        message=(
            f"{part.share:.1%} of the time near p{outer.target * 100:g}, {what}: at most "
            f"{part.threshold_ns / _NS_PER_MS:.4g} ms in {part.target:.4%}; now in {within:.4%}"
        ),
        own=own,
    )


def _quantile_ns(taken_ns: Ints, share: float) -> float:
    if not len(taken_ns):
        return 0.0
    place = max(math.ceil(share * len(taken_ns) - 1e-9), 1) - 1
    return float(np.partition(taken_ns, place)[place])


def _unchecked(derivation: Derivation) -> DerivationCheck:
    seen = derivation.requests.seen
    why = f"only {seen} requests, and {LEAST_REQUESTS} are needed" if seen < LEAST_REQUESTS else "no inner calls"
    return DerivationCheck(
        outer=derivation.outer.name, resamples=0, share_low=0.0, share_high=1.0, target=derivation.outer.target,
        holds=False, message=f"{derivation.outer.name}: nothing was derived: {why}",
    )  # fmt: skip


def _check(derivation: Derivation, depth: int, rng: np.random.Generator, resamples: int) -> DerivationCheck:
    """Calls at `depth` draw anew; everything else of a request is its rest."""
    requests, outer = derivation.requests, derivation.outer
    parts = [p for p in derivation.parts if np.any((requests.operation == p.operation) & (requests.depth == depth))]
    kept = (requests.depth == depth) & (requests.critical_ns > 0)
    kept &= np.isin(requests.operation, [p.operation for p in parts])
    call_request, call_operation = requests.request[kept], requests.operation[kept]
    rest = requests.duration_ns.copy()
    np.subtract.at(rest, call_request, requests.critical_ns[kept])
    rest_share = float(
        rest[requests.near].sum(dtype=np.float64) / requests.duration_ns[requests.near].sum(dtype=np.float64)
    )
    draws = {
        p.operation: _Draw(requests.call_ns[requests.operation == p.operation], p.threshold_ns, p.target) for p in parts
    }
    rest_draw = _Draw(rest, _limit_ns(outer) * rest_share, _target(outer, rest_share))
    order = np.argsort(call_request, kind="stable")
    call_operation = call_operation[order]
    size = len(rest)
    borders = np.searchsorted(call_request[order], np.arange(size + 1))
    shares = np.empty(resamples)
    for i in range(resamples):
        chosen = rng.integers(0, size, size)
        calls = _ranges(borders[chosen], borders[chosen + 1])
        taken = np.empty(len(calls))
        for operation, draw in draws.items():
            mine = call_operation[calls] == operation
            taken[mine] = draw.of(int(mine.sum()), rng)
        owner = np.repeat(np.arange(size), borders[chosen + 1] - borders[chosen])
        whole = np.bincount(owner, weights=taken, minlength=size) + rest_draw.of(size, rng)
        shares[i] = np.mean(whole <= _limit_ns(outer))
    low, high = np.quantile(shares, [0.025, 0.975])
    holds = bool(high >= outer.target)
    return DerivationCheck(
        outer=outer.name,
        resamples=resamples,
        share_low=float(low),
        share_high=float(high),
        target=outer.target,
        holds=holds,
        message=(
            f"{outer.name}: when the calls at depth {depth} just keep their objectives, {shares.mean():.3%} of the "
            f"requests ({low:.3%} to {high:.3%}) keep the outer one; {outer.target:.3%} are asked for"
        ),
    )


class _Draw:
    """Durations of an operation that just keeps its objective."""

    def __init__(self, observed_ns: Ints, threshold_ns: float, target: float) -> None:
        within, above = observed_ns[observed_ns <= threshold_ns], observed_ns[observed_ns > threshold_ns]
        self._within = within if len(within) else np.asarray([threshold_ns])
        self._above = above if len(above) else np.asarray([_LATE * threshold_ns])
        self._target = target

    def of(self, count: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        good = rng.choice(self._within, count).astype(np.float64)
        return np.where(rng.random(count) < self._target, good, rng.choice(self._above, count))


def _ranges(begin: Ints, end: Ints) -> Ints:
    """The numbers of all ranges, one after the other."""
    lengths = end - begin
    if not lengths.sum():
        return np.empty(0, dtype=np.int64)
    offset = np.repeat(end - np.cumsum(lengths), lengths)
    return np.arange(int(lengths.sum())) + offset
