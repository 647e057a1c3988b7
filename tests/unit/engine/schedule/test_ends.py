"""Of whom it is still known when they ended, and whether well."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tracer_bullet.engine.schedule.ends import Ends


@given(st.lists(st.lists(st.sampled_from([0, 0, 0, 5]), max_size=7), max_size=30), st.integers(1, 10))
def test_the_newest_are_known_and_memory_is_bounded(batches: list[list[int]], size: int) -> None:
    ends, told = Ends(size), list[tuple[int, int, bool]]()
    for errors in batches:
        numbers = range(len(told), len(told) + len(errors))
        ended = [1000 + n for n in numbers]
        ends.add(list(numbers), ended, errors)
        told += [(n, end, not error) for n, end, error in zip(numbers, ended, errors, strict=True)]
    for number, end, well in told[-size:]:
        assert ends.of(number) == (end, well)
    for number, end, well in told[:-size]:
        assert ends.of(number) in ((end, well), (0, False))
    known = [number for number, _, _ in told if ends.of(number)[0]]
    assert len(known) <= 2 * (size + 7)
    assert ends.of(len(told)) == (0, False)
    ends.forget()
    assert not any(ends.of(number)[0] for number, _, _ in told)
