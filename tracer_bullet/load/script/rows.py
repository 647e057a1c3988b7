"""Which rows a scenario's steps can be made of, found before anything is sent. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tracer_bullet.errors import UsageError
from tracer_bullet.load.script.compile import compile_script
from tracer_bullet.load.script.script import Row, RowError
from tracer_bullet.model.arrival import Origin
from tracer_bullet.workspace.load import Located
from tracer_bullet.workspace.template import Scalar


def sendable_rows(
    scenario: Located[Any], *, base_url: str, variables: Mapping[str, Scalar], rows: Sequence[Row]
) -> tuple[Row, ...]:
    """The rows that iterations can be made of, in order.

    A row of a file that cannot be sent is a mistake; of drawn rows, which have all that a strategy allows, those that
    can be sent are taken. Raises UsageError TB1012 for the former and when none is left, and as compile_script does.
    """
    script = compile_script(
        scenario.value,
        base_url=base_url,
        variables=variables,
        origin=Origin(number=0, scheme="http", host="", port=0),
        first_endpoint=0,
        run_id="r",
        located=scenario,
    )
    load = scenario.value.load
    is_drawn = load is not None and any(spec.file is None for spec in load.data)
    sendable: list[Row] = []
    why = ""
    for number, row in enumerate(rows, 1):
        try:
            script.check_row(row)
        except RowError as error:
            why = why or f"row {number} cannot be sent: {error}"
            if not is_drawn:
                raise _refused(why, scenario) from None
            continue
        sendable.append(row)
    if rows and not sendable:
        raise _refused(f"no row can be sent; {why}", scenario)
    return tuple(sendable)


def _refused(what: str, scenario: Located[Any]) -> UsageError:
    return UsageError(
        "TB1012", what, where=scenario.where("load.data"), cure="correct the data, or what the step makes of it"
    )
