"""What every outbound guard promises, whatever its library: one suite that all of them pass.

A library's test module has a class that inherits `GuardContract` and a fixture `subject`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import pytest

from tests.unit.guards.conftest import Telemetry
from tracer_bullet.context.scope import Scope, entered
from tracer_bullet.guards import Armed, Policy, Rule, Sink, WriteRefused, census
from tracer_bullet.guards.config import POLICIES
from tracer_bullet.guards.policy import DECISIONS
from tracer_bullet.model import Context


class Subject(Protocol):
    """One library under guard, with a real server behind it.

    `name`: its guard's. `operation`: what the trace says of `write`. `patched`: the attributes
    that the guard replaces, as (owner, name). `policies`: those of its sink that it can do.
    `settings`: what the service's configuration must say besides, such as stubs.
    `instrumentor`: OpenTelemetry's for the library, or None where there is none.
    """

    name: str
    sink: Sink
    operation: str
    policies: tuple[Policy, ...]
    patched: tuple[tuple[Any, str], ...]
    settings: dict[str, Any]
    instrumentor: Any

    def write(self, value: str) -> Any:
        """Write through the library, under the scope of the running context; what the library answers."""

    def read(self) -> Any:
        """Read through the library; None where it cannot."""

    def check(self, answer: Any) -> None:
        """Assert that the answer to a write that was not sent is one that calling code can live with."""

    def stored(self) -> list[str]:
        """Sorted values in the real place, for a stranger to all guards."""

    def shadowed(self) -> list[str]:
        """Sorted values in the shadow place."""


class GuardContract:
    """The suite. `self.bullet(armed)` is a scope as the inbound guards make it."""

    def bullet(self, armed: Armed, run_id: str = "run-1") -> AbstractContextManager[None]:
        return entered(Scope(Context(run_id=run_id, token="t"), armed, linger_s=0.0, trace_id="a" * 32))

    def test_a_bullets_write_leaves_nothing_but_evidence(
        self, subject: Subject, arm_service: Callable[..., Armed], telemetry: Telemetry
    ) -> None:
        armed = arm_service(**subject.settings)
        default = POLICIES[subject.sink][0]
        with self.bullet(armed):
            subject.check(subject.write("bullet"))
        assert subject.stored() == []
        assert telemetry.decisions == [(DECISIONS[default], subject.operation)]
        (span,) = telemetry.having("tb.guard.decision")
        assert (span.attributes or {})["tb.request_type"] == "TRACE"

    def test_a_customers_write_is_made_and_leaves_nothing_of_ours(
        self, subject: Subject, arm_service: Callable[..., Armed], telemetry: Telemetry
    ) -> None:
        arm_service(**subject.settings)
        subject.check(subject.write("customer"))
        assert subject.stored() == ["customer"]
        assert [s for s in telemetry.spans if any(a.startswith("tb.") for a in s.attributes or {})] == []

    def test_a_bullet_reads_what_a_customer_reads(
        self, subject: Subject, arm_service: Callable[..., Armed], telemetry: Telemetry
    ) -> None:
        armed = arm_service(**subject.settings)
        subject.write("customer")
        expected = subject.read()
        with self.bullet(armed):
            assert subject.read() == expected
        assert telemetry.decisions == []

    def test_deny(self, subject: Subject, arm_service: Callable[..., Armed], telemetry: Telemetry) -> None:
        armed = arm_service(**subject.settings, **{subject.sink.value: "deny"})
        with self.bullet(armed), pytest.raises(WriteRefused) as caught:
            subject.write("bullet")
        assert caught.value.operation == subject.operation
        assert subject.stored() == []
        assert telemetry.decisions == [("denied", subject.operation)]

    def test_allow(self, subject: Subject, arm_service: Callable[..., Armed], telemetry: Telemetry) -> None:
        armed = arm_service(**subject.settings, **{subject.sink.value: "allow"})
        with self.bullet(armed):
            subject.check(subject.write("bullet"))
        assert subject.stored() == ["bullet"]
        assert telemetry.decisions == [("allowed", subject.operation)]

    def test_a_rule_lets_through_its_quota_and_no_more(
        self, subject: Subject, arm_service: Callable[..., Armed], telemetry: Telemetry
    ) -> None:
        rule = Rule(sink=subject.sink, operation=subject.operation, policy="allow", quota=1)
        armed = arm_service(**subject.settings, rules=(rule,))
        with self.bullet(armed, f"quota-{subject.name}-{id(subject)}"):
            subject.write("first")
            with pytest.raises(WriteRefused, match="quota of 1 a run"):
                subject.write("second")
        assert subject.stored() == ["first"]
        assert [decision for decision, _ in telemetry.decisions] == ["allowed", "denied"]

    def test_a_rule_for_another_operation_changes_nothing(
        self, subject: Subject, arm_service: Callable[..., Armed]
    ) -> None:
        armed = arm_service(**subject.settings, rules=(Rule(sink=subject.sink, operation="ELSE *", policy="allow"),))
        with self.bullet(armed):
            subject.write("bullet")
        assert subject.stored() == []

    def test_shadow(self, subject: Subject, arm_service: Callable[..., Armed], telemetry: Telemetry) -> None:
        if Policy.SHADOW not in subject.policies:
            return
        armed = arm_service(**subject.settings, **{subject.sink.value: "shadow"})
        with self.bullet(armed):
            subject.check(subject.write("bullet"))
        assert subject.stored() == []
        assert subject.shadowed() == ["bullet"]
        assert telemetry.decisions == [("shadowed", subject.operation)]

    def test_work_after_the_bullets_end_is_a_customers(
        self, subject: Subject, arm_service: Callable[..., Armed], telemetry: Telemetry
    ) -> None:
        scope = Scope(Context(run_id="run-1", token="t"), arm_service(**subject.settings), linger_s=-1.0)
        scope.end()
        with entered(scope):
            subject.write("later")
        assert subject.stored() == ["later"]
        assert telemetry.decisions == []

    def test_bullets_and_customers_at_the_same_time(self, subject: Subject, arm_service: Callable[..., Armed]) -> None:
        armed = arm_service(**subject.settings)
        errors: list[BaseException] = []

        def bullets() -> None:
            for i in range(10):
                with self.bullet(armed):
                    subject.write(f"bullet-{i}")

        def customers(name: str) -> None:
            for i in range(10):
                subject.write(f"{name}-{i}")

        def run(function: Callable[..., None], *args: Any) -> None:
            try:
                function(*args)
            except BaseException as error:  # noqa: BLE001  # told by the main thread
                errors.append(error)

        jobs = [(bullets,), (bullets,), (customers, "a"), (customers, "b")]
        threads = [threading.Thread(target=run, args=job) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert subject.stored() == sorted(f"{name}-{i}" for name in "ab" for i in range(10))

    def test_disarming_gives_back_the_originals(self, subject: Subject, arm_service: Callable[..., Armed]) -> None:
        before = [(name in vars(owner), vars(owner).get(name)) for owner, name in subject.patched]
        armed = arm_service(**subject.settings)
        assert {g.name: g.state for g in census()}[subject.name] == "armed"
        during = [vars(owner).get(name) for owner, name in subject.patched]
        armed.disarm()
        after = [(name in vars(owner), vars(owner).get(name)) for owner, name in subject.patched]
        assert after == before
        assert all(now is not then for now, (_, then) in zip(during, before, strict=True))

    @pytest.mark.parametrize("first", ["guard", "instrumentor"])
    def test_with_opentelemetrys_instrumentation_in_either_order(
        self, first: str, subject: Subject, arm_service: Callable[..., Armed], telemetry: Telemetry
    ) -> None:
        if subject.instrumentor is None:
            return
        steps: list[Callable[[], Any]] = [
            lambda: arm_service(**subject.settings),
            lambda: subject.instrumentor.instrument(tracer_provider=telemetry.provider),
        ]
        found = [step() for step in (steps if first == "guard" else steps[::-1])]
        try:
            with self.bullet(next(x for x in found if isinstance(x, Armed))):
                subject.check(subject.write("bullet"))
        finally:
            subject.instrumentor.uninstrument()
        assert subject.stored() == []
        (span,) = telemetry.having("tb.guard.decision")
        assert span.instrumentation_scope is not None
        assert span.instrumentation_scope.name != "tracer_bullet.guards", "the evidence is on their span"
