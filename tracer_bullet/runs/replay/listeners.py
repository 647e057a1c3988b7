"""Who listens to a replay: the figures, the shots' files, the proof, the comparison."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tracer_bullet.engine.histogram import Histograms
from tracer_bullet.engine.schedule.takes import take
from tracer_bullet.model import Finding, Severity
from tracer_bullet.model.arrival import Endpoint, Origin
from tracer_bullet.model.replay import Accounting
from tracer_bullet.model.shots import SHOT_ERRORS, KeptAnswer, ShotBatch
from tracer_bullet.replay.compare import Comparer
from tracer_bullet.replay.fidelity import FidelityMeter
from tracer_bullet.runs.replay.answers import Redact
from tracer_bullet.runs.replay.bullets import Bullets, rows_in
from tracer_bullet.runs.replay.feed import Flying
from tracer_bullet.runs.replay.parts import ShotParts
from tracer_bullet.runs.replay.proof import Proof

# Why a request was not sent: the run ended before its turn came.
NOT_REACHED: Final = "not reached"

_WHY: Final = {
    "slot": "no answer before it held the value that it needs (see --plan, and correlate.ignore)",
    "stopped": "the replay was stopped",
}


@dataclass
class Figures:
    """Histograms, fidelity, totals, and the shots on disk."""

    parts: ShotParts
    fidelity: FidelityMeter
    histograms: Histograms = field(default_factory=Histograms)
    request_bytes: int = 0
    answer_bytes: int = 0

    def shots(self, batch: ShotBatch, flights: Sequence[Flying]) -> None:
        """See Listener."""
        self.histograms.record(batch)
        self.parts.add(batch)
        self.request_bytes += sum(batch.request_bytes)
        self.answer_bytes += sum(batch.answer_bytes)
        self.fidelity.see(
            batch, [(f.started_ns, f.ended_ns) for f in flights], [f.nth for f in flights], [f.last for f in flights]
        )

    def answer(self, flying: Flying, kept: KeptAnswer) -> None:
        """See Listener."""

    def accounting(
        self, read: int, skipped: Mapping[str, int], refused: Mapping[str, int], planned: int, not_reached: int = 0
    ) -> Accounting:
        """What became of everything. `planned`: given to the engine; `not_reached`: the rest, when the run ended."""
        not_sent = dict(self.histograms.not_sent())
        if not_reached:
            not_sent[NOT_REACHED] = not_reached
        overall = self.histograms.overall()
        return Accounting(
            read=read,
            skipped=dict(skipped),
            planned=planned + not_reached + sum(refused.values()),
            sent=overall.sent,
            answered=overall.sent - overall.failed,
            failed=overall.failed,
            refused=dict(refused),
            not_sent=not_sent,
            request_bytes=self.request_bytes,
            answer_bytes=self.answer_bytes,
        )


@dataclass
class Collector:
    """Gathers the bullets whose traces are kept, and hands those that have ended to the proof."""

    bullets: Bullets
    proof: Proof
    endpoints: Sequence[Endpoint]
    origins: Sequence[Origin]
    share: float = 1.0

    def shots(self, batch: ShotBatch, flights: Sequence[Flying]) -> None:
        """See Listener."""
        by_number = {f.number: f for f in flights} if self.share > 0 else {}
        for row in rows_in(batch, self.share):
            flying = by_number.get(row.number)
            if flying is None:
                continue
            endpoint = self.endpoints[flying.endpoint]
            done = self.bullets.add(row, flying, f"{endpoint.method} {endpoint.name}", self._url(flying))
            if done is not None:
                self.proof.add(done)

    def answer(self, flying: Flying, kept: KeptAnswer) -> None:
        """See Listener."""

    def finish(self) -> None:
        """Hand over what did not come to its end."""
        for bullet in self.bullets.rest():
            self.proof.add(bullet)

    def _url(self, flying: Flying) -> str:
        origin = self.origins[flying.origin]
        target = flying.target.decode("latin-1")
        return f"{origin.scheme}://{origin.host}:{origin.port}{target.partition('?')[0]}"


@dataclass
class Unsent:
    """Why requests to an endpoint were not sent, or had no answer: the last reason of each."""

    endpoints: Sequence[Endpoint]
    reasons: dict[str, str] = field(default_factory=dict)
    starved: Counter[str] = field(default_factory=Counter)

    def shots(self, batch: ShotBatch, flights: Sequence[Flying]) -> None:
        """See Listener."""
        for flying, error in zip(flights, batch.error, strict=True):
            if error:
                endpoint, reason = self.endpoints[flying.endpoint], SHOT_ERRORS[error]
                name = f"{endpoint.method} {endpoint.name}"
                self.reasons[name] = _WHY.get(reason, reason)
                self.starved[name] += reason == "slot"

    def findings(self) -> list[Finding]:
        """One an endpoint whose requests wanted for a value that no answer minted."""
        return [
            Finding(
                rule="not-sent",
                severity=Severity.GAP,
                operation=name,
                message=f"{number} requests were not sent: {_WHY['slot']}",
                cure="what the recording had by chance is left out by correlate.ignore, as --plan lists it",
            )
            for name, number in sorted(self.starved.items())
            if number
        ]

    def answer(self, flying: Flying, kept: KeptAnswer) -> None:
        """See Listener."""


@dataclass
class Comparing:
    """Compares answers with the recorded ones. `redact`: as the recording was, so that nothing raw is kept, and a
    pseudonym meets the same one. What an answer mints is followed: a later answer that repeats it does not differ."""

    comparer: Comparer
    redact: Redact
    endpoints: Sequence[Endpoint]
    # Session → recorded value → the one that stands for it.
    _minted: dict[int, dict[bytes, bytes]] = field(default_factory=dict)
    # Session → how many have come back, less than nothing; once its last one has, how many are still to come.
    _left: dict[int, int] = field(default_factory=dict)

    def shots(self, batch: ShotBatch, flights: Sequence[Flying]) -> None:  # noqa: ARG002
        """See Listener. A session is forgotten when all of it is back: its last request need not come back last."""
        for flying in flights:
            left = self._left.pop(flying.session, 0) - 1 + (flying.nth if flying.last else 0)
            if left:
                self._left[flying.session] = left
            else:
                self._minted.pop(flying.session, None)

    def answer(self, flying: Flying, kept: KeptAnswer) -> None:
        """See Listener."""
        exchange = flying.exchange
        if exchange is None:
            return
        kept = self.redact(exchange, kept)
        if flying.takes and exchange.answer is not None:
            old, new = take(exchange.answer, flying.takes), take(kept.answer, flying.takes)
            both = {old[name]: new[name] for name in old.keys() & new.keys()}
            self._minted.setdefault(flying.session, {}).update(both)
        endpoint = self.endpoints[flying.endpoint]
        minted = self._minted.get(flying.session, {})
        self.comparer.see(f"{endpoint.method} {endpoint.name}", exchange, kept, minted)


@dataclass
class NoisePairs:
    """Pairs up the answers to requests that were sent twice: what differs between them differs by itself."""

    comparer: Comparer
    redact: Redact
    endpoints: Sequence[Endpoint]
    _first: dict[str, KeptAnswer] = field(default_factory=dict)

    def shots(self, batch: ShotBatch, flights: Sequence[Flying]) -> None:
        """See Listener."""

    def answer(self, flying: Flying, kept: KeptAnswer) -> None:
        """See Listener."""
        if flying.exchange is None:
            return
        kept = self.redact(flying.exchange, kept)
        first = self._first.pop(flying.record, None)
        if first is None:
            self._first[flying.record] = kept
            return
        endpoint = self.endpoints[flying.endpoint]
        self.comparer.noise(f"{endpoint.method} {endpoint.name}", first, kept)
