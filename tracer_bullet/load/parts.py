"""A job's scenarios, compiled: what there is to plan. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from tracer_bullet.errors import UsageError
from tracer_bullet.load.choice import Feed, Mix, Pause, Row
from tracer_bullet.load.profile import Profile
from tracer_bullet.load.script import Script, compile_script
from tracer_bullet.model.arrival import Origin
from tracer_bullet.model.load import SenderJob
from tracer_bullet.scenario.load import read_scenario_text
from tracer_bullet.workspace.scenario import ScenarioSpec
from tracer_bullet.workspace.traffic import LoadSpec

_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Part:
    """A scenario of the traffic. `pauses` are in an iteration; `still`: these, when all iterations have the same."""

    script: Script
    feed: Feed
    think: Pause
    between: Pause
    pauses: int
    still: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Parts:
    """All of the traffic; `load` is the main scenario's."""

    load: LoadSpec
    origin: Origin
    parts: tuple[Part, ...]
    mix: Mix

    @property
    def scripts(self) -> list[Script]:
        """Of each scenario."""
        return [part.script for part in self.parts]

    @property
    def most_think_ns(self) -> int:
        """The longest that the pauses of an iteration can be together."""
        return max(part.think.most_ns * part.pauses for part in self.parts)

    def limit(self, profile: Profile) -> tuple[int | None, str]:
        """The number of the first iteration that is not begun, and why in words. (None, "") when the profile decides.

        The same for every sender, since it depends on the job alone.
        """
        limits = [(self.load.stop.iterations, "stop.iterations is reached")] if self.load.stop.iterations else []
        for index, part in enumerate(self.parts):
            if part.feed.most is not None:
                last = self.mix.number_of(index, part.feed.most)
                count = f"{part.feed.most:,} row{'' if part.feed.most == 1 else 's'}"
                limits.append((last, f"the {count} of {part.script.spec.name} are used up, and each is used once"))
        limits = [(number, why) for number, why in limits if not profile.is_open or number < profile.total]
        return min(limits, default=(None, ""))


def read_parts(job: SenderJob) -> Parts:
    """Read and compile a job's scenarios. Raises UsageError for what cannot be sent, TB1003 for a unique feed without
    rows."""
    specs = [read_scenario_text(text) for text in job.scenarios]
    main = specs[0].load
    if main is None:
        raise ValueError("the job's main scenario has no load")
    origin = _origin(job.base_url)
    parts: list[Part] = []
    endpoints = 0
    for spec, variables, rows in zip(specs, job.variables, job.rows, strict=True):
        script = compile_script(
            spec, base_url=job.base_url, variables=variables, origin=origin, first_endpoint=endpoints, run_id=job.run_id
        )
        endpoints += len(script.endpoints)
        parts.append(_part(script, spec, main, rows))
    return Parts(main, origin, tuple(parts), Mix(job.weights, main.seed))


def _part(script: Script, spec: ScenarioSpec, main: LoadSpec, rows: Sequence[Row]) -> Part:
    own = spec.load
    feed = Feed(rows, () if own is None else own.data, main.seed)
    if feed.most == 0:
        cure = "give it a row, or another `order`"
        raise UsageError("TB1003", f"the data of {spec.name} is `unique`, and has no row", cure=cure)
    # A scenario without a `load` of its own pauses as the main one does.
    pausing = main if own is None else own
    think, pauses = Pause(pausing.think), len(script.steps) - 1
    still = (think.most_ns,) * pauses if think.is_fixed else ()
    return Part(script, feed, think, Pause(pausing.between), pauses, still)


def _origin(base_url: str) -> Origin:
    url = urlsplit(base_url)
    return Origin(number=0, scheme=url.scheme, host=url.hostname or "", port=url.port or _PORTS[url.scheme])
