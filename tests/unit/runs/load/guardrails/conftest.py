from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.runs.load.guardrails.targets import Target


@pytest.fixture
def target() -> Iterator[Target]:
    with Target() as target:
        yield target
