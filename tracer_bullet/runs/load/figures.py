"""What is counted of a load run: by step, by whole iteration, by sender, second by second. Memory does not grow with
requests."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray

from tracer_bullet.engine.histogram import BucketTable, Histogram, Histograms, SecondSeries
from tracer_bullet.engine.histogram.buckets import SLOTS, slots_of_ns
from tracer_bullet.engine.histogram.punctuality import Punctuality
from tracer_bullet.model.arrival import Endpoint
from tracer_bullet.model.load import LoadAccounting, SenderNote, StepKey
from tracer_bullet.model.replay import EndpointResult, Quantiles
from tracer_bullet.model.shots import NOT_SENT, SHOT_ERRORS, ShotBatch

_NS = 1_000_000_000
_RECENT_S = 120
# Ends that are the harness's own doing.
_OWN = np.array([e in NOT_SENT or e == "lost" for e in SHOT_ERRORS])
# An iteration with one of these is cut, not broken.
_CUT = frozenset(SHOT_ERRORS.index(e) for e in ("stopped", "lost", "stale"))


@dataclass(slots=True)
class _Open:
    """An iteration whose steps are still coming back."""

    left: int
    first_ns: int
    last_ns: int = 0
    broken: bool = False
    cut: bool = False


@dataclass(slots=True)
class _Tally:
    """Iterations of a scenario."""

    whole: int = 0
    broken: int = 0
    cut: int = 0


@dataclass
class LoadFigures:
    """Counts what senders tell. `measured_from_ns` (Unix): what was due before is warm-up, and only counted."""

    steps: Sequence[StepKey]
    measured_from_ns: int = 0
    all: Histograms = field(default_factory=Histograms)
    recent: SecondSeries = field(default_factory=lambda: recent_seconds(0))
    lateness: SecondSeries = field(default_factory=SecondSeries)
    warm_up: int = 0
    planned: int = 0
    request_bytes: int = 0
    answer_bytes: int = 0
    senders: dict[int, Punctuality] = field(default_factory=dict)
    notes: dict[int, SenderNote] = field(default_factory=dict)
    users: dict[int, int] = field(default_factory=dict)
    _durations: BucketTable = field(default_factory=lambda: BucketTable(SLOTS))
    _open: dict[tuple[int, int], _Open] = field(default_factory=dict)
    _tallies: dict[str, _Tally] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._scenarios = list(dict.fromkeys(step.scenario for step in self.steps))
        self._of = [step.of for step in self.steps]
        self._tallies = {name: _Tally() for name in self._scenarios}

    def shots(self, sender: int, batch: ShotBatch) -> ShotBatch:
        """Count a batch; what of it is measured."""
        self.request_bytes += sum(batch.request_bytes)
        self.answer_bytes += sum(batch.answer_bytes)
        self._recently(batch)
        before = len(batch)
        if self.measured_from_ns:
            batch = rows_where(batch, np.asarray(batch.due_ns) >= self.measured_from_ns)
        self.warm_up += before - len(batch)
        if not len(batch):
            return batch
        self.planned += len(batch)
        self.all.record(batch)
        self._punctual(sender, batch)
        self._iterations(sender, batch)
        return batch

    def note(self, note: SenderNote, second: int) -> None:
        """How a sender is, in this second (Unix)."""
        self.notes[note.sender] = note
        self.users[second] = sum(n.users for n in self.notes.values())

    @property
    def sent(self) -> int:
        """Requests that senders say they sent in their present job, answered or not; half a second old."""
        return sum(note.engine.sent for note in self.notes.values())

    def step_results(self) -> tuple[EndpointResult, ...]:
        """Of each step that was sent, in the order of the scenarios."""
        endpoints = [Endpoint(number=n, method=s.method, name=s.name) for n, s in enumerate(self.steps)]
        found = {f"{e.method} {e.name}": e.name for e in endpoints}
        return tuple(replace(r, endpoint=found[r.endpoint]) for r in self.all.endpoint_results(endpoints))

    def iteration_results(self) -> tuple[EndpointResult, ...]:
        """Of each scenario: whole iterations, from the first step's intended time to the last one's end."""
        return tuple(
            EndpointResult(
                endpoint=name,
                sent=tally.whole + tally.broken,
                failed=tally.broken,
                latency=Histogram(self._durations.row(n)).quantiles(),
                service=Quantiles(),
            )
            for n, (name, tally) in enumerate(self._tallies.items())
        )

    def accounting(self) -> LoadAccounting:
        """What became of everything so far; iterations that are under way are cut."""
        overall = self.all.overall()
        tallies = self._tallies.values()
        whole, broken = sum(t.whole for t in tallies), sum(t.broken for t in tallies)
        cut = sum(t.cut for t in tallies) + len(self._open)
        return LoadAccounting(
            planned=self.planned,
            sent=overall.sent,
            answered=overall.sent - overall.failed,
            failed=overall.failed,
            not_sent=dict(self.all.not_sent()),
            warm_up=self.warm_up,
            begun=whole + broken + cut,
            whole=whole,
            broken=broken,
            cut=cut,
            request_bytes=self.request_bytes,
            answer_bytes=self.answer_bytes,
            backed_off=sum(n.engine.backed_off for n in self.notes.values()),
        )

    def _recently(self, batch: ShotBatch) -> None:
        error, sent = np.asarray(batch.error).astype(np.int64), np.asarray(batch.sent_ns)
        seen = ~_OWN[error] | (sent > 0)
        due, ended = np.asarray(batch.due_ns)[seen], np.asarray(batch.ended_ns)[seen]
        bad = ((error != 0) & ~_OWN[error]) | (np.asarray(batch.status) >= 500)
        self.recent.record(ended // _NS, slots_of_ns(ended - due), bad[seen].astype(np.int64))

    def _punctual(self, sender: int, batch: ShotBatch) -> None:
        due, ready, sent = map(np.asarray, (batch.due_ns, batch.ready_ns, batch.sent_ns))
        left = sent > 0
        self.senders.setdefault(sender, Punctuality()).record(due[left], ready[left], sent[left])
        late = slots_of_ns((sent - ready)[left])
        self.lateness.record(np.asarray(batch.ended_ns)[left] // _NS, late, np.zeros(len(late), np.int64))

    def _iterations(self, sender: int, batch: ShotBatch) -> None:
        steps, of, seen = self.steps, self._of, self._open
        ended: dict[str, list[int]] = {}
        rows = zip(batch.session, batch.endpoint, batch.due_ns, batch.ended_ns, batch.error, strict=True)
        for session, endpoint, due, end, error in rows:
            one = seen.get((sender, session))
            if one is None:
                if steps[endpoint].index:
                    continue  # steps come back in order: its first one was warm-up
                one = seen[sender, session] = _Open(of[endpoint], due)
            one.left -= 1
            one.first_ns = min(one.first_ns, due)
            one.last_ns = max(one.last_ns, end)
            if error:
                one.cut |= error in _CUT
                one.broken |= error not in _CUT
            if not one.left:
                del seen[sender, session]
                scenario = steps[endpoint].scenario
                tally = self._tallies[scenario]
                if one.cut:
                    tally.cut += 1
                elif one.broken:
                    tally.broken += 1
                else:
                    tally.whole += 1
                    ended.setdefault(scenario, []).append(one.last_ns - one.first_ns)
        for scenario, durations in ended.items():
            self._durations.add(self._scenarios.index(scenario), slots_of_ns(np.array(durations, np.int64)))


def recent_seconds(window_s: float) -> SecondSeries:
    """For a guardrail that looks at the last `window_s` seconds."""
    return SecondSeries(max(_RECENT_S, int(window_s) + 1), forgets=True)


def rows_where(batch: ShotBatch, wanted: NDArray[np.bool_]) -> ShotBatch:
    """The rows of a batch for which `wanted` is true."""
    if wanted.all():
        return batch
    columns: dict[str, array[int]] = {}
    for column in fields(batch):
        values: array[int] = getattr(batch, column.name)
        columns[column.name] = array(values.typecode, np.asarray(values)[wanted].tobytes())
    return ShotBatch(**columns)


def error_rate(result: EndpointResult) -> float:
    """The share of requests without a whole, expected answer."""
    return result.failed / result.sent if result.sent else 0.0


def not_sent_total(accounting: Mapping[str, int]) -> int:
    """Of `not_sent`, what the harness itself did not manage: a step that was skipped since another failed is none."""
    return sum(n for reason, n in accounting.items() if reason in NOT_SENT and reason not in ("skipped", "slot"))
