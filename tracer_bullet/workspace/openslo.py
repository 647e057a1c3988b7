"""OpenSLO v1 documents (https://github.com/OpenSLO/OpenSLO) as objectives, as far as traces can judge them. Pure.

OpenSLO leaves the query to the metric store. `workspace/promql.py` says which Prometheus queries are about calls
of a service; of any other document a note says why it cannot be judged. Kinds but SLO and SLI are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tracer_bullet.errors import Problem, WorkspaceError
from tracer_bullet.model import Indicator, Objective
from tracer_bullet.workspace.load import line_of
from tracer_bullet.workspace.mistakes import suggest
from tracer_bullet.workspace.promql import Asked, UnjudgeableError, read_ratio, read_threshold
from tracer_bullet.workspace.tree import read_tree

VERSION: Final = "openslo/v1"
_KINDS: Final = ("SLO", "SLI", "Service", "DataSource", "AlertPolicy", "AlertCondition", "AlertNotificationTarget")
_MARK: Final = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_DURATION: Final = re.compile(r"([1-9][0-9]*)([smhdwMQY])")
_UNITS_S: Final = {
    "s": 1,
    "m": 60,
    "h": 3_600,
    "d": 86_400,
    "w": 604_800,
    "M": 2_592_000,
    "Q": 7_776_000,
    "Y": 31_536_000,
}
_WINDOW_S: Final = 300.0
_PERIOD_S: Final = 30 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSlos:
    """What a file's documents ask for, and what of it traces cannot judge."""

    objectives: tuple[Objective, ...]
    notes: tuple[Problem, ...]


def read_openslo(data: bytes, file: str) -> OpenSlos:
    """The objectives in the bytes of a YAML file of OpenSLO documents: one, several with `---`, or a list.

    Raises WorkspaceError (TB101) with all mistakes of form.
    """
    parts = [part for at, text in _documents(data, file) for part in _objects(text, at, file)]
    reader = _Reader(file)
    indicators = {p.text("metadata", "name"): p.below("spec") for p in parts if p.value.get("kind") == "SLI"}
    found = [objective for part in parts for objective in reader.objectives(part, indicators)]
    if reader.problems:
        raise WorkspaceError(tuple(reader.problems))
    return OpenSlos(objectives=tuple(found), notes=tuple(reader.notes))


@dataclass(frozen=True, slots=True)
class _Part:
    """A map somewhere in a document, its dotted path, and the document's lines."""

    value: Mapping[str, Any]
    path: str
    lines: Mapping[str, int]

    def below(self, *keys: str) -> _Part:
        value: Any = self.value
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return _Part(
            value if isinstance(value, Mapping) else {}, ".".join((*filter(None, [self.path]), *keys)), self.lines
        )

    def text(self, *keys: str) -> str:
        value = self.below(*keys[:-1]).value.get(keys[-1])
        return value if isinstance(value, str) else ""

    def number(self, key: str) -> float | None:
        value = self.value.get(key)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def items(self, key: str) -> list[_Part]:
        found = self.value.get(key)
        listed = found if isinstance(found, list) else []
        below = [(f"{self.path}.{key}.{i}" if self.path else f"{key}.{i}", item) for i, item in enumerate(listed)]
        return [_Part(item if isinstance(item, Mapping) else {}, path, self.lines) for path, item in below]


def _documents(data: bytes, file: str) -> Iterator[tuple[int, bytes]]:
    """(line offset, text) of each YAML document; `---` in the first column is nothing else (YAML 1.2.2, 9.1.2)."""
    text = data.decode("utf-8", "replace") if len(data) <= 1 << 20 else None
    if text is None or "\ufffd" in text:
        read_tree(data, file)  # says what is wrong
    assert text is not None  # noqa: S101
    at = 0
    marks = [m.start() for m in _MARK.finditer(text)]
    for start, end in zip([0, *marks], [*marks, len(text)], strict=True):
        part = text[start:end].replace("---", "   ", 1) if start in marks else text[start:end]
        if any(row.strip() and not row.lstrip().startswith("#") for row in part.splitlines()):
            yield at, part.encode()
        at += part.count("\n")


def _objects(text: bytes, at: int, file: str) -> list[_Part]:
    try:
        tree = read_tree(text, file)
    except WorkspaceError as error:
        moved = [
            Problem(file=p.file, line=p.line + at, path=p.path, message=p.message, cure=p.cure) for p in error.problems
        ]
        raise WorkspaceError(tuple(moved)) from None
    lines = {path: line + at for path, line in tree.lines.items()}
    if isinstance(tree.value, list):
        return [_Part(v if isinstance(v, Mapping) else {}, str(i), lines) for i, v in enumerate(tree.value)]
    return [_Part(tree.value if isinstance(tree.value, Mapping) else {}, "", lines)]


