"""`replay/*.yaml`: which recorded traffic is sent again, to whom, how fast, and when to stop. docs/replay.md."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from tracer_bullet.errors import UsageError
from tracer_bullet.workspace.addresses import Url
from tracer_bullet.workspace.audit import AuditSpec, TesterSpec
from tracer_bullet.workspace.fields import Headers
from tracer_bullet.workspace.load import Document, Mistake, MistakesError, Spec
from tracer_bullet.workspace.quantities import Rate, Share, Speed
from tracer_bullet.workspace.replay_checks import (
    BUILT_IN_FIELDS,
    check_json_path,
    check_minted_by,
    check_place,
    check_take,
    check_use,
    template_mistakes,
)
from tracer_bullet.workspace.sending import Globs, GuardrailsSpec, LimitsSpec, ProofSpec, TlsSpec

__all__ = ["BUILT_IN_FIELDS", "Replay"]


def _regex(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"no valid regular expression: {error}") from None
    return value


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("must say its zone, as 2026-11-21T08:00:00Z")
    return value


Regex = Annotated[str, AfterValidator(_regex)]
Moment = Annotated[datetime, AfterValidator(_aware)]
Value = str | int | float | bool | None
JsonPath = Annotated[str, AfterValidator(check_json_path)]
Place = Annotated[str, AfterValidator(check_place)]


class SelectSpec(Spec):
    """Which exchanges are replayed. Globs as in the shell; an empty list chooses all."""

    since: Moment | None = None
    """Not before this moment of the recording."""
    until: Moment | None = None
    """Before this moment of the recording."""
    hosts: Globs = ()
    """`host` or `host:port` globs."""
    methods: Globs = ()
    paths: Globs = ()
    """Globs on the path without the query; `*` crosses slashes."""
    exclude_paths: Globs = ()
    statuses: tuple[Annotated[str, Field(pattern=r"^[1-5](xx|\d\d)$", coerce_numbers_to_str=True)], ...] = ()
    """Recorded statuses, as 200 or 2xx."""
    sessions: Share = 1.0
    """The share of sessions, whole ones, the same ones each time (consistent hash)."""

    @model_validator(mode="after")
    def _some_time(self) -> SelectSpec:
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise MistakesError([Mistake(path="until", message="must be after `since`: nothing would be chosen")])
        return self


class RewritePathSpec(Spec):
    """A change of the request target."""

    match: Regex
    """Regular expression on path and query."""
    to: str
    r"""What stands in its place; `\1` is a group."""

    @model_validator(mode="after")
    def _groups_are_there(self) -> RewritePathSpec:
        try:
            re.compile(self.match).sub(self.to, "")
        except (re.error, IndexError) as error:
            raise MistakesError([Mistake(path="to", message=f"does not fit `match`: {error}")]) from None
        return self


class RewriteJsonSpec(Spec):
    """A change of JSON bodies."""

    path: JsonPath
    """JSONPath of the fields: names, `[n]`, `[*]`, `..name`."""
    set: Any = None
    """The new value; texts may hold `${…}` of the account, the session or the run."""
    remove: bool = False
    paths: Globs = ()
    """Only of requests whose path fits."""

    @model_validator(mode="after")
    def _one_change(self) -> RewriteJsonSpec:
        if self.remove == ("set" in self.model_fields_set):
            raise ValueError("give one of `set` and `remove: true`")
        return self


class RewriteSpec(Spec):
    """What is changed in requests. The host is always that of the target, and the flag's headers are always ours."""

    hosts: dict[str, Url] = Field(default={})
    """Recorded `host` glob → address, for traffic of several hosts; the others go to the target's address."""
    set_headers: Headers = Field(default={})
    """Texts may hold `${…}`. A `host` must be the target's own, or in `limits.allow`."""
    remove_headers: Globs = ()
    paths: tuple[RewritePathSpec, ...] = ()
    json_fields: tuple[RewriteJsonSpec, ...] = Field(default=(), alias="json")
    times: tuple[Place, ...] = ()
    """Where times stand that move with the replay: `json:$.from`, `query:since`, `form:day`, `header:if-range`."""
    idempotency: tuple[Place, ...] = ("header:idempotency-key", "header:x-idempotency-key", "header:x-request-id")
    """Where a fresh key stands in each replayed request, the same one for the same recorded key of a session."""


class IdentityPlaceSpec(Spec):
    """Where an identity stands in a request, and what comes there."""

    at: Place
    """`header:authorization`, `cookie:sid`, `query:user`, `form:login`, `json:$.username`."""
    value: str
    """Text with `${field}` of the account; also `${session}`, `${clone}`, `${run}`."""
    paths: Globs = ()
    """Only of requests whose path fits."""


class IdentitiesSpec(Spec):
    """Captured users become tester accounts."""

    accounts: tuple[dict[str, str], ...] = ()
    """Each a map of fields; sessions take turns. A text may hold `${n}`, the number of the session from 0."""
    file: Path | None = None
    """The same from a CSV file with a header line, or a YAML list; relative to this file."""
    by: Literal["session", "user"] = "session"
    """`user`: all sessions of a captured user have the same account."""
    places: tuple[IdentityPlaceSpec, ...] = ()


