"""Claim: nothing is sent to a target that is not well, load stops when it gets ill, and the watch itself is watched."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.unit.runs.load.guardrails.targets import Target
from tracer_bullet.errors import ExitCode, StoppedError, UsageError
from tracer_bullet.model import Indicator, Objective
from tracer_bullet.model.replay import StopEvent
from tracer_bullet.runs.load.guardrails import Guardrails, Watched, watch_target
from tracer_bullet.runs.load.guardrails.guardrail import Guardrail
from tracer_bullet.runs.load.guardrails.patience import Look, Patience, Sight
from tracer_bullet.traces import Receiver, ZipkinSource
from tracer_bullet.workspace.safety import LoadGuardrailsSpec

WELL, BAD, UNKNOWN = (Look(sight=s, text=s.value) for s in (Sight.WELL, Sight.BAD, Sight.UNKNOWN))
EAGER = {"every": "10ms", "timeout": "2s", "failures": 2}


def rail(look: Callable[[], Awaitable[Look]], **more: Any) -> Guardrail:
    values = {"name": "it", "limit": "well", "every_s": 0.01, "timeout_s": 0.0, "patience": Patience()}
    return Guardrail(look=look, **{**values, **more})


def script(*looks: Look | Exception) -> Callable[[], Awaitable[Look]]:
    """One after the other; the last one again and again."""
    left: Iterator[Look | Exception] = iter(looks)
    current = looks[0]

    async def look() -> Look:
        nonlocal current
        current = next(left, current)
        if isinstance(current, Exception):
            raise current
        return current

    return look


async def until_it_stops(guardrails: Guardrails) -> StopEvent:
    async with asyncio.timeout(30):
        while (stop := guardrails.look()) is None:  # noqa: ASYNC110  (as the conductor does)
            await asyncio.sleep(0.005)
    return stop


def watch(rails: Sequence[Guardrail]) -> tuple[StopEvent, Guardrails]:
    async def main() -> tuple[StopEvent, Guardrails]:
        guardrails = Guardrails(rails)
        await guardrails.baseline()
        async with guardrails.watching():
            return await until_it_stops(guardrails), guardrails

    return asyncio.run(main())


def of(target: Target, **spec: Any) -> Watched:
    return Watched(spec=LoadGuardrailsSpec.model_validate(spec), target_url=target.url)


def test_a_target_that_falls_ill(target: Target) -> None:
    async def main() -> None:
        watched = of(target, health=[{"path": "/health", **EAGER}])
        async with watch_target(watched, None, {}) as guardrails:
            assert guardrails.look() is None
            target.says.status = 503
            stop = await until_it_stops(guardrails)
            assert stop.reason == "guardrail"
            assert stop.detail == ("health /health: it answered 503, 2 times in a row (allowed: 2xx within 2 s)")
            (reading,) = guardrails.readings()
            assert (reading.name, reading.broken, reading.last) == ("health /health", True, "it answered 503")
            assert reading.looks >= 3
            assert len({port for _, _, port in target.says.asked}) == len(target.says.asked), "as a load balancer"
            target.says.status = 200
            await asyncio.sleep(0.05)
            assert guardrails.look() is not None, "once broken, broken"

    asyncio.run(main())


def test_a_sick_target_gets_no_load(target: Target) -> None:
    target.says.status = 500
    watched = of(target, health=[{"path": "/health", **EAGER}])

    async def main() -> None:
        async with watch_target(watched, None, {}):
            pytest.fail("it was opened")

    with pytest.raises(StoppedError, match="TB1063: the target is not known to be well") as caught:
        asyncio.run(main())
    assert caught.value.exit_code is ExitCode.ABORTED
    assert "it answered 500, 2 times in a row" in str(caught.value)
    assert len(target.says.asked) == 2


def test_one_blip_before_the_load_is_borne() -> None:
    stop, guardrails = watch([rail(script(BAD, WELL, BAD), patience=Patience(failures=2))])
    assert stop.detail == "it: bad, 2 times in a row (allowed: well)"
    assert guardrails.readings()[0].looks == 4, "what was seen before counts"


def test_who_is_sick_now_need_not_stay_so_for_long(target: Target) -> None:
    """`for` is for the time under load."""
    slow_to_break = rail(script(BAD), patience=Patience(for_s=3600, unknown_for_s=3600))
    with pytest.raises(StoppedError, match="it: bad"):
        watch([slow_to_break])


def test_the_first_that_is_broken_decides() -> None:
    began_s = time.monotonic()
    with pytest.raises(StoppedError, match="it: bad"):
        watch([rail(script(UNKNOWN), patience=Patience(unknown_for_s=3600)), rail(script(BAD))])
    assert time.monotonic() - began_s < 60


def test_unknown_before_the_load_is_not_well() -> None:
    with pytest.raises(StoppedError, match="unknown for 0 s"):
        watch([rail(script(UNKNOWN), patience=Patience(unknown_for_s=0.05))])


def test_unknown_is_awaited_before_the_load() -> None:
    stop, _ = watch([rail(script(UNKNOWN, UNKNOWN, WELL, BAD), patience=Patience(unknown_for_s=3600))])
    assert stop.detail == "it: bad (allowed: well)"


def test_unknown_for_long_stops() -> None:
    stop, guardrails = watch([rail(script(WELL, UNKNOWN), patience=Patience(unknown_for_s=0.05))])
    assert stop.detail.startswith("it: unknown for 0 s: unknown")
    assert guardrails.readings()[0].broken


def test_a_guardrail_that_raises_is_broken() -> None:
    stop, _ = watch([rail(script(WELL, RuntimeError("no idea")), patience=Patience(failures=100))])
    assert stop.detail == "it: the guardrail failed: RuntimeError('no idea') (allowed: well)"


def test_a_guardrail_that_never_comes_back_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracer_bullet.runs.load.guardrails.watch._GRACE_S", 0.05)
    looks = script(WELL)

    async def hangs() -> Look:
        if guard:
            await asyncio.Event().wait()
        guard.append(1)
        return await looks()

    guard: list[int] = []
    stop, _ = watch([rail(hangs, every_s=0.5)])
    assert stop.detail == "it: the guardrail failed: TimeoutError() (allowed: well)"


def test_nobody_looking_is_a_reason_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        guardrails = Guardrails([rail(script(WELL), every_s=3600)])
        await guardrails.baseline()
        stop = guardrails.look()
        assert stop is not None
        assert stop.detail == "the guardrails are no longer watched"
        async with guardrails.watching():
            assert guardrails.look() is None
            now_s = time.monotonic()
            monkeypatch.setattr(time, "monotonic", lambda: now_s + 4 * 3600)
            stop = guardrails.look()
            monkeypatch.undo()
            assert stop is not None
            assert "nobody has looked for 14400 s" in stop.detail

    asyncio.run(main())


def test_without_guardrails_nothing_is_asked(target: Target) -> None:
    async def main() -> None:
        async with watch_target(of(target), None, {}) as guardrails:
            assert guardrails.look() is None
            assert guardrails.readings() == ()

    asyncio.run(main())
    assert target.says.asked == []


def test_a_stop_says_when(target: Target) -> None:
    async def main() -> None:
        guardrails = Guardrails([rail(script(WELL, BAD))])
        await guardrails.baseline()
        guardrails.began_s = time.monotonic() - 100
        async with guardrails.watching():
            assert (await until_it_stops(guardrails)).after_s >= 100

    asyncio.run(main())


@pytest.mark.parametrize(
    "spec",
    [{"standard": [{"service": "shop", "p99": "1s"}]}, {"error_budget": [{"slo": "fast"}]}],
)
def test_customers_are_seen_by_the_embedded_receiver_alone(target: Target, spec: dict[str, Any]) -> None:
    async def main() -> None:
        source = ZipkinSource("http://127.0.0.1:1")
        try:
            async with watch_target(of(target, **spec), source, {}):
                pytest.fail("it was opened")
        finally:
            await source.close()

    with pytest.raises(UsageError, match="TB1060"):
        asyncio.run(main())


def test_an_objective_that_is_not_there(target: Target) -> None:
    objective = Objective(name="fast", service="shop", indicator=Indicator.LATENCY, target=0.9, threshold_ms=1)

    async def main(receiver: Receiver, objectives: Sequence[Objective]) -> None:
        spec = LoadGuardrailsSpec.model_validate({"error_budget": [{"slo": "fats"}]})
        watched = Watched(spec=spec, target_url=target.url, objectives=objectives)
        async with watch_target(watched, receiver, {}):
            pytest.fail("it was opened")

    with Receiver() as receiver:
        with pytest.raises(UsageError, match=r"TB1061(.|\n)*did you mean 'fast'"):
            asyncio.run(main(receiver, [objective]))
        with pytest.raises(UsageError, match=r"TB1061(.|\n)*the workspace has none"):
            asyncio.run(main(receiver, []))


def test_an_authority_that_is_not_there(target: Target, tmp_path: Path) -> None:
    from tracer_bullet.workspace.sending import TlsSpec

    async def main() -> None:
        watched = Watched(
            spec=LoadGuardrailsSpec.model_validate({"health": ["/"]}),
            target_url=target.url,
            tls=TlsSpec(ca_file=Path("missing.pem")),
            folder=tmp_path,
        )
        async with watch_target(watched, None, {}):
            pytest.fail("it was opened")

    with pytest.raises(UsageError, match="TB1064"):
        asyncio.run(main())
