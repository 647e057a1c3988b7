"""Numbers of users' iterations: none comes twice, though users move from sender to sender."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.load.profile.stages import stage
from tracer_bullet.load.profile import Profile
from tracer_bullet.load.share import Share
from tracer_bullet.load.users import Planned, Users

_NS = 1_000_000_000


class Sender:
    """Users without an engine: each iteration ends a tenth of a second after it begins."""

    def __init__(self, profile: Profile, shards: int, residues: list[int]) -> None:
        self.share = Share(shards, residues)
        self.numbers: list[tuple[int, int]] = []
        self._ends: list[tuple[int, int]] = []
        self.users = Users(profile, self.share, self._plan)

    def _plan(self, number: int, user: int, due_ns: int, *, after: int = -1, pause_ns: int = -1) -> Planned:
        self.numbers.append((number, user))
        self._ends.append((due_ns + _NS // 10, user))
        return Planned(len(self.numbers), 0)

    def live(self, now_ns: int) -> None:
        self.users.begin(now_ns, now_ns + _NS // 2, most=1000)
        over = [end for end in self._ends if end[0] <= now_ns]
        self._ends = [end for end in self._ends if end[0] > now_ns]
        for at_ns, user in over:
            self.users.ended(user, at_ns, now_ns)


@given(st.integers(1, 9), st.integers(1, 5), st.data())
@settings(deadline=None, max_examples=40)
def test_no_number_comes_twice_however_users_move(most: int, shards: int, data: st.DataObject) -> None:
    profile = Profile([stage("20s", users=most)])
    owners = [0] * shards
    senders = [Sender(profile, shards, list(range(shards))), Sender(profile, shards, [])]
    for tenth in range(100):
        now_ns = tenth * _NS // 10
        for sender in senders:
            sender.live(now_ns)
        if data.draw(st.integers(0, 9)) == 0:
            owners = data.draw(st.lists(st.integers(0, 1), min_size=shards, max_size=shards))
            for who, sender in enumerate(senders):
                sender.share.own([r for r in range(shards) if owners[r] == who], now_ns + 2 * _NS)
    numbers = [number for sender in senders for number, _ in sender.numbers]
    assert len(set(numbers)) == len(numbers) >= most
    parts = min(shards, most)
    assert all(number % parts == user % shards for sender in senders for number, user in sender.numbers)
    assert len(senders[0].users) + len(senders[1].users) <= 2 * most


def test_one_sender_alone_numbers_iterations_as_they_come() -> None:
    sender = Sender(Profile([stage("5s", users=4)]), 1, [0])
    for tenth in range(60):
        sender.live(tenth * _NS // 10)
    assert [number for number, _ in sender.numbers] == list(range(len(sender.numbers)))
    assert len(sender.numbers) > 100
    assert len(sender.users) == 0
    assert sender.users.is_over(6 * _NS)
