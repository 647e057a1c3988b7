"""Runs the checks of a level against a service."""

from __future__ import annotations

from dataclasses import dataclass

from tracer_bullet.conformance.callback import Callback
from tracer_bullet.conformance.checks import CHECKS, DISABLED, Check
from tracer_bullet.conformance.probe import Probe
from tracer_bullet.conformance.report import Level, Outcome, Report, Result
from tracer_bullet.context.keys import SigningKey


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceUnderTest:
    """`url`: without the endpoint's path. `service`: its name, for the token's scope; empty: `*`.

    `disabled_url`: a second address of it, where the kill switch is thrown. `callback`: `host:port` to listen
    on for its calls, and `callback_url` how it reaches that; by default the same.
    """

    url: str
    level: Level = Level.PARTICIPANT
    service: str = ""
    disabled_url: str = ""
    callback: str = "127.0.0.1:0"
    callback_url: str = ""
    timeout_s: float = 30.0


def check_service(subject: ServiceUnderTest, key: SigningKey) -> Report:
    """What the service honours. Sends some 300 requests, and customers' among them write.

    Raises UnreachableError (TB810, TB811) and UsageError (TB812).
    """
    with Callback(subject.callback, subject.callback_url) as callback:
        results = _run(subject, key, callback)
    return Report(url=subject.url, level=subject.level, results=tuple(results))


def _run(subject: ServiceUnderTest, key: SigningKey, callback: Callback) -> list[Result]:
    probe = _probe(subject, subject.url, key, callback)
    try:
        if subject.level is Level.PARTICIPANT:
            probe.written()
        results = [
            _result(check, subject.level, check.run(probe)) for check in CHECKS if _belongs(check, subject.level)
        ]
    finally:
        probe.close()
    if not _belongs(DISABLED, subject.level):
        return results
    if not subject.disabled_url:
        why = "no address was given where it is thrown"
        return [*results, _result(DISABLED, subject.level, why, Outcome.NOT_CHECKED)]
    probe = _probe(subject, subject.disabled_url, key, callback)
    try:
        return [*results, _result(DISABLED, subject.level, DISABLED.run(probe))]
    finally:
        probe.close()


def _probe(subject: ServiceUnderTest, url: str, key: SigningKey, callback: Callback) -> Probe:
    scope = (subject.service or "*",)
    return Probe(url.rstrip("/"), key, callback, scope, subject.timeout_s)


def _belongs(check: Check, level: Level) -> bool:
    return level in check.required or level in check.optional


def _result(check: Check, level: Level, detail: str, outcome: Outcome | None = None) -> Result:
    found = outcome or (Outcome.BROKEN if detail else Outcome.HONOURED)
    return Result(name=check.name, required=level in check.required, outcome=found, claim=check.claim, detail=detail)
