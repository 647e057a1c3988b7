"""How one service is guarded: one frozen model, from code or from the environment."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from tracer_bullet.context.scope import DEFAULT_LINGER_S
from tracer_bullet.errors import GuardError


class SqlPolicy(Enum):
    """What happens to a bullet's SQL writes (docs/protocol.md, section 4)."""

    ROLLBACK = "rollback"
    DENY = "deny"
    ALLOW = "allow"


class EgressPolicy(Enum):
    """What happens to a bullet's unsafe HTTP calls to hosts outside the system."""

    STUB = "stub"
    REDIRECT = "redirect"
    DENY = "deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stub:
    """A ready answer for unsafe third-party calls. `url` is a glob without query; `method` may be `*`."""

    url: str
    method: str = "*"
    status: int = 200
    json: Any = None
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def content(self) -> tuple[bytes, str]:
        """Body bytes and their content type."""
        if self.json is not None:
            return json.dumps(self.json).encode(), "application/json"
        return self.body.encode(), "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardConfig:
    """One service's guards.

    `service`: its name, against which a token's scope is held. `keys`: public keys as a JWKS
    file, inline JSON or URL. `system_hosts`: `host` or `host:port` globs inside the system;
    every other host is a third party. `redirects`: (host glob, sandbox base URL).
    `linger_s`: how long background work after a request is still the bullet's. `hold_s`: how
    long a bullet's open transaction is kept for its next request (0: it ends with the request).
    """

    service: str
    keys: str
    sql: SqlPolicy | str = SqlPolicy.ROLLBACK
    egress: EgressPolicy | str = EgressPolicy.STUB
    stubs: tuple[Stub, ...] = ()
    redirects: tuple[tuple[str, str], ...] = ()
    system_hosts: tuple[str, ...] = ()
    linger_s: float = DEFAULT_LINGER_S
    hold_s: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "sql", _enum(SqlPolicy, self.sql, "sql"))
        object.__setattr__(self, "egress", _enum(EgressPolicy, self.egress, "egress"))
        if not self.service:
            raise GuardError("TB601", "the service has no name", cure="give service=, or set OTEL_SERVICE_NAME")
        if not self.keys:
            raise GuardError(
                "TB602", "no public keys", cure="give keys=, or set TRACER_BULLET_KEYS to a JWKS file, URL or JSON"
            )


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


def _hosts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _stubs(text: str) -> tuple[Stub, ...]:
    rows = json.loads(text)
    return tuple(Stub(**{**row, "headers": tuple(dict(row.get("headers", {})).items())}) for row in rows)


def _redirects(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((str(host), str(url)) for host, url in json.loads(text).items())


_VARIABLES = (
    _Variable("TRACER_BULLET_SERVICE", "service"),
    _Variable("TRACER_BULLET_KEYS", "keys"),
    _Variable("TRACER_BULLET_SQL", "sql"),
    _Variable("TRACER_BULLET_EGRESS", "egress"),
    _Variable("TRACER_BULLET_STUBS", "stubs", _stubs),
    _Variable("TRACER_BULLET_REDIRECTS", "redirects", _redirects),
    _Variable("TRACER_BULLET_SYSTEM_HOSTS", "system_hosts", _hosts),
    _Variable("TRACER_BULLET_LINGER_S", "linger_s", float),
    _Variable("TRACER_BULLET_HOLD_S", "hold_s", float),
)

E_ = TypeVar("E_", bound=Enum)


def _enum(kind: type[E_], value: object, name: str) -> E_:
    try:
        return kind(value)
    except ValueError:
        valid = ", ".join(str(m.value) for m in kind)
        raise GuardError("TB604", f"{name}={value!r} is no policy", cure=f"use one of {valid}") from None
