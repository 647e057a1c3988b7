"""What a scenario file says: `scenarios/*.yaml`. docs/scenarios.md is its reference.

JSONPaths are checked by `tracer_bullet.scenario.load_scenario`, which knows the library that reads them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from tracer_bullet.workspace.audit import AuditSpec, TesterSpec
from tracer_bullet.workspace.fields import (
    Headers,
    Method,
    Name,
    Parameters,
    RequestPath,
    Statuses,
    Take,
    VariableNames,
    Variables,
)
from tracer_bullet.workspace.load import Document, Mistake, MistakesError, Spec
from tracer_bullet.workspace.matcher import Matcher
from tracer_bullet.workspace.references import variable_mistakes
from tracer_bullet.workspace.traffic import LoadSpec

AT_LEAST_ONE = Matcher.model_validate({"ge": 1})


class RequestSpec(Spec):
    """The request of a step, to the target of the scenario."""

    method: Method = "GET"
    """HTTP method."""
    path: RequestPath
    """Path below the target's URL. What `${name}` puts here is percent-encoded."""
    query: Parameters = Field(default={})
    """Query parameters; a list repeats the parameter."""
    headers: Headers = Field(default={})
    """Headers besides those that the harness sets."""
    json_: Any = Field(default=None, alias="json")
    """Body as JSON."""
    form: Parameters | None = None
    """Body as an HTML form (application/x-www-form-urlencoded)."""
    body: str | None = None
    """Body as it is, in UTF-8 (text/plain unless a content-type header says otherwise)."""
    timeout_s: float = Field(default=10.0, gt=0, le=600)
    """Seconds for the whole exchange, connecting and reading included."""
    follow_redirects: bool = False
    """Whether redirects within the target's origin are followed."""

    @property
    def has_json(self) -> bool:
        """Whether a JSON body is given; `json: null` is one."""
        return "json_" in self.model_fields_set

    @pydantic.model_validator(mode="after")
    def _one_body(self) -> RequestSpec:
        given = [n for n in ("json_", "form", "body") if n in self.model_fields_set]
        if len(given) > 1:
            names = [n.rstrip("_") for n in given]
            message = f"only one of {', '.join(names)} can be the body"
            raise MistakesError([Mistake(path=names[-1], message=message, cure="keep one of them")])
        return self


class ExpectSpec(Spec):
    """What the answer of a step must be."""

    status: Statuses = ("2xx",)
    """Status, class of statuses as `2xx`, or a list of these."""
    headers: dict[str, Matcher] = Field(default={})
    """Header name (any case) → matcher; several lines of one name are joined by `, `."""
    json_: dict[str, Matcher] = Field(default={}, alias="json")
    """JSONPath → matcher; each value that the path finds must match."""
    time_ms: Matcher | None = None
    """Matcher on the milliseconds from sending to the end of the answer."""

    @property
    def status_is_default(self) -> bool:
        """Whether the file names no status."""
        return "status" not in self.model_fields_set


class StepSpec(Spec):
    """One request of a bullet, what is expected of its answer, and what is taken from it."""

    name: Name
    """Unique in the scenario."""
    request: RequestSpec
    expect: ExpectSpec = ExpectSpec()
    take: Annotated[dict[str, Take], VariableNames] = Field(default={})
    """Variable → JSONPath (its first value), `header:<name>` or `status`; later steps use it as `${variable}`."""


class Selector(Spec):
    """Chooses spans; everything given must hold, nothing given chooses all.

    The harness's own spans (service `tracer-bullet`) are never chosen, but may stand in `under` and `child_of`.
    """

    service: Matcher | None = None
    """The resource's service.name."""
    name: Matcher | None = None
    """The span's name."""
    kind: Literal["internal", "server", "client", "producer", "consumer"] | None = None
    status: Literal["unset", "ok", "error"] | None = None
    attributes: dict[str, Matcher] = Field(default={})
    """Span attribute → matcher. Attributes are text; a number compares with a text that is a number."""
    under: Selector | None = None
    """Chooses a span that is an ancestor, at any distance."""
    child_of: Selector | None = None
    """Chooses the parent."""


class TraceSpec(Spec):
    """What must hold for the spans that a selector chooses in a bullet's trace."""

    name: Name | None = None
    """How reports call this expectation."""
    spans: Selector
    count: Matcher = AT_LEAST_ONE
    """Matcher on the number of spans chosen; `count: 0` says that there must be none."""
    duration_ms: Matcher | None = None
    """Matcher on the duration of each span chosen."""
    attributes: dict[str, Matcher] = Field(default={})
    """Span attribute → matcher, for each span chosen."""

    @pydantic.model_validator(mode="after")
    def _checks_something(self) -> TraceSpec:
        none_wanted = dict(self.count.operators).get("eq") == 0
        unused = [n for n in ("duration_ms", "attributes") if n in self.model_fields_set] if none_wanted else []
        if unused:
            message = "would never be checked, because `count: 0` wants no span"
            raise MistakesError([Mistake(path=n, message=message, cure="remove it") for n in unused])
        return self


class ScenarioSpec(Document):
    """A scenario: the steps of a bullet, and what their answers and their trace must be."""

    name: Name
    description: str = ""
    target: str
    """Name of a target in tracer-bullet.yaml."""
    tester: TesterSpec = TesterSpec()
    variables: Variables = Field(default={})
    """Values for `${name}`; `--var name=value` overrides them."""
    bullets: int = Field(default=1, ge=1, le=100_000)
    """How many bullets a run fires."""
    concurrency: int = Field(default=1, ge=1, le=1_000)
    """How many bullets are under way at once, at most."""
    steps: tuple[StepSpec, ...] = Field(min_length=1)
    trace: tuple[TraceSpec, ...] = ()
    audit: AuditSpec = AuditSpec()
    load: LoadSpec | None = None
    """The scenario as traffic, for `tracer-bullet load`."""

    @classmethod
    def mistakes_in(cls, tree: Any) -> Iterable[Mistake]:
        """Variables that are not known where they are used, and steps of one name."""
        yield from variable_mistakes(tree)
        yield from _same_names(tree)


def _same_names(tree: Any) -> Iterable[Mistake]:
    steps = tree.get("steps") if isinstance(tree, dict) else None
    seen: dict[str, int] = {}
    for index, step in enumerate(steps if isinstance(steps, list) else []):
        name = step.get("name") if isinstance(step, dict) else None
        if isinstance(name, str) and seen.setdefault(name, index) != index:
            message = f"steps.{seen[name]} has the name {name!r} already"
            yield Mistake(path=f"steps.{index}.name", message=message, cure="give each step a name of its own")
