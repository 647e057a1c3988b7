"""The configuration that environment variables say: for services that are guarded with no line of code."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tracer_bullet.errors import GuardError
from tracer_bullet.guards.config import GuardConfig, Rule, Stub


@dataclass(frozen=True, slots=True)
class _Variable:
    """An environment variable, the field it sets and how its text is read."""

    name: str
    sets: str
    read: Callable[[str], Any] = str


def config_from_environment(environ: Mapping[str, str] = os.environ) -> GuardConfig:
    """The configuration that `TRACER_BULLET_*` and OpenTelemetry's variables say (docs/guards.md).

    Raises GuardError when a value cannot be read or no service name or key is there.
    """
    values: dict[str, Any] = {"service": _service_name(environ), "keys": ""}
    for variable in _VARIABLES:
        text = environ.get(variable.name)
        if text:
            try:
                values[variable.sets] = variable.read(text)
            except (ValueError, TypeError, AttributeError) as error:
                raise GuardError(
                    "TB603",
                    f"{variable.name} cannot be read",
                    why=f"{type(error).__name__}: {error}",
                    cure="docs/guards.md has the form",
                ) from None
    return GuardConfig(**values)


def _service_name(environ: Mapping[str, str]) -> str:
    if environ.get("OTEL_SERVICE_NAME"):
        return environ["OTEL_SERVICE_NAME"]
    for pair in environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        key, _, value = pair.partition("=")
        if key.strip() == "service.name":
            return value.strip()
    return ""


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _stubs(text: str) -> tuple[Stub, ...]:
    rows = json.loads(text)
    return tuple(Stub(**{**row, "headers": tuple(dict(row.get("headers", {})).items())}) for row in rows)


def _redirects(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((str(host), str(url)) for host, url in json.loads(text).items())


def _rules(text: str) -> tuple[Rule, ...]:
    return tuple(Rule(**row) for row in json.loads(text))


_VARIABLES = (
    _Variable("TRACER_BULLET_SERVICE", "service"),
    _Variable("TRACER_BULLET_KEYS", "keys"),
    _Variable("TRACER_BULLET_SQL", "sql"),
    _Variable("TRACER_BULLET_CACHE", "cache"),
    _Variable("TRACER_BULLET_MESSAGES", "messages"),
    _Variable("TRACER_BULLET_EGRESS", "egress"),
    _Variable("TRACER_BULLET_MAIL", "mail"),
    _Variable("TRACER_BULLET_AWS", "aws"),
    _Variable("TRACER_BULLET_DOCUMENTS", "documents"),
    _Variable("TRACER_BULLET_RULES", "rules", _rules),
    _Variable("TRACER_BULLET_STUBS", "stubs", _stubs),
    _Variable("TRACER_BULLET_REDIRECTS", "redirects", _redirects),
    _Variable("TRACER_BULLET_SYSTEM_HOSTS", "system_hosts", _names),
    _Variable("TRACER_BULLET_SHADOW_PREFIX", "shadow_prefix"),
    _Variable("TRACER_BULLET_SHADOW_SCHEMA", "shadow_schema"),
    _Variable("TRACER_BULLET_NET", "net"),
    _Variable("TRACER_BULLET_TESTERS", "testers", _names),
    _Variable("TRACER_BULLET_LINGER_S", "linger_s", float),
    _Variable("TRACER_BULLET_HOLD_S", "hold_s", float),
)
