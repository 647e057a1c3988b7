"""The step that all outbound guards share: rule on a write, and leave the evidence on its span."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace

from tracer_bullet.context.scope import Scope
from tracer_bullet.guards.config import Policy, Rule, Sink
from tracer_bullet.guards.evidence import span_parent, write_attributes
from tracer_bullet.guards.net import covered
from tracer_bullet.guards.openfeature import POLICY_FLAG, policy_override
from tracer_bullet.guards.policy import Ruling, WriteRefused, find_rule
from tracer_bullet.guards.registry import Armed
from tracer_bullet.guards.testers import is_tester

_RUNS_KEPT = 64


class Quotas:
    """How many operations each rule has let through in each of the last runs, in this process."""

    def __init__(self) -> None:
        self._used: dict[str, dict[Rule, int]] = {}
        self._lock = threading.Lock()

    def take(self, run_id: str, rule: Rule, count: int) -> bool:
        """Count `count` operations under `rule`; False, and nothing is counted, when its quota has less left."""
        with self._lock:
            used = self._used.pop(run_id, {})
            self._used[run_id] = used  # the newest last
            while len(self._used) > _RUNS_KEPT:
                del self._used[next(iter(self._used))]
            left = (rule.quota or 0) - used.get(rule, 0)
            if rule.quota is not None and count > left:
                return False
            used[rule] = used.get(rule, 0) + count
            return True


_quotas = Quotas()


def owner(scope: Scope) -> Armed:
    """The armed service that a scope belongs to."""
    assert isinstance(scope.owner, Armed)  # noqa: S101  # scopes are made by armed guards alone
    return scope.owner


def rule_on(scope: Scope, sink: Sink, operation: str, count: int = 1) -> Ruling:
    """What becomes of `count` writes of a bullet; an operation that is let through is counted here.

    `operation` is what the trace will say, without values: `SET cart`, `POST payments.example/charges`.
    """
    if is_tester(scope):
        return Ruling(Policy.DENY, "the request is a tester account's and came without the flag")
    config = owner(scope).config
    override = policy_override(scope, config.service, sink, operation)
    rule = find_rule(config, sink, operation) if override is None else None
    policy = override or (config.policy(sink) if rule is None else Policy(rule.policy))
    if policy is Policy.DENY:
        whose = f"the policy for {sink.value}" if override is None else f"the flag {POLICY_FLAG}"
        return Ruling(policy, f"{whose} is deny")
    if policy is Policy.ALLOW and rule is not None and not _quotas.take(scope.context.run_id, rule, count):
        return Ruling(policy, f"the quota of {rule.quota} a run for {rule.operation} is used up")
    return Ruling(policy)


@contextmanager
def write_span(
    scope: Scope,
    operation: str,
    ruling: Ruling,
    about: Mapping[str, Any],
    *,
    count: int = 1,
    kind: trace.SpanKind = trace.SpanKind.CLIENT,
    theirs: Any = None,
) -> Iterator[None]:
    """Run the block under the span that stands for a write, with the evidence on it.

    `about`: the semantic conventions' attributes, for when the guard must make the span. Raises
    WriteRefused, recorded on that span, when the ruling is a refusal.
    """
    evidence = write_attributes(ruling.decision, operation, count)
    with client_span(scope, operation, about, evidence, kind=kind, theirs=theirs):
        if ruling.refuse:
            raise WriteRefused(operation, ruling.refuse)
        yield


@contextmanager
def client_span(
    scope: Scope,
    name: str,
    about: Mapping[str, Any],
    evidence: Mapping[str, Any],
    *,
    kind: trace.SpanKind = trace.SpanKind.CLIENT,
    theirs: Any = None,
) -> Iterator[None]:
    """Put the evidence on the instrumentation's span of this call, or make one that stands for it.

    `theirs` is that span where the guard knows it; else the current span is taken for it when
    it is of this kind and has no evidence of another write yet.
    """
    span = theirs if theirs is not None else _current_span(kind)
    if span is not None and span.is_recording():
        span.set_attributes(dict(evidence))
        with covered():
            yield
        return
    own = owner(scope).tracer.start_as_current_span(
        name, context=span_parent(scope), kind=kind, attributes={**about, **evidence}
    )
    with own, covered():
        yield


def _current_span(kind: trace.SpanKind) -> Any:
    """The current span, when it is a recording one of this kind that no guard has used."""
    span: Any = trace.get_current_span()
    usable = span.is_recording() and getattr(span, "kind", None) is kind
    return span if usable and "tb.guard.decision" not in (getattr(span, "attributes", None) or {}) else None
