"""OpenFeature: the owner's switches at run time, and the flags that a bullet met.

Flags of ours, evaluated for bullets alone, with `request_type`, `service`, `run_id`, `user_id`
and `account_id` in the evaluation context (and `sink`, `operation` for the second):

- `tracer-bullet-enabled` (boolean): false refuses the bullet;
- `tracer-bullet-policy` (string): the policy of one write; empty leaves it to the configuration.

A service without an OpenFeature provider, or a provider without these flags, changes nothing.
A provider that cannot answer refuses: a kill switch that cannot be read is taken for pulled.
What a provider does to answer is judged by the configuration alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

from opentelemetry import trace

from tracer_bullet.context.carriers import Claim
from tracer_bullet.context.scope import Scope, live_scope
from tracer_bullet.guards.config import POLICIES, Policy, Sink
from tracer_bullet.guards.patching import Patch, unwrap, wrap
from tracer_bullet.guards.registry import Guard
from tracer_bullet.model import attributes

ENABLED_FLAG: Final = "tracer-bullet-enabled"
POLICY_FLAG: Final = "tracer-bullet-policy"
_OURS: Final = frozenset({ENABLED_FLAG, POLICY_FLAG})
# Errors that say "I know no such flag", as opposed to "I cannot tell".
_UNKNOWN_FLAG: Final = frozenset({"FLAG_NOT_FOUND"})
_patches: list[Patch] = []
# A provider that asks a server for the flag makes a call that is judged in turn.
_asking: ContextVar[bool] = ContextVar("tracer_bullet_policy_flag", default=False)


def _patch() -> None:
    import openfeature.client  # noqa: PLC0415  # only where the service uses it

    # Not through api.add_hooks: an application that clears its hooks must not clear ours.
    _patches.append(wrap(openfeature.client, "get_hooks", _get_hooks))


def _unpatch() -> None:
    while _patches:
        unwrap(_patches.pop())


GUARD = Guard(
    name="openfeature",
    module="openfeature",
    distribution="openfeature-sdk",
    versions=">=0.8.1,<1",
    sink=None,
    patch=_patch,
    unpatch=_unpatch,
)


def switched_off(service: str, claim: Claim) -> str:
    """Why the owner's flag refuses a bullet; empty when it does not, or there is no OpenFeature here."""
    if "openfeature.api" not in sys.modules:
        return ""
    about = {"service": service, "run_id": claim.run_id, "user_id": claim.user_id, "account_id": claim.account_id}
    details = _client().get_boolean_details(ENABLED_FLAG, True, _context(about))  # noqa: FBT003  # OpenFeature's order
    if details.error_code is not None and details.error_code not in _UNKNOWN_FLAG:
        return f"the flag {ENABLED_FLAG} cannot be read: {details.error_code}"
    return "" if details.value else f"the flag {ENABLED_FLAG} is off for it"


def policy_override(scope: Scope, service: str, sink: Sink, operation: str) -> Policy | None:
    """The policy that the owner's flag says for one write; DENY when it says something that cannot be done."""
    if "openfeature.api" not in sys.modules or _asking.get():
        return None
    bullet = scope.context
    about = {"service": service, "run_id": bullet.run_id, "user_id": bullet.user_id, "account_id": bullet.account_id}
    token = _asking.set(True)
    try:
        details = _client().get_string_details(
            POLICY_FLAG, "", _context({**about, "sink": sink.value, "operation": operation})
        )
    finally:
        _asking.reset(token)
    if details.error_code is not None and details.error_code not in _UNKNOWN_FLAG:
        return Policy.DENY
    if not details.value:
        return None
    return next((p for p in POLICIES[sink] if p.value == details.value), Policy.DENY)


def _client() -> Any:
    import openfeature.api  # noqa: PLC0415

    return openfeature.api.get_client()


def _context(about: dict[str, str | None]) -> Any:
    from openfeature.evaluation_context import EvaluationContext  # noqa: PLC0415

    known = {k: v for k, v in about.items() if v is not None}
    return EvaluationContext(targeting_key=known.get("account_id"), attributes={"request_type": "TRACE", **known})


def _get_hooks(wrapped: Callable[[], list[Any]], _module: Any, _args: Any, _kwargs: Any) -> list[Any]:
    scope = live_scope()
    return wrapped() if scope is None else [_make_hook(scope), *wrapped()]


def _make_hook(scope: Scope) -> Any:
    from openfeature.evaluation_context import EvaluationContext  # noqa: PLC0415
    from openfeature.hook import Hook  # noqa: PLC0415

    class BulletHook(Hook):
        """Says in what kind of request a flag is evaluated, and leaves the evaluation on the trace."""

        def before(self, hook_context: Any, hints: Any) -> Any:  # noqa: ARG002  # OpenFeature's signature
            """The request type, for targeting rules."""
            return EvaluationContext(attributes={"request_type": scope.context.request_type.value})

        def finally_after(self, hook_context: Any, details: Any, hints: Any) -> None:  # noqa: ARG002
            """Leave it on the running span."""
            if hook_context.flag_key not in _OURS:
                _leave(hook_context, details)

    return BulletHook()


def _leave(context: Any, details: Any) -> None:
    """The semantic conventions' event, and a list on the span itself, since not every backend keeps events."""
    span: Any = trace.get_current_span()
    if not span.is_recording():
        return
    said = details.variant or (str(details.value).lower() if isinstance(details.value, bool) else "set")
    provider = getattr(context.provider_metadata, "name", "")
    span.add_event(
        "feature_flag.evaluation",
        {
            "feature_flag.key": details.flag_key,
            "feature_flag.result.variant": said,
            "feature_flag.result.reason": str(details.reason or "unknown").lower(),
            "feature_flag.provider.name": provider,
        },
    )
    before = (getattr(span, "attributes", None) or {}).get(attributes.FLAGS, "")
    mine = f"{details.flag_key}={said}"
    if mine not in before.split(","):
        span.set_attribute(attributes.FLAGS, f"{before},{mine}".lstrip(","))
