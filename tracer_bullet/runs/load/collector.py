"""From the shots of senders to bullets that can be judged: those of the share of iterations that is audited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tracer_bullet.model.load import StepKey
from tracer_bullet.model.shots import ShotBatch
from tracer_bullet.runs.replay.bullets import Bullets, rows_in
from tracer_bullet.runs.replay.proof import Proof

_NO_TRACE = "0" * 32


@dataclass(frozen=True, slots=True)
class _Place:
    """A step's place in its iteration; each step of it comes back once, sent or not."""

    nth: int
    last: bool


class Collector:
    """Hands each chosen bullet to the proof once all of its iteration is back. `share` of traces is chosen, by id."""

    def __init__(
        self, bullets: Bullets, proof: Proof, steps: Sequence[StepKey], *, base_url: str, share: float
    ) -> None:
        self._bullets = bullets
        self._proof = proof
        self._share = share
        self._names = [step.name for step in steps]
        self._endpoints = [f"{step.method} {step.name}" for step in steps]
        self._urls = [base_url.rstrip("/") + step.path for step in steps]
        self._places = [_Place(step.index + 1, step.index + 1 == step.of) for step in steps]

    def shots(self, batch: ShotBatch) -> None:
        """Shots that came back."""
        if self._share <= 0:
            return
        endpoints = dict(zip(batch.number, batch.endpoint, strict=True))
        for row in rows_in(batch, self._share):
            if row.trace_id == _NO_TRACE:  # it never came to an engine
                continue
            n = endpoints[row.number]
            done = self._bullets.add(row, self._places[n], self._endpoints[n], self._urls[n], step=self._names[n])
            if done is not None:
                self._proof.add(done)

    def finish(self) -> None:
        """Hand over what did not come to its end."""
        for bullet in self._bullets.rest():
            self._proof.add(bullet)
