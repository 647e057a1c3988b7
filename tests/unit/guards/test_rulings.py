"""Claim: rules come before a sink's policy, in order, and a quota lets through what it says and no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.context.scope import Scope
from tracer_bullet.errors import GuardError
from tracer_bullet.guards import Armed, Policy, Rule, Sink
from tracer_bullet.guards.rulings import Quotas, rule_on
from tracer_bullet.model import Context

SMS = Rule(sink="egress", operation="POST sms.example/*", policy="allow", quota=3)


def scope_of(armed: Armed, run_id: str = "run-1") -> Scope:
    return Scope(Context(run_id=run_id, token="t"), armed)


def test_the_first_rule_that_fits_counts(arm_service: Callable[..., Armed]) -> None:
    rules = (
        Rule(sink="cache", operation="set secrets*", policy="deny"),
        Rule(sink="cache", operation="SET *", policy="shadow"),
        Rule(sink="messages", operation="*", policy="forward"),
    )
    scope = scope_of(arm_service(rules=rules))
    found = [rule_on(scope, Sink.CACHE, op) for op in ("SET secrets", "SET cart", "DEL cart")]
    assert [r.policy for r in found] == [Policy.DENY, Policy.SHADOW, Policy.NOOP]
    assert [r.decision for r in found] == ["denied", "shadowed", "suppressed"]
    assert [bool(r.refuse) for r in found] == [True, False, False]
    assert rule_on(scope, Sink.MESSAGES, "PUBLISH orders").decision == "forwarded"


def test_a_quota_is_a_runs_own(arm_service: Callable[..., Armed]) -> None:
    scope = scope_of(arm_service(rules=(SMS,)), "run-of-quota-1")
    said = [rule_on(scope, Sink.EGRESS, "POST sms.example/send").decision for _ in range(5)]
    assert said == ["allowed"] * 3 + ["denied"] * 2
    other = scope_of(arm_service(rules=(SMS,)), "run-of-quota-2")
    assert rule_on(other, Sink.EGRESS, "POST sms.example/send").decision == "allowed"


@given(st.lists(st.integers(1, 4)), st.integers(0, 12))
def test_a_quota_is_never_exceeded_and_never_short(counts: list[int], quota: int) -> None:
    quotas, rule = Quotas(), Rule(sink="egress", operation="*", policy="allow", quota=quota)
    left = quota
    for count in counts:
        fits = count <= left
        assert quotas.take("run", rule, count) is fits
        left -= count if fits else 0


@pytest.mark.parametrize("wrong", [{"sink": "sqll"}, {"policy": "stub"}, {"policy": "rolback"}, {"quota": -1}], ids=str)
def test_a_wrong_rule_is_told(wrong: dict[str, Any]) -> None:
    with pytest.raises(GuardError) as caught:
        Rule(**{"sink": "sql", "operation": "*", "policy": "deny", **wrong})
    assert caught.value.code == "TB604"
    assert caught.value.cure
