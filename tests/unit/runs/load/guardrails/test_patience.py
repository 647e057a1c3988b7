"""Claim: bad looks add up to a stop exactly when the patience says so, and what is unknown is never taken for well."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.runs.load.guardrails.patience import Course, Look, Patience, Sight

SIGHTS = st.sampled_from([Sight.WELL, Sight.BAD, Sight.UNKNOWN])
STEPS = st.lists(st.tuples(st.integers(0, 20), SIGHTS), max_size=40)


def look(sight: Sight, badness: float = 0.0) -> Look:
    return Look(sight=sight, text=sight.value, badness=badness)


def expected(patience: Patience, steps: list[tuple[int, Sight]]) -> bool:
    """The same by looking back from every moment over the whole past."""
    now = 0
    past: list[tuple[int, Sight]] = []
    for gap, sight in steps:
        now += gap
        past.append((now, sight))
        since_well: list[tuple[int, Sight]] = []
        well = 0
        for at, seen in past:
            if seen is Sight.WELL:
                since_well, well = [], at
            else:
                since_well.append((at, seen))
        bad = [at for at, seen in since_well if seen is Sight.BAD]
        if len(bad) >= patience.failures and now - bad[0] >= patience.for_s and sight is not Sight.WELL:
            return True
        if sight is Sight.UNKNOWN and now - well >= patience.unknown_for_s:
            return True
    return False


@given(STEPS, st.integers(1, 4), st.integers(0, 30), st.integers(1, 60))
def test_a_stop_comes_when_patience_is_at_its_end(
    steps: list[tuple[int, Sight]], failures: int, for_s: int, unknown_for_s: int
) -> None:
    patience = Patience(failures=failures, for_s=for_s, unknown_for_s=unknown_for_s)
    course, now = Course(patience=patience, well_s=0.0), 0
    for gap, sight in steps:
        now += gap
        course.see(look(sight), now)
    assert bool(course.broken) == expected(patience, steps)
    assert course.looks == len(steps)


def test_what_broke_it_is_kept() -> None:
    course = Course(patience=Patience(failures=2), well_s=0.0)
    assert course.see(look(Sight.BAD), 1) == ""
    assert course.see(look(Sight.BAD), 2) == "bad, 2 times in a row"
    assert course.see(look(Sight.WELL), 3) == "bad, 2 times in a row", "a target that recovers was sick all the same"


def test_unknown_does_not_end_a_row_of_bad_ones() -> None:
    course = Course(patience=Patience(for_s=10, unknown_for_s=100), well_s=0.0)
    assert not course.see(look(Sight.BAD), 1)
    assert not course.see(look(Sight.UNKNOWN), 5)
    assert course.see(look(Sight.UNKNOWN), 11) == "unknown, for 10 s"


def test_a_guardrail_that_fails_itself_gets_no_patience() -> None:
    course = Course(patience=Patience(failures=100, for_s=100), well_s=0.0)
    assert course.see(look(Sight.FAILED), 0) == "failed"


def test_the_worst_is_what_was_farthest() -> None:
    course = Course(patience=Patience(failures=9), well_s=0.0)
    for sight, badness in ((Sight.WELL, -3.0), (Sight.WELL, -1.0), (Sight.UNKNOWN, 99.0), (Sight.WELL, -2.0)):
        course.see(Look(sight=sight, text=f"{badness:g}", badness=badness), 1)
    reading = course.reading("name", "limit")
    assert (reading.last, reading.worst, reading.looks, reading.broken) == ("-2", "-1", 4, False)