class CorrelationRuleSpec(Spec):
    """A value that an answer mints and later requests of the session use."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    minted_by: Annotated[str, AfterValidator(check_minted_by)]
    """`METHOD path-glob`, as `POST /login`."""
    take: Annotated[str, AfterValidator(check_take)]
    """Where it stands in the answer: `json:$.token`."""
    used_at: tuple[Annotated[str, AfterValidator(check_use)], ...] = ()
    """Where it is used: `header:authorization`, `path`, `query:id`, `json:$.id`, `cookie:sid`; empty: anywhere."""


class CorrelateSpec(Spec):
    """Values that answers mint."""

    find: bool = True
    """Find them: a value of an answer that later requests of the same session repeat."""
    min_length: int = Field(default=4, ge=1)
    """Shorter values are taken for chance."""
    rules: tuple[CorrelationRuleSpec, ...] = ()
    ignore: Globs = ()
    """Found ones that are not wanted, by what `--plan` lists: `POST /login $.version`."""


class ShapeSpec(Spec):
    """The captured curve of load, stretched until its busiest `window_s` reaches `peak`."""

    peak: Rate
    window_s: float = Field(default=10.0, gt=0)


class TimingSpec(Spec):
    """When requests are sent. At most one of `speed`, `rate`, `shape`; the captured times as they are by default."""

    speed: Speed | None = None
    rate: Rate | None = None
    shape: ShapeSpec | None = None
    loop: int = Field(default=1, ge=1)
    """How often the recording is played, one after the other, each time as new sessions."""
    clones: int = Field(default=1, ge=1, le=10_000)
    """How many of each session are sent, each with an identity of its own."""
    clone_spread_s: float = Field(default=0.0, ge=0)
    """Clones of a session start within so many seconds of one another, evenly."""
    max_gap_s: float | None = Field(default=None, gt=0)
    """Longer pauses, in which nothing at all was recorded, are cut to this."""
    order: Literal["causal", "sent", "none"] = "causal"
    """`causal`: what was sent after an answer had come, waits for that answer; `sent`: only the order of sending."""
    real_time: bool = False
    """The engine asks Linux to run it before all else on its core, where that is allowed: punctual on busy machines."""
    session_gap_s: float = Field(default=1800.0, gt=0)
    """After so long a pause a session is a new one."""

    @model_validator(mode="after")
    def _one_of(self) -> TimingSpec:
        if sum(x is not None for x in (self.speed, self.rate, self.shape)) > 1:
            raise ValueError("give at most one of speed, rate and shape")
        return self


class IgnoreSpec(Spec):
    """Differences that are none."""

    field: str
    """Glob on `status`, `header:<name>`, or a JSON path as `$.items[*].price`."""
    endpoint: str = "*"
    """Glob on the endpoint, as `GET /products*`."""
    why: str = ""


class CompareSpec(Spec):
    """Comparing answers with the recorded ones."""

    enabled: bool = True
    sample: Share = 1.0
    """The share of answers that are compared, of whole sessions, always the same ones."""
    ignore: tuple[IgnoreSpec, ...] = ()
    headers: Globs = ("content-type", "location", "cache-control")
    """Headers that are compared."""
    noise_pairs: int = Field(default=10, ge=0, le=1000)
    """How many requests of an endpoint are sent twice beforehand, to learn which fields differ by themselves."""
    min_samples: int = Field(default=5, ge=1)
    """Fewer compared answers of an endpoint decide nothing."""
    tolerated: Share = 0.0
    """A difference fails the run when the lower bound of its share is above this."""


class Replay(Document):
    """A file of `replay/`."""

    name: str = Field(min_length=1)
    description: str = ""
    target: str
    archive: Path
    """The archive, or a folder of them; relative to this file."""
    tester: TesterSpec = TesterSpec()
    """Whom the requests are for, in baggage."""
    trace: Literal["session", "request"] = "session"
    """What makes one trace. Services that hold a bullet's transaction for its next request go by it."""
    protocol: Literal["recorded", "http1", "http2"] = "http1"
    select: SelectSpec = SelectSpec()
    rewrite: RewriteSpec = RewriteSpec()
    identities: IdentitiesSpec = IdentitiesSpec()
    correlate: CorrelateSpec = CorrelateSpec()
    timing: TimingSpec = TimingSpec()
    compare: CompareSpec = CompareSpec()
    limits: LimitsSpec = LimitsSpec()
    tls: TlsSpec = TlsSpec()
    guardrails: GuardrailsSpec = GuardrailsSpec()
    proof: ProofSpec = ProofSpec()
    audit: AuditSpec = AuditSpec()
    """As in a scenario."""

    @classmethod
    def mistakes_in(cls, tree: Any) -> Iterable[Mistake]:
        """`${…}` that name no field of an account."""
        yield from template_mistakes(tree)


def change_timing(replay: Replay, changes: Mapping[str, object]) -> Replay:
    """The replay with other values in its `timing`, by key. Raises UsageError TB988 for what does not fit."""
    timing = replay.timing.model_dump()
    if changes.keys() & {"speed", "rate", "shape"}:
        timing.update(speed=None, rate=None, shape=None)
    try:
        changed = TimingSpec.model_validate({**timing, **changes})
    except ValidationError as error:
        told = error.errors()[0]
        where = f"--{told['loc'][0]}" if told["loc"] else "timing"
        raise UsageError("TB988", f"{where}: {told['msg'].removeprefix('Value error, ')}") from None
    return replay.model_copy(update={"timing": changed})
