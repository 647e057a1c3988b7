"""Claim: an owner stops, isolates or exempts bullets by OpenFeature at run time; the flags a bullet met are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.provider import AbstractProvider
from openfeature.provider.metadata import Metadata

from tests.unit.guards.conftest import Telemetry
from tracer_bullet.context.carriers import read_claim
from tracer_bullet.context.scope import Scope, entered
from tracer_bullet.guards import Armed, Policy, Rule, Sink
from tracer_bullet.guards.openfeature import ENABLED_FLAG, POLICY_FLAG
from tracer_bullet.guards.rulings import rule_on
from tracer_bullet.model import Context

# Before 0.9 the one that waits was the only one.
_set_provider = getattr(api, "set_provider_and_wait", api.set_provider)
Answer = Callable[[dict[str, Any]], Any]


@dataclass(eq=False)
class Owner(AbstractProvider):
    """A provider whose flags are functions of the evaluation context; it writes down what it was asked."""

    flags: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def get_metadata(self) -> Metadata:
        return Metadata(name="owner")

    def _resolve(self, flag: str, default: Any, context: EvaluationContext | None) -> Any:
        about = dict(context.attributes) if context else {}
        self.asked.append((flag, about))
        if flag not in self.flags:
            return FlagResolutionDetails(default, error_code=ErrorCode.FLAG_NOT_FOUND, reason=Reason.ERROR)
        return FlagResolutionDetails(self.flags[flag](about), variant="v2", reason=Reason.TARGETING_MATCH)

    def resolve_boolean_details(self, flag_key: str, default_value: bool, evaluation_context: Any = None) -> Any:
        return self._resolve(flag_key, default_value, evaluation_context)

    resolve_string_details = resolve_integer_details = resolve_boolean_details
    resolve_float_details = resolve_object_details = resolve_boolean_details


@pytest.fixture
def owner() -> Iterator[Owner]:
    found = Owner()
    try:
        _set_provider(found)
        yield found
    finally:
        api.clear_providers()
        api.clear_hooks()


Refuse = Callable[..., str]


@pytest.fixture
def refuse(flag_headers: Callable[..., dict[str, str]]) -> Refuse:
    def why(armed: Armed, **token: Any) -> str:
        headers = flag_headers(**token)
        claim = read_claim([headers["baggage"]], [headers["tracestate"]], [headers["x-tracer-bullet"]])
        admission = armed.admit(claim)
        return f"{admission.status} {admission.reason}: {admission.detail}" if admission.reason else ""

    return why


def test_no_provider_or_one_without_our_flags_changes_nothing(
    refuse: Refuse, arm_service: Callable[..., Armed], owner: Owner
) -> None:
    armed = arm_service()
    assert refuse(armed) == ""
    assert [flag for flag, _ in owner.asked] == [ENABLED_FLAG]
    api.clear_providers()
    assert refuse(armed) == ""


def test_the_kill_switch_is_asked_with_all_that_an_owner_may_want_to_tell_apart(
    refuse: Refuse, arm_service: Callable[..., Armed], owner: Owner
) -> None:
    owner.flags[ENABLED_FLAG] = lambda about: about["service"] != "cart" or about["run_id"] == "run-2"
    armed = arm_service()
    assert refuse(armed).startswith("503 disabled: the flag tracer-bullet-enabled is off")
    assert refuse(armed, run_id="run-2") == ""
    assert owner.asked[0][1] == {
        "request_type": "TRACE",
        "service": "cart",
        "run_id": "run-1",
        "user_id": "tester-1",
    }


def test_a_switch_that_cannot_be_read_is_taken_for_pulled(
    refuse: Refuse, arm_service: Callable[..., Armed], owner: Owner
) -> None:
    def broken(_: dict[str, Any]) -> Any:
        raise ConnectionError("the flag server is away")

    owner.flags[ENABLED_FLAG] = broken
    assert "cannot be read" in refuse(arm_service())


def test_a_forged_request_does_not_reach_the_owners_flags(
    refuse: Refuse, arm_service: Callable[..., Armed], owner: Owner
) -> None:
    assert refuse(arm_service(), scope=("other",)).startswith("403 out-of-scope")
    assert owner.asked == []


def test_the_policy_of_an_operation_an_account_or_a_service_is_changed_at_run_time(
    arm_service: Callable[..., Armed], owner: Owner
) -> None:
    def policy(about: dict[str, Any]) -> str:
        if about.get("account_id") == "vip":
            return "deny"
        return {"PUBLISH orders": "forward", "PUBLISH audit": "rollback"}.get(about["operation"], "")

    owner.flags[POLICY_FLAG] = policy
    armed = arm_service(rules=(Rule(sink="messages", operation="PUBLISH orders", policy="deny"),))

    def ruling(operation: str, account: str | None = None) -> Any:
        scope = Scope(Context(run_id="run-1", token="t", account_id=account), armed)
        return rule_on(scope, Sink.MESSAGES, operation)

    assert ruling("PUBLISH orders").policy is Policy.FORWARD
    assert (ruling("PUBLISH else").policy, ruling("PUBLISH else").refuse) == (Policy.NOOP, "")
    assert "flag tracer-bullet-policy" in ruling("PUBLISH else", "vip").refuse
    assert ruling("PUBLISH audit").decision == "denied", "no messages guard can roll back"


def test_flags_evaluated_in_a_bullet_are_on_its_trace_and_customers_are_let_alone(
    arm_service: Callable[..., Armed], owner: Owner, telemetry: Telemetry
) -> None:
    owner.flags = {"new-checkout": lambda about: about.get("request_type") == "TRACE", "colour": lambda _: "blue"}
    client = api.get_client()
    armed = arm_service()
    tracer = telemetry.provider.get_tracer("app")
    with tracer.start_as_current_span("GET /"):
        assert client.get_boolean_value("new-checkout", default_value=True) is False
    with (
        entered(Scope(Context(run_id="run-1", token="t"), armed)),
        tracer.start_as_current_span("GET /"),
    ):
        for _ in range(2):
            assert client.get_boolean_value("new-checkout", default_value=False) is True
        assert client.get_string_value("colour", "red") == "blue"
    customer, bullet = telemetry.spans
    assert (customer.events, dict(customer.attributes or {})) == ((), {})
    assert (bullet.attributes or {})["tb.flags"] == "new-checkout=v2,colour=v2"
    event = dict(bullet.events[0].attributes or {})
    assert event == {
        "feature_flag.key": "new-checkout",
        "feature_flag.result.variant": "v2",
        "feature_flag.result.reason": "targeting_match",
        "feature_flag.provider.name": "owner",
    }
    assert dict(owner.asked[0][1]) == {}


def test_an_application_that_clears_its_hooks_does_not_clear_ours(
    arm_service: Callable[..., Armed], owner: Owner, telemetry: Telemetry
) -> None:
    owner.flags = {"colour": lambda _: "blue"}
    armed = arm_service()
    api.clear_hooks()
    with (
        entered(Scope(Context(run_id="run-1", token="t"), armed)),
        telemetry.provider.get_tracer("app").start_as_current_span("GET /"),
    ):
        api.get_client().get_string_value("colour", "red")
    assert (telemetry.spans[0].attributes or {})["tb.flags"] == "colour=v2"


def test_disarming_gives_openfeature_back(arm_service: Callable[..., Armed]) -> None:
    import openfeature.client

    before = openfeature.client.get_hooks
    armed = arm_service()
    assert openfeature.client.get_hooks is not before
    armed.disarm()
    assert openfeature.client.get_hooks is before


def test_a_provider_that_asks_a_server_is_judged_by_the_configuration(
    owner: Owner, arm_service: Callable[..., Armed], telemetry: Telemetry
) -> None:
    armed = arm_service()
    scope = Scope(Context(run_id="run-1", token="t"), armed)
    rulings = []

    def ask(_: dict[str, Any]) -> str:
        rulings.append(rule_on(scope, Sink.EGRESS, "POST flags.example/evaluate"))
        return ""

    owner.flags[POLICY_FLAG] = ask
    with entered(scope):
        assert rule_on(scope, Sink.MAIL, "SEND example.com").policy is Policy.NOOP
    assert [ruling.policy for ruling in rulings] == [Policy.STUB]