@dataclass
class _Reader:
    """Collects what one file says."""

    file: str
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)

    def objectives(self, part: _Part, indicators: Mapping[str, _Part]) -> Iterator[Objective]:
        version, kind = part.value.get("apiVersion"), part.value.get("kind")
        if version != VERSION:
            self._problem(part, "apiVersion", f"must be {VERSION}, not {version!r}", suggest(str(version), [VERSION]))
            return
        if kind not in _KINDS:
            self._problem(part, "kind", f"must be one of {', '.join(_KINDS)}, not {kind!r}", suggest(str(kind), _KINDS))
        if kind != "SLO":
            return
        spec, name = part.below("spec"), part.text("metadata", "name")
        for key, said in (("metadata.name", name), ("spec.service", spec.text("service"))):
            if not said:
                self._problem(part, key, f"{key.rpartition('.')[2]!r} is needed")
        goals = spec.items("objectives")
        if not goals:
            self._problem(part, "spec.objectives", "needs at least one objective")
        window_s = self._window(spec)
        indicator = self._indicator(spec, indicators)
        for number, goal in enumerate(goals):
            title = name if len(goals) == 1 else f"{name} {goal.text('displayName') or number + 1}"
            objective = self._objective(spec, goal, indicator, window_s=window_s, name=title)
            if objective is not None:
                yield objective

    def _objective(
        self, spec: _Part, goal: _Part, indicator: _Part | None, *, window_s: float, name: str
    ) -> Objective | None:
        target = self._target(goal)
        slice_s = self._duration(goal, "timeSliceWindow", default=_WINDOW_S)
        own = goal.below("indicator", "spec")
        indicator = own if own.value else indicator
        if target is None or indicator is None:
            return None
        slices = spec.text("budgetingMethod") != "Occurrences" and "timeSliceWindow" in goal.value
        try:
            asked, share = _asked(indicator, goal, target, service=spec.text("service"))
        except UnjudgeableError as error:
            self._note(indicator, f"{name} cannot be judged from traces: {error}")
            return None
        if asked.quantile is not None or "timeSliceTarget" in goal.value:
            note = (
                f"{name}: {target:.4%} of time slices are to be good; traces are judged by calls, and slices told apart"
            )
            self._note(goal, note)
        if "timeSliceTarget" in goal.value and asked.quantile is None:
            share = goal.number("timeSliceTarget") or share
        if not 0 < share < 1:
            self._problem(goal, "timeSliceTarget", f"must lie between 0 and 1, not {share!r}")
            return None
        return Objective(
            name=name,
            service=asked.service,
            indicator=Indicator.AVAILABILITY if asked.threshold_ms is None else Indicator.LATENCY,
            target=share,
            threshold_ms=asked.threshold_ms,
            operation=asked.operation,
            window_s=slice_s if slices or asked.quantile is not None else window_s,
            budget_s=max(window_s, slice_s if slices else 0.0),
            where=f"{self.file}:{line_of(goal.lines, goal.path)}",
            client_errors=asked.client_errors,
        )

    def _indicator(self, spec: _Part, indicators: Mapping[str, _Part]) -> _Part | None:
        inline, reference = spec.below("indicator", "spec"), spec.text("indicatorRef")
        if inline.value:
            return inline
        if not reference:
            self._problem(spec, "indicator", "an `indicator:` or an `indicatorRef:` is needed")
            return None
        if reference not in indicators:
            close = suggest(reference, indicators) or "put the SLI into the same file"
            self._problem(spec, "indicatorRef", f"there is no SLI {reference!r} in this file", close)
            return None
        return indicators[reference]

    def _target(self, goal: _Part) -> float | None:
        target, percent = goal.number("target"), goal.number("targetPercent")
        if target is None and percent is not None:
            target = round(percent / 100, 12)
        if target is None or not 0 < target < 1:
            key = "targetPercent" if percent is not None else "target"
            said = "is needed" if target is None else f"must lie between 0 and 1, both excluded, not {target:g}"
            self._problem(goal, key, f"{key!r} {said}")
            return None
        return target

    def _window(self, spec: _Part) -> float:
        windows = spec.items("timeWindow")
        return self._duration(windows[0], "duration", default=_PERIOD_S) if windows else _PERIOD_S

    def _duration(self, part: _Part, key: str, *, default: float) -> float:
        said = part.value.get(key)
        if said is None:
            return default
        match = _DURATION.fullmatch(str(said))
        if match is None:
            self._problem(part, key, f"must be a duration as 5m, 1h, 30d or 4w, not {said!r}")
            return default
        return float(int(match[1]) * _UNITS_S[match[2]])

    def _problem(self, part: _Part, key: str, message: str, cure: str = "") -> None:
        self._tell(self.problems, part, key, message, cure)

    def _note(self, part: _Part, message: str) -> None:
        self._tell(self.notes, part, "", message, "")

    def _tell(self, into: list[Problem], part: _Part, key: str, message: str, cure: str) -> None:
        path = ".".join(filter(None, (part.path, key)))
        line = line_of(part.lines, path)
        into.append(Problem(file=self.file, line=line, path=path, message=message, cure=cure))


def _asked(indicator: _Part, goal: _Part, target: float, *, service: str) -> tuple[Asked, float]:
    """What an indicator with an objective asks of calls, and the share of calls that is to be good."""
    ratio, threshold = indicator.below("ratioMetric"), indicator.below("thresholdMetric")
    if ratio.value:
        sides = {side: _query(ratio, side) for side in ("good", "bad", "total") if side in ratio.value}
        return read_ratio(sides, service=service), target
    if threshold.value:
        asked = read_threshold(
            _query(indicator, "thresholdMetric"), goal.text("op"), goal.number("value"), service=service
        )
        return asked, asked.quantile or target
    raise UnjudgeableError("it has neither a ratioMetric nor a thresholdMetric")


def _query(part: _Part, side: str) -> str:
    source = part.below(side, "metricSource")
    kind = source.text("type")
    if kind.lower() != "prometheus":
        raise UnjudgeableError(f"its metrics are in {kind or 'a store that it does not name'}; only PromQL is read")
    return source.text("spec", "query")
