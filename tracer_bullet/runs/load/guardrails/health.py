"""The target's health endpoints, asked as a load balancer would: plain GETs without the flag."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import httpx

from tracer_bullet import __version__
from tracer_bullet.runs.load.guardrails.guardrail import (
    Guardrail,
    HttpAnswer,
    NoAnswerError,
    ask,
    headers_from,
    seconds,
)
from tracer_bullet.runs.load.guardrails.patience import Look, Patience, Sight
from tracer_bullet.scenario.matching import MISSING, describe, satisfies, show
from tracer_bullet.workspace.json_path import find_places, parse_json_path
from tracer_bullet.workspace.safety import HealthSpec

# The tap of STANDARD spans knows it by this, where the instrumentation records it (traces/standard.py).
USER_AGENT: Final = f"tracer-bullet-health/{__version__}"
# draft-inadarei-api-health-check-06, section 3.1, and Spring Boot's actuator.
_FORMATS: Final = frozenset({"application/health+json", "application/vnd.health+json"})
_ACTUATOR: Final = "application/vnd.spring-boot.actuator."
_WELL: Final = frozenset({"pass", "ok", "up", "warn"})
# Worse than any slow answer.
_FAILED: Final = 1e9


def health_guardrail(
    spec: HealthSpec, target_url: str, client: httpx.AsyncClient, environ: Mapping[str, str]
) -> Guardrail:
    """The guardrail of one endpoint. Raises UsageError TB1062."""
    url = spec.url or f"{target_url}{spec.path}"
    headers = {"user-agent": USER_AGENT, "accept": "*/*", **headers_from(spec.headers_from, environ)}

    async def look() -> Look:
        try:
            answer = await ask(client, url, timeout_s=spec.timeout_s, headers=headers)
        except NoAnswerError as error:
            return Look(sight=Sight.BAD, text=str(error), badness=_FAILED)
        return judge_health(spec, answer)

    slower = f" within {seconds(spec.latency_s or spec.timeout_s)}"
    json_too = "".join(f", {path} {describe(matcher)}" for path, matcher in spec.json_.items())
    return Guardrail(
        name=f"health {spec.path or url}",
        limit=f"{' or '.join(spec.status)}{slower}{json_too}",
        every_s=spec.every_s,
        timeout_s=spec.timeout_s,
        patience=Patience(failures=spec.failures),
        look=look,
    )


def judge_health(spec: HealthSpec, answer: HttpAnswer) -> Look:
    """What an answer says of the target. Pure; never raises."""
    status = str(answer.status)
    if not any(status == wanted or f"{status[0]}xx" == wanted for wanted in spec.status):
        return Look(sight=Sight.BAD, text=f"it answered {status}", badness=_FAILED)
    sick = _own_word(answer) or _mismatch(spec, answer)
    if sick:
        return Look(sight=Sight.BAD, text=sick, badness=_FAILED)
    took = f"{status} in {answer.took_s * 1000:.0f} ms"
    if spec.latency_s is not None and answer.took_s > spec.latency_s:
        return Look(sight=Sight.BAD, text=f"{took} (allowed: {seconds(spec.latency_s)})", badness=answer.took_s)
    return Look(sight=Sight.WELL, text=took, badness=answer.took_s)


def _own_word(answer: HttpAnswer) -> str:
    """What is wrong by the answer's own `status`, in a format that has one; a warning is no failure."""
    if answer.media_type not in _FORMATS and not answer.media_type.startswith(_ACTUATOR):
        return ""
    document = _json(answer)
    status = document.get("status") if isinstance(document, dict) else None
    if not isinstance(status, str):
        return f"its {answer.media_type} says no status"
    if status.lower() in _WELL:
        return ""
    output = document.get("output")
    return f"it says status {show(status)}" + (f": {show(output)}" if isinstance(output, str) else "")


def _mismatch(spec: HealthSpec, answer: HttpAnswer) -> str:
    if not spec.json_:
        return ""
    document = _json(answer)
    if document is MISSING:
        return "its answer is no JSON"
    for path, matcher in spec.json_.items():
        places = find_places(document, parse_json_path(path))
        values = [container[key] for container, key in places] or [MISSING]
        for value in values:
            if not satisfies(matcher, value):
                return f"{path} is {show(value)}, not {describe(matcher)}"
    return ""


def _json(answer: HttpAnswer) -> Any:
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        return MISSING
