"""A compiled scenario: an iteration and a row in, arrivals out. Pure but for what it remembers of rows."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Final

from tracer_bullet.load.script.takes import asked_by_expectations
from tracer_bullet.load.script.template import Made, StepTemplate
from tracer_bullet.model.arrival import Arrival, Endpoint, Take
from tracer_bullet.model.load import Iteration, StepKey
from tracer_bullet.scenario.plan import Plan
from tracer_bullet.workspace.scenario import ScenarioSpec
from tracer_bullet.workspace.template import Scalar

Row = Mapping[str, Scalar]

# Rows come again and again: what was made of one is kept, up to so many bytes.
_KEPT_BYTES: Final = 16 * 1024 * 1024
_OVERHEAD: Final = 400
_MOST_SHAPES: Final = 64
# Iterations under way of which something is remembered for their expectations.
_MOST_REMEMBERED: Final = 200_000


class RowError(ValueError):
    """A row has a value that cannot stand where a step uses it."""


class Script:
    """What iterations of one scenario send. `endpoints` and `steps` are those of its steps, in order.

    Used from one thread, but for `forget`, which may be called from another.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        origin: int,
        endpoints: tuple[Endpoint, ...],
        steps: tuple[StepKey, ...],
        takes: tuple[tuple[Take, ...], ...],
        run_id: str,
    ) -> None:
        self.plan = plan
        self.endpoints = endpoints
        self.steps = steps
        self._origin = origin
        self._takes = takes
        self._known: dict[str, Scalar] = {**plan.variables, "run": run_id}
        self._shapes: dict[tuple[str, ...], list[tuple[StepTemplate, bool]]] = {}
        self._made: dict[tuple[int, int], tuple[Row, Made]] = {}
        self._room = _KEPT_BYTES
        specs = [step.spec for step in plan.steps]
        # Whether an answer must be looked into; the engine looks at the status itself.
        self._looks = [bool(s.expect.headers or s.expect.json_ or s.take) for s in specs]
        self._counts = any("bullet" in asked_by_expectations(s) for s in specs)
        self._numbers: dict[int, int] = {}
        self._check_shape()

    @property
    def spec(self) -> ScenarioSpec:
        """The scenario."""
        return self.plan.scenario.value

    def arrivals(
        self,
        iteration: Iteration,
        row: Row,
        *,
        first_number: int,
        session: int,
        pauses_ns: Sequence[int],
        keep: bool = False,
    ) -> list[Arrival]:
        """One arrival a step, numbered from `first_number` on, each after the one before.

        `pauses_ns[k]` is between the answer to step k and step k + 1; what is missing is 0. `keep`: answers are wanted
        where there is more to check than their status. Raises RowError for a row that no step may be made of.
        """
        if self._counts:
            self._remember(first_number, iteration.number)
        templates = self._templates(row)
        values: Mapping[str, Scalar] = {**row, "bullet": iteration.number}
        arrivals: list[Arrival] = []
        last = len(templates) - 1
        due_ns, after, pause_ns = iteration.due_ns, iteration.after, iteration.pause_ns
        for index, (template, is_same) in enumerate(templates):
            made = self._make(index, template, row, values) if is_same else self._fresh(index, template, values)
            head, body, slots = made
            arrivals.append(
                Arrival(
                    first_number + index, due_ns, session, self._origin, self.endpoints[index].number, head, body, "",
                    after, slots, self._takes[index], index == last, keep and self._looks[index], pause_ns, index > 0,
                    last > 0,
                )
            )  # fmt: skip
            after = first_number + index
            pause_ns = pauses_ns[index] if index < len(pauses_ns) else 0
            due_ns += pause_ns
        return arrivals

    def check_row(self, row: Row) -> None:
        """Raises RowError when iterations cannot be made of this row."""
        values: Mapping[str, Scalar] = {**row, "bullet": 0}
        for index, (template, _) in enumerate(self._templates(row)):
            self._fresh(index, template, values)

    def variables(self, first_number: int, row: Row) -> dict[str, Scalar]:
        """What is known before the first step of an iteration under way, as `fire` would have it."""
        return {**self._known, "bullet": self._numbers.get(first_number, 0), **row}

    def forget(self, first_number: int) -> None:
        """The iteration is over."""
        self._numbers.pop(first_number, None)

    def _remember(self, first_number: int, number: int) -> None:
        numbers = self._numbers
        if len(numbers) >= _MOST_REMEMBERED:
            with contextlib.suppress(RuntimeError):  # `forget` came between
                numbers.pop(next(iter(numbers), -1), None)
        numbers[first_number] = number

    def _check_shape(self) -> None:
        """What a step sends can be written at all, whatever the values are."""
        self._templates(dict.fromkeys(self.plan.variables, ""))

    def _templates(self, row: Row) -> list[tuple[StepTemplate, bool]]:
        """For each step what it sends for rows with these variables, and whether it is the same for a row each time."""
        names = tuple(row)
        found = self._shapes.get(names)
        if found is None:
            if len(self._shapes) >= _MOST_SHAPES:
                self._shapes.clear()
            found = self._shapes[names] = self._compile(frozenset(names))
        return found

    def _compile(self, names: frozenset[str]) -> list[tuple[StepTemplate, bool]]:
        templates: list[tuple[StepTemplate, bool]] = []
        taken: frozenset[str] = frozenset()
        for step, takes in zip(self.plan.steps, self._takes, strict=True):
            try:
                template = StepTemplate(step, self._known, names | {"bullet"}, taken)
            except ValueError as error:
                raise RowError(f"{step.name}: {error}") from None
            templates.append((template, "bullet" not in template.variables))
            taken |= {take.variable for take in takes}
        return templates

    def _make(self, index: int, template: StepTemplate, row: Row, values: Mapping[str, Scalar]) -> Made:
        key = (id(row), index)
        known = self._made.get(key)
        if known is not None:
            return known[1]
        made = self._fresh(index, template, values)
        size = len(made[0]) + len(made[1]) + _OVERHEAD
        if size <= self._room:
            self._room -= size
            self._made[key] = (row, made)  # holds the row, so that its id stays its own
        return made

    def _fresh(self, index: int, template: StepTemplate, values: Mapping[str, Scalar]) -> Made:
        try:
            return template.make(values)
        except ValueError as error:
            raise RowError(f"{self.plan.steps[index].name}: {error}") from None
