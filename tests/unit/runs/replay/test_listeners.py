"""Claim: what comes back is counted, paired and compared, by whichever way its session comes back."""

from __future__ import annotations

import json

from tests.unit.engine.shot_batches import batch
from tests.unit.runs.replay.flights import ENDPOINTS, exchange, flying, row
from tracer_bullet.model.arrival import Take
from tracer_bullet.model.exchange import Answer, Exchange
from tracer_bullet.model.shots import KeptAnswer
from tracer_bullet.replay.compare import Comparer
from tracer_bullet.replay.fidelity import FidelityMeter
from tracer_bullet.runs.replay.listeners import Comparing, Figures, NoisePairs, Unsent
from tracer_bullet.runs.replay.parts import ShotParts
from tracer_bullet.workspace.replay import CompareSpec
from tracer_bullet.workspace.runs import create_run


def answer(**body: object) -> Answer:
    return Answer(status=200, headers=(("content-type", "application/json"),), body=json.dumps(body).encode())


def as_it_is(_: Exchange, kept: KeptAnswer) -> KeptAnswer:
    return kept


TAKES = (Take(variable="v", source="json", path="$.id"),)


def comparing() -> tuple[Comparing, Comparer]:
    comparer = Comparer(CompareSpec(min_samples=1))
    return Comparing(comparer, as_it_is, ENDPOINTS), comparer


def test_a_minted_value_that_is_repeated_is_no_difference_whoever_comes_back_last() -> None:
    """The session's last request comes back before one that was sent with it."""
    listener, comparer = comparing()
    mints = flying(0, nth=1, takes=TAKES, exchange=exchange("a", answer(order="x", id="old-1")))
    shows = flying(1, nth=2, exchange=exchange("b", answer(seen="old-1")))
    leaves = flying(2, nth=3, last=True, exchange=exchange("c", answer(bye=True)))
    listener.answer(mints, KeptAnswer(number=0, answer=answer(order="x", id="new-9")))
    listener.shots(batch([row(0)]), [mints])
    listener.answer(leaves, KeptAnswer(number=2, answer=answer(bye=True)))
    listener.shots(batch([row(2)]), [leaves])
    listener.answer(shows, KeptAnswer(number=1, answer=answer(seen="new-9")))
    listener.shots(batch([row(1)]), [shows])
    assert comparer.result().findings == ()
    assert comparer.result().compared == 3
    assert not listener._minted
    assert not listener._left, "ended sessions are forgotten"


def test_sessions_have_their_own_values() -> None:
    listener, comparer = comparing()
    listener.answer(
        flying(0, session=1, takes=TAKES, exchange=exchange("a", answer(id="old"))),
        KeptAnswer(number=0, answer=answer(id="new")),
    )
    listener.answer(
        flying(1, session=2, endpoint=1, exchange=exchange("b", answer(seen="old"))),
        KeptAnswer(number=1, answer=answer(seen="new")),
    )
    assert ("POST /b/{}", "$.seen") in {(d.endpoint, d.field) for d in comparer.result().findings}


def test_answers_to_the_same_request_are_paired() -> None:
    comparer = Comparer(CompareSpec(min_samples=1))
    pairs = NoisePairs(comparer, as_it_is, ENDPOINTS)
    for number, (record, seen) in enumerate([("a", 1), ("b", 5), ("a", 2), ("b", 5)]):
        one = flying(number, record=record, exchange=exchange(record))
        pairs.answer(one, KeptAnswer(number=number, answer=answer(seen=seen)))
    listener = Comparing(comparer, as_it_is, ENDPOINTS)
    for n in range(4):
        listener.answer(flying(n, exchange=exchange("a", answer(seen=0))), KeptAnswer(number=n, answer=answer(seen=9)))
    (found,) = comparer.result().noisy
    assert (found.field, found.noise, found.noise_of) == ("$.seen", 0.5, 2)


def test_reasons_are_told_by_endpoint() -> None:
    unsent = Unsent(ENDPOINTS)
    rows = [row(0), row(1, error="slot", sent=False), row(2, error="connect", sent=False)]
    unsent.shots(batch(rows), [flying(0), flying(1), flying(2, endpoint=1)])
    assert unsent.reasons["GET /a"].startswith("no answer before it held the value")
    assert unsent.reasons["POST /b/{}"] == "connect"


def test_nothing_is_lost_in_the_sums(tmp_path: object) -> None:
    figures = Figures(ShotParts(create_run(tmp_path, "run"), ENDPOINTS), FidelityMeter())  # type: ignore[arg-type]
    rows = [row(0), row(1, error="reset"), row(2, error="stopped", sent=False), row(3, error="connect", sent=False)]
    figures.shots(batch(rows), [flying(n, nth=n + 1, last=n == 3) for n in range(4)])
    made = figures.accounting(10, {"host": 3}, {"body-cut": 2, "connect": 1}, 4)
    assert made.planned == made.sent + sum(made.refused.values()) + sum(made.not_sent.values()) == 7
    assert made.sent == made.answered + made.failed == 3
    assert (dict(made.not_sent), made.answered) == ({"stopped": 1}, 1)
    assert made.request_bytes == 4 * 80
