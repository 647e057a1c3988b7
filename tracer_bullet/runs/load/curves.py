"""The shape of recorded traffic, for profiles that follow it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tracer_bullet.capture.archive import open_archive
from tracer_bullet.errors import UsageError
from tracer_bullet.scenario import Scenario
from tracer_bullet.workspace.load import Located
from tracer_bullet.workspace.traffic import LoadSpec

Curve = tuple[tuple[float, float], ...]


def read_curves(main: Located[Scenario], spec: LoadSpec) -> Mapping[str, Curve]:
    """Of each archive that the profile names, by its name there: (second from its first request on, requests in it).

    Raises UsageError TB1093 for an archive that is not there or holds no time of any request.
    """
    folder = Path(main.file).absolute().parent
    found: dict[str, Curve] = {}
    for index, stage in enumerate(spec.stages):
        if stage.curve is None or str(stage.curve) in found:
            continue
        path = folder / stage.curve
        where = main.where(f"load.stages.{index}.curve")
        if not path.exists():
            cure = "make one with `tracer-bullet capture import` or `capture proxy`"
            raise UsageError("TB1093", f"there is no archive {stage.curve}", where=where, cure=cure)
        seconds = Counter(e.started_ns // 1_000_000_000 for e in open_archive(path).exchanges() if e.started_ns)
        if not seconds:
            raise UsageError("TB1093", f"{stage.curve} holds no request with a time", where=where)
        first = min(seconds)
        found[str(stage.curve)] = tuple((float(second - first), float(n)) for second, n in sorted(seconds.items()))
    return found
