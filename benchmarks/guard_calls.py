"""What each hook of each guard costs a customer, and what a ruling costs a bullet.

Every wrapper that a guard puts around a library's function is measured around a function that
does nothing, in this process, with nothing else: first the bare function, then under the wrapper,
outside of any bullet. That is what guards add to a call of a customer's, without the library's own
noise. Allocations are counted too (blocks that live after 1,000 calls, by sys.getallocatedblocks).

    python -m benchmarks.guard_calls
"""

from __future__ import annotations

import argparse
import gc
import importlib
import importlib.util
import inspect
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wrapt import FunctionWrapper

from benchmarks.guard_micro import CALLS, service_keys
from tracer_bullet.context.scope import Scope, entered
from tracer_bullet.guards import Stub, arm, patching
from tracer_bullet.guards.registry import Armed, guard_modules
from tracer_bullet.guards.rulings import rule_on, write_span
from tracer_bullet.model import Context

AIM_NS = 1_000


@dataclass(frozen=True, slots=True)
class Hook:
    """One wrapped function. `added_ns`: median over batches; `p99_ns` of the batches; `blocks` kept by 1,000 calls."""

    guard: str
    name: str
    added_ns: float
    p99_ns: float
    blocks: int


def hooks_of_guards() -> dict[str, list[tuple[str, Callable[..., Any]]]]:
    """Guard → name and wrapper of each function that it wraps, as arming installs them."""
    found: dict[str, list[tuple[str, Callable[..., Any]]]] = {}
    real = patching.wrap
    for path in guard_modules():
        module = importlib.import_module(path)
        if importlib.util.find_spec(module.GUARD.module) is None:
            continue
        kept = found.setdefault(module.GUARD.name, [])

        def keep(owner: Any, name: str, wrapper: Callable[..., Any], kept: Any = kept) -> Any:
            kept.append((f"{getattr(owner, '__qualname__', owner.__name__)}.{name}", wrapper))
            return real(owner, name, wrapper)

        importlib.import_module(module.GUARD.module)
        ours = [m for n, m in sys.modules.items() if n.startswith("tracer_bullet.guards.") and hasattr(m, "wrap")]
        before = [(m, m.wrap) for m in ours if m is not patching]
        for each, _ in before:
            each.wrap = keep  # type: ignore[attr-defined]
        try:
            module.GUARD.patch()
            module.GUARD.unpatch()
        finally:
            for each, wrap in before:
                each.wrap = wrap  # type: ignore[attr-defined]
    return found


class _Anything:
    """Stands for the library's object: hooks look at it in a bullet only."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def measure(guard: str, name: str, wrapper: Callable[..., Any], batches: int) -> Hook | None:
    """None for a hook that looks at its arguments for customers too: it cannot be measured so."""

    def nothing(*_args: Any, **_kwargs: Any) -> None:
        return None

    async def nothing_async(*_args: Any, **_kwargs: Any) -> None:
        return None

    for bare in (nothing, nothing_async):

        class Owner:
            plain = bare
            hooked = FunctionWrapper(bare, wrapper)

        owner = Owner()
        try:
            result = owner.hooked()
            if inspect.iscoroutine(result):
                _finish(result)
        except Exception:  # noqa: BLE001  # another kind of function, or arguments are looked at
            continue
        plain, hooked = owner.plain, owner.hooked
        if inspect.iscoroutine(result):
            plain, hooked = (lambda f=plain: _finish(f())), (lambda f=hooked: _finish(f()))
        timings: tuple[list[float], list[float]] = ([], [])
        for _ in range(batches):
            for call, into in zip((plain, hooked), timings, strict=True):
                into.append(_time(call))
        added = statistics.median(timings[1]) - statistics.median(timings[0])
        p99 = statistics.quantiles(timings[1], n=100)[98] - statistics.median(timings[0])
        return Hook(guard, name, added, p99, _blocks(hooked))
    return None


def _finish(coroutine: Any) -> None:
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise RuntimeError("it waits for something")


def _time(call: Callable[[], Any]) -> float:
    start_ns = time.perf_counter_ns()
    for _ in range(CALLS):
        call()
    return (time.perf_counter_ns() - start_ns) / CALLS


def _blocks(call: Callable[[], Any]) -> int:
    call()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(1_000):
        call()
    return max(sys.getallocatedblocks() - before, 0)


def rulings(armed: Armed, batches: int) -> list[tuple[str, float, float]]:
    """What a bullet pays: name, median and 99th percentile of single calls, in ns."""
    from tracer_bullet.guards import Sink  # noqa: PLC0415

    scope = Scope(Context(run_id="run-1", token="t"), armed, trace_id="a" * 32)

    def rule() -> None:
        rule_on(scope, Sink.CACHE, "SET cart")

    def evidence() -> None:
        with write_span(scope, "SET cart", rule_on(scope, Sink.CACHE, "SET cart"), {"db.system.name": "redis"}):
            pass

    found = []
    with entered(scope):
        for name, call in (("ruling on a write", rule), ("ruling and span of a write", evidence)):
            single = []
            for _ in range(batches * 20):
                start_ns = time.perf_counter_ns()
                call()
                single.append(time.perf_counter_ns() - start_ns)
            found.append((name, statistics.median(single), statistics.quantiles(single, n=100)[98]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=300)
    batches = parser.parse_args().batches
    armed = arm(service="orders", keys=service_keys(), stubs=(Stub(url="*"),), net="off")
    bullets = rulings(armed, batches)
    armed.disarm()
    print(
        "| guard | hooks | median of hooks, added ns | worst hook | added ns | p99 of its batches, ns | kept blocks |"
    )
    print("|---|---|---|---|---|---|---|")
    over, unmeasured = 0, []
    for guard, hooks in hooks_of_guards().items():
        measured = [hook for name, wrapper in hooks if (hook := measure(guard, name, wrapper, batches)) is not None]
        unmeasured += [f"{guard}: {name}" for name, _ in hooks if name not in {h.name for h in measured}]
        if not measured:
            continue
        worst = max(measured, key=lambda h: h.added_ns)
        over += sum(h.added_ns > AIM_NS for h in measured)
        middle = statistics.median(h.added_ns for h in measured)
        print(
            f"| {guard} | {len(measured)} | {middle:,.0f} | {worst.name} | {worst.added_ns:,.0f} "
            f"| {worst.p99_ns:,.0f} | {max(h.blocks for h in measured)} |"
        )
    print(f"\n{over} hooks over the aim of {AIM_NS:,} ns. Not measured this way, since they look at their arguments or")
    print(f"set up a new object: {', '.join(unmeasured) or 'none'}.\n")
    print("| a bullet pays | median, ns | p99, ns |\n|---|---|---|")
    for name, median, p99 in bullets:
        print(f"| {name} | {median:,.0f} | {p99:,.0f} |")


if __name__ == "__main__":
    main()
