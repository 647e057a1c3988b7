"""Claim: of all processes and users, one request to an endpoint goes alone; the others wait for its clean trace."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from tracer_bullet.runs.load.locustfile.arming import Arming

ENDPOINTS = ("GET /a", "POST /b")


def test_the_first_goes_alone_and_arms() -> None:
    arming = Arming()
    assert arming.ask("GET /a", "p", 1, 0.0) == [("p", 1, "arm")]
    assert arming.ask("GET /a", "q", 7, 0.0) == []
    assert arming.unarmed == ["GET /a"]
    arming.sent("GET /a", "t1", statuses=[200])
    assert arming.of_trace("t1") == ("GET /a",)
    assert arming.judged("t1", 1.0) == [("q", 7, "armed")]
    assert arming.ask("GET /a", "q", 8, 2.0) == [("q", 8, "armed")]
    assert (arming.armed, arming.unarmed) == (["GET /a"], [])


def test_one_trace_may_arm_several() -> None:
    arming = Arming()
    for number, endpoint in enumerate(ENDPOINTS):
        arming.ask(endpoint, "p", number, 0.0)
        arming.sent(endpoint, "t1", statuses=[201])
    arming.judged("t1", 1.0)
    assert arming.armed == sorted(ENDPOINTS)


def test_an_error_proves_less_so_two_more_go_alone() -> None:
    arming = Arming()
    for number in range(6):
        arming.ask("GET /a", "p", number, 0.0)
    granted = [0]
    for attempt in range(3):
        arming.sent("GET /a", f"t{attempt}", statuses=[404])
        answers = arming.judged(f"t{attempt}", 1.0)
        granted += [n for _, n, how in answers if how == "arm"]
        assert arming.is_armed("GET /a") is (attempt == 2)
        assert arming.unarmed == [], "the run may end here: it was harmless so far"
    assert granted == [0, 1, 2]


def test_who_dies_makes_way_for_the_next() -> None:
    arming = Arming()
    arming.ask("GET /a", "p", 1, 0.0)
    arming.ask("GET /a", "q", 2, 0.0)
    arming.ask("GET /a", "p", 3, 0.0)
    assert arming.gone("p", 1.0) == [("q", 2, "arm")]
    assert arming.overdue(400.0, 300.0) == ["GET /a"]
    assert arming.overdue(200.0, 300.0) == []
    assert arming.gone("q", 2.0) == []


def test_what_was_sent_before_its_process_died_is_still_judged() -> None:
    arming = Arming()
    arming.ask("GET /a", "p", 1, 0.0)
    arming.ask("GET /a", "q", 2, 0.0)
    arming.sent("GET /a", "t1", statuses=[200])
    assert arming.gone("p", 1.0) == []
    assert arming.judged("t1", 1.0) == [("q", 2, "armed")]


class Processes(RuleBasedStateMachine):
    """Any order of asking, sending, judging and dying."""

    flying = Bundle("flying")

    def __init__(self) -> None:
        super().__init__()
        self.arming = Arming()
        self.number = 0
        self.alone: dict[str, int] = dict.fromkeys(ENDPOINTS, 0)
        self.asked = 0
        self.answered = 0

    def _note(self, endpoint: str, answers: list[tuple[object, int, str]]) -> None:
        self.answered += len(answers)
        self.alone[endpoint] += sum(how == "arm" for _, _, how in answers)

    @rule(endpoint=st.sampled_from(ENDPOINTS), owner=st.sampled_from("pq"))
    def ask(self, endpoint: str, owner: str) -> None:
        self.number += 1
        self.asked += 1
        self._note(endpoint, self.arming.ask(endpoint, owner, self.number, 0.0))

    @rule(endpoint=st.sampled_from(ENDPOINTS), status=st.sampled_from([0, 200, 500]))
    def comes_back(self, endpoint: str, status: int) -> None:
        if not self.alone[endpoint]:
            return
        self.alone[endpoint] -= 1
        if not status:
            self._note(endpoint, self.arming.missed(endpoint, 0.0))
            return
        trace = f"t{self.number}-{endpoint}-{self.answered}"
        self.arming.sent(endpoint, trace, statuses=[status])
        self._note(endpoint, self.arming.judged(trace, 0.0))

    @invariant()
    def one_alone(self) -> None:
        assert all(number <= 1 for number in self.alone.values())
        assert self.answered <= self.asked

    def teardown(self) -> None:
        for endpoint in ENDPOINTS:
            while self.alone[endpoint]:
                self.comes_back(endpoint, 200)
        assert self.answered == self.asked, "nobody waits for ever"


TestProcesses = Processes.TestCase
TestProcesses.settings = settings(max_examples=50, stateful_step_count=30)
