"""What `tracer-bullet.yaml` says: targets, where traces come from, keys. docs/settings.md is its reference."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from tracer_bullet.errors import UsageError
from tracer_bullet.model import System
from tracer_bullet.workspace.guards import GuardsSpec
from tracer_bullet.workspace.load import Document, Located, Spec, load_located
from tracer_bullet.workspace.mistakes import suggest

SETTINGS_FILE: Final = "tracer-bullet.yaml"


def check_url(value: str) -> str:
    """`value` without a slash at its end, when it is an http(s) address with a host and at most a path.

    Raises ValueError that says what is wrong.
    """
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"no valid address: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an address as http://host:port")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user or password; use a header in the scenario")
    if parts.query or parts.fragment or port == 0 or any(c.isspace() for c in value):
        raise ValueError("must be an address with at most a path: no query, fragment or spaces")
    return value.rstrip("/")


def _listen(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise ValueError("must be host:port, as 127.0.0.1:4318; port 0 takes a free one")
    return value


Url = Annotated[str, AfterValidator(check_url)]


class TargetSpec(Spec):
    """A system that bullets may be fired at."""

    url: Url
    """Where the requests of scenarios go."""
    production: bool = False
    """Whether real customers use it; some commands ask for more, or refuse, when they do."""
    services: tuple[str, ...] = ()
    """Names of the services that take part; none means: every service seen must."""
    forwarders: tuple[str, ...] = ()
    """Services without guards, which write nothing and need only forward the flag."""
    third_parties: tuple[str, ...] = ()
    """`host` or `host:port` globs of what is outside the system."""
    services_scope: tuple[str, ...] | None = None
    """Service-name globs that may honour the token; default: `services`, or `*` when that is empty."""

    @property
    def scope(self) -> tuple[str, ...]:
        """The token's `scope` claim (docs/protocol.md, section 2)."""
        return self.services_scope or self.services or ("*",)

    @property
    def system(self) -> System:
        """What the audit needs to know of the target."""
        return System(services=self.services, forwarders=self.forwarders, third_parties=self.third_parties)


class _TracesSpec(Spec):
    settle_s: float = Field(default=10.0, ge=0, le=3_600)
    """Seconds to wait for a bullet's trace to be complete, at most."""
    quiet_s: float = Field(default=1.0, ge=0, le=600)
    """Seconds without a new span before a complete trace is judged: work behind an answer shows late."""


class EmbeddedTracesSpec(_TracesSpec):
    """Spans are sent to a receiver in the harness, by OTLP over HTTP."""

    source: Literal["embedded"]
    listen: Annotated[str, AfterValidator(_listen)] = "127.0.0.1:4318"
    """`host:port` of the receiver for OTLP over HTTP; services export to it."""
    grpc: Annotated[str, AfterValidator(_listen)] | None = None
    """`host:port` for OTLP over gRPC, as 127.0.0.1:4317; without it only HTTP is listened on."""

    @property
    def address(self) -> tuple[str, int]:
        """Host, without the brackets of IPv6, and port."""
        return _split(self.listen)

    @property
    def grpc_address(self) -> tuple[str, int] | None:
        """The same of gRPC."""
        return None if self.grpc is None else _split(self.grpc)


def _split(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


class ZipkinTracesSpec(_TracesSpec):
    """Spans are fetched from a Zipkin v2 API, which Jaeger and Tempo have too."""

    source: Literal["zipkin"]
    url: Url
    """The server's address, without `/api/v2`."""


class KeysSpec(Spec):
    """The key that signs the tokens of runs."""

    private: Path = Path(".tracer-bullet/keys/private.pem")
    """PEM file of the Ed25519 private key; relative to the folder of tracer-bullet.yaml."""
    kid: str | None = None
    """Key id in tokens; default: the one that the key file implies."""


class Settings(Document):
    """The workspace's settings."""

    targets: dict[str, TargetSpec] = Field(min_length=1)
    """Name → system; scenarios choose one by `target:`."""
    traces: Annotated[EmbeddedTracesSpec | ZipkinTracesSpec, Field(discriminator="source")] = EmbeddedTracesSpec(
        source="embedded"
    )
    """Where the spans of bullets come from."""
    keys: KeysSpec = KeysSpec()
    guards: dict[str, GuardsSpec] = Field(default_factory=dict)
    """Service → its guards' configuration; `*` for every service. Services read it through TRACER_BULLET_CONFIG."""
    issuer: str = Field(default="tracer-bullet", min_length=1)
    """`iss` claim of tokens."""

    def target(self, name: str) -> TargetSpec:
        """The target of this name. Raises UsageError TB102 with the closest name."""
        found = self.targets.get(name)
        if found is None:
            cure = suggest(name, self.targets) or f"known targets: {', '.join(self.targets)}"
            raise UsageError("TB102", f"{SETTINGS_FILE} has no target {name!r}", cure=cure)
        return found


def find_workspace(start: Path) -> Path | None:
    """The nearest folder at or above `start` that holds a tracer-bullet.yaml; None when there is none."""
    folder = start.absolute()
    for candidate in (folder, *folder.parents):
        if (candidate / SETTINGS_FILE).is_file():
            return candidate
    return None


def load_settings(workspace: Path, environ: Mapping[str, str]) -> Located[Settings]:
    """The settings of the workspace folder, with `${NAME}` replaced from `environ`.

    Raises WorkspaceError with every mistake found.
    """
    return load_located(workspace / SETTINGS_FILE, Settings, environ=environ)
